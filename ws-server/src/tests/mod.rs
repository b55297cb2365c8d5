//! Budgets that do not depend on the machine's speed: system calls per message, and the size of a connection.
//!
//! `e2e-tests/tests/gates` counts allocations, because a test binary there can have an allocator of its own.

mod debug;
#[cfg(target_os = "linux")]
mod fast_turn_choice;
#[cfg(target_os = "linux")]
mod fast_turns;
mod flush;
#[cfg(target_os = "linux")]
mod single_publications;
mod stats;
mod topics;
mod transport;

#[cfg(target_os = "linux")]
use std::net::{TcpListener, TcpStream};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use tracing::Span;
use ws_proto::{Completion, Config, Connection, MessageRef, handshake::Rejection};
use ws_tokio::{WebSocket, internal::ServerHalf};

use crate::{
    admission::Request,
    connection::{Conn, Handler, HandlerApp, function_task::FunctionTask, handler_task::HandlerTask},
    handshake,
    net::stream::ServerStream,
    options::Options,
    shard::{
        LoadShare, Shard, registration::Registration, server_state::ServerState, wake::WakeTable,
        watched::Watched,
    },
};
use transport::{Counted, Script};

type Task = Pin<Box<dyn Future<Output = ()>>>;

const ROUNDS: usize = 200;
const SMALL: [usize; 2] = [20, 1000];

pub(crate) struct Echo;

impl Handler for Echo {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).expect("room for an echo");
    }
}

async fn echo(mut ws: WebSocket<Counted>) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.expect("open");
    }
}

fn server() -> Arc<ServerState> {
    let config = Config::default().validate().expect("the defaults are valid");
    ServerState::new(Options::default(), config.clone(), config)
}

fn registration() -> Registration {
    registration_on(&server())
}

/// A connection over loopback: the peer's socket, and one in non-blocking mode.
#[cfg(target_os = "linux")]
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let stream = listener.accept().expect("a connection").0;
    stream.set_nonblocking(true).expect("a socket");
    (peer, stream)
}

fn registration_on(server: &Arc<ServerState>) -> Registration {
    let permit = server.connections.acquire(None).expect("no limit");
    let watched = Watched::open(server, &Request::new(http::Request::new(()), None), false, &Span::none());
    Registration::new(
        LoadShare::new(&Shard::new(Arc::clone(server), WakeTable::tasks(1))),
        None,
        permit,
        watched,
    )
}

fn connection() -> Connection {
    Connection::server(Config::default().validate().expect("the defaults are valid"), Instant::now())
}

fn handler_task(script: &Script) -> Task {
    Box::pin(HandlerTask::new(Echo, script.transport_action(), connection(), &[], registration()))
}

fn serve_task(script: &Script) -> Task {
    let (half, ws) = ServerHalf::new(script.transport_action(), connection(), &[]);
    Box::pin(FunctionTask::new(half, Some(echo(ws)), registration()))
}

/// A `WebSocket` without a server's task, as [`Acceptor`](crate::Acceptor) makes it.
fn inline_task(script: &Script) -> Task {
    Box::pin(echo(WebSocket::new(script.transport_action(), connection())))
}

/// The waker of a task: remembers that the task is to be polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls until the task waits and was not woken.
fn run_until_idle(task: &mut Task) {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut polls = 0;
    while woken.0.swap(false, Ordering::Relaxed) {
        polls += 1;
        assert!(polls < 100, "the task is woken again and again");
        assert_eq!(task.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
    }
}

/// Polls until the task completes.
fn run_to_end(task: &mut Task) {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    while woken.0.swap(false, Ordering::Relaxed) {
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
    }
    panic!("the task is not woken");
}

pub(crate) fn masked(size: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    match size {
        0..126 => frame.push(0x80 | size as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame.extend((0..size).map(|index| b'x' ^ [1, 2, 3, 4][index % 4]));
    frame
}

/// System calls per message: reads and writes.
fn calls_per_message(start: fn(&Script) -> Task, size: usize, depth: usize) -> (f64, f64) {
    let script = Script::default();
    let mut task = start(&script);
    // A connection that has just opened reads once before the runtime reports that the socket is readable.
    run_until_idle(&mut task);
    let batch = masked(size).repeat(depth);
    let reply_len = depth * (size + if size < 126 { 2 } else { 4 });
    script.take_calls();
    for _ in 0..ROUNDS {
        script.deliver(&batch);
        run_until_idle(&mut task);
        assert_eq!(script.take_written().len(), reply_len);
    }
    let (calls, messages) = (script.take_calls(), (ROUNDS * depth) as f64);
    (calls.reads as f64 / messages, calls.writes as f64 / messages)
}

#[test]
fn a_small_echo_takes_one_read_and_one_write() {
    // Without a server, `WebSocket` has a timer of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    for (name, start) in
        [("handler", handler_task as fn(&_) -> _), ("served", serve_task), ("inline", inline_task)]
    {
        for size in SMALL {
            let (reads, writes) = calls_per_message(start, size, 1);
            println!("{name}, {size} bytes: {reads} reads, {writes} writes");
            assert!(reads + writes <= 2.05, "{name}, {size} bytes: {reads} reads, {writes} writes");
        }
    }
}

#[test]
fn pipelined_messages_are_answered_with_one_write() {
    for (name, start) in [("handler", handler_task as fn(&_) -> _), ("served", serve_task)] {
        for (size, depth) in [(20, 16), (64, 64), (1000, 16)] {
            let (reads, writes) = calls_per_message(start, size, depth);
            println!("{name}, {size} bytes, {depth} in flight: {reads} reads, {writes} writes per message");
            let most = 1.0 / depth as f64 + 0.02;
            assert!(writes <= most, "{name}, {size} bytes, {depth} in flight: {writes} writes per message");
            assert!(reads <= most, "{name}, {size} bytes, {depth} in flight: {reads} reads per message");
        }
    }
}

/// Sends another message each time that one is written.
struct Endless;

impl Handler for Endless {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.send_binary(vec![0; 1000]).expect("room for one");
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}

    fn on_write_complete(&mut self, conn: &mut Conn<'_>, _completion: Completion) {
        conn.send_binary(vec![0; 1000]).expect("room for one");
    }
}

#[test]
fn a_turn_ends_although_the_peer_takes_everything_that_is_sent() {
    let script = Script::default();
    let mut task =
        Box::pin(HandlerTask::new(Endless, script.transport_action(), connection(), &[], registration()));
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..10 {
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(woken.0.swap(false, Ordering::Relaxed));
        let calls = script.take_calls();
        assert!(calls.writes <= 10, "{calls:?}");
    }
}

#[test]
fn the_counting_transport_counts() {
    let script = Script::default();
    let mut task = handler_task(&script);
    run_until_idle(&mut task);
    script.deliver(&masked(20));
    run_until_idle(&mut task);
    let calls = script.take_calls();
    assert_eq!((calls.reads, calls.writes), (1, 1));
    // A read that fills the buffer exactly may leave bytes in the socket, so there is another read.
    let full = masked(20).repeat(ws_proto::memory::DEFAULT_RECEIVE_BUFFER / 26 + 1);
    script.deliver(&full[..ws_proto::memory::DEFAULT_RECEIVE_BUFFER]);
    run_until_idle(&mut task);
    assert_eq!(script.take_calls().reads, 2);
}

#[test]
fn the_task_of_a_handshake_is_small() {
    fn size_of_future<I, H, F: Future>(_: impl FnOnce(I, H) -> F) -> usize {
        size_of::<F>()
    }
    let task = size_of_future(|io, handshake| {
        handshake::run(Arc::new(HandlerApp::<Echo>::new(())), io, handshake, |_, _, _| ())
    });
    println!("a handshake's task: {task} bytes");
    assert!(task <= 1280, "{task}");
}

#[test]
fn the_future_of_an_async_echo_is_small() {
    fn size_of_future<F: Future>(_: impl FnOnce(WebSocket<ServerStream>) -> F) -> usize {
        size_of::<F>()
    }
    let echo = size_of_future(|mut ws| async move {
        while let Some(message) = ws.recv().await {
            if ws.send(message).await.is_err() {
                break;
            }
        }
    });
    println!(
        "an async echo: {echo} bytes, {} of them for the WebSocket",
        size_of::<WebSocket<ServerStream>>()
    );
    assert!(echo <= 120, "{echo}");
}

#[test]
fn the_task_of_a_connection_is_small() {
    struct Sized32(#[expect(dead_code, reason = "only its size matters")] [u64; 4]);
    impl Handler for Sized32 {
        type Context = ();
        fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
            Ok(Self([0; 4]))
        }
        fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
    }
    let handler = size_of::<HandlerTask<Sized32, ServerStream>>();
    let served = size_of::<FunctionTask<std::future::Pending<()>, ServerStream>>();
    println!("a handler's task: {handler} bytes; a served connection's: {served}");
    #[cfg(target_os = "linux")]
    println!("a handler's entry in the reactor's table: {}", crate::engine::reactor::entry_size::<Echo>());
    assert!(handler <= 256, "{handler}");
    #[cfg(target_os = "linux")]
    assert!(
        crate::engine::reactor::entry_size::<Echo>() <= 208,
        "{}",
        crate::engine::reactor::entry_size::<Echo>()
    );
    assert!(served <= 64, "{served}");
    assert_eq!(size_of::<ServerStream>(), size_of::<tokio::net::TcpStream>());
}
