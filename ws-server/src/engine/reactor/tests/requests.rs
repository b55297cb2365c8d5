//! Sockets that wait for their requests.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags};
use tokio::time::Instant;
use tracing::{
    Event, Metadata, Subscriber,
    field::Field,
    span::{Attributes, Id, Record},
};
use ws_tokio::internal::ThreadReceiveBuffer;

use super::*;
use crate::{
    engine::reactor::{
        end::Ending,
        requests::{Expected, PATIENCE},
    },
    handshake::{Handshake, Unfinished},
    shard::{LoadShare, Shard, registration::ReservedId, server_state::ShutdownPhase},
    tests::{Echo, masked},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// No connection: the tests have handshakes only.
enum NoConn {}

impl ReactorConn for NoConn {
    fn note_events(&mut self, _events: EventFlags) {
        match *self {}
    }

    fn wants_turn(&mut self) -> &mut bool {
        match *self {}
    }

    fn turn(&mut self, _waker: &Waker, _rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        match *self {}
    }

    fn now(&self) -> std::time::Instant {
        match *self {}
    }

    fn on_panic(&mut self) -> Poll<()> {
        match *self {}
    }
}

/// Counts the handshakes that are left to tasks.
struct Tasks<A> {
    app: Rc<A>,
    started: Cell<usize>,
    /// Panics the next time.
    panics: Cell<Option<Panics>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panics {
    InApp,
    InFinish,
}

impl<A> Tasks<A> {
    fn may_panic(&self, here: Panics) {
        if self.panics.get() == Some(here) {
            self.panics.set(None);
            panic!("on purpose");
        }
    }
}

impl<A: BuildConn> Requests<A> for Tasks<A> {
    fn app(&self) -> &Rc<A> {
        self.may_panic(Panics::InApp);
        &self.app
    }

    fn finish_in_task(&self, _stream: TcpStream, handshake: Unfinished<A::Accepted>) {
        self.may_panic(Panics::InFinish);
        assert!(matches!(handshake, Unfinished::Undecided(_)));
        self.started.set(self.started.get() + 1);
    }
}

struct Test<A: BuildConn> {
    reactor: Rc<ReactorState<A>>,
    schedule: Schedule,
    shard: Arc<Shard>,
    tasks: Rc<Tasks<A>>,
    listener: TcpListener,
}

impl Test<TestApp<NoConn>> {
    fn new() -> Self {
        Self::with(TestApp(PhantomData), Options::default())
    }

    /// The application is asked with this hook. Also returns how often it was.
    fn with_hook(hook: impl Fn() + Send + Sync + 'static) -> (Self, Arc<AtomicUsize>) {
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let on_request = move |_: &mut Request| {
            hook();
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let options = Options { on_request: Some(Arc::new(on_request)), ..Options::default() };
        (Self::with(TestApp(PhantomData), options), asked)
    }
}

impl<A: BuildConn> Test<A> {
    fn with(app: A, options: Options) -> Self {
        let config = Config::default().validate().unwrap();
        let server = ServerState::new(options, config.clone(), config);
        let reactor = ReactorState::new(epoll::create(CreateFlags::CLOEXEC).unwrap(), seed(&server)).unwrap();
        let (reactor, schedule) = (Rc::new(reactor), Schedule::new());
        let shard = Shard::new(server, WakeTable::tasks(0));
        let tasks = Rc::new(Tasks { app: Rc::new(app), started: Cell::new(0), panics: Cell::new(None) });
        Self { reactor, schedule, shard, tasks, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// Accepts a socket whose request the reactor expects. Returns its peer.
    fn accept(&self) -> TcpStream {
        let (peer, stream) = self.connect();
        self.expect(stream);
        peer
    }

    /// As [`accept`](Self::accept), after these bytes have arrived.
    fn accept_with(&self, bytes: &[u8]) -> TcpStream {
        let (mut peer, stream) = self.connect();
        peer.write_all(bytes).unwrap();
        stream.peek(&mut [0]).unwrap();
        self.expect(stream);
        peer
    }

    /// As [`accept`](Self::accept), after these bytes and the end of the stream have arrived.
    fn accept_ended(&self, bytes: &[u8]) -> TcpStream {
        let (mut peer, stream) = self.connect();
        peer.write_all(bytes).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        rustix::event::poll(&mut [PollFd::new(&stream, PollFlags::RDHUP)], None).unwrap();
        self.expect(stream);
        peer
    }

    fn connect(&self) -> (TcpStream, TcpStream) {
        let peer = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        (peer, self.listener.accept().unwrap().0)
    }

    fn expect(&self, stream: TcpStream) {
        stream.set_nonblocking(true).unwrap();
        let tasks: Rc<dyn Requests<A>> = Rc::<Tasks<A>>::clone(&self.tasks);
        self.reactor.expect_request(tasks, stream, self.handshake());
    }

    fn handshake(&self) -> Handshake {
        let permit = self.shard.server.handshakes.acquire(None).unwrap();
        Handshake::new(None, LoadShare::new(&self.shard), permit)
    }

    /// Polls the reactor until a task has a handshake.
    async fn run(&mut self) {
        poll_fn(|cx| {
            assert!(self.reactor.poll(cx, &mut self.schedule).is_pending());
            if self.tasks.started.get() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The part of a poll that concerns handshakes. Returns whether more sockets are due.
    async fn run_handshakes(&mut self) -> bool {
        self.reactor.dispatch_events(&mut self.schedule).unwrap();
        poll_fn(|cx| Poll::Ready(self.reactor.run_handshakes(cx, &mut self.schedule))).await
    }

    /// Nothing is left of this many handshakes.
    fn expect_nothing_of(&self, handshakes: u32) {
        assert_eq!((self.shard.server.handshakes.active(), self.shard.load()), (0, 0));
        // Their ids are free again.
        let ids: Vec<_> = (0..handshakes).map(|_| ReservedId::new(&self.shard)).collect();
        let mut ids: Vec<_> = ids.iter().map(ReservedId::id).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..handshakes), "{ids:?}");
    }
}

/// Advances tokio's clock, which is paused, by this time.
fn pass(time: Duration) {
    let _ = pin!(tokio::time::advance(time)).poll(&mut Context::from_waker(Waker::noop()));
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_request_does_not_come_soon_is_left_to_a_task() {
    let mut test = Test::new();
    let (started, _silent) = (Instant::now(), test.accept());
    test.run().await;
    let waited = started.elapsed();
    assert!((2 * PATIENCE..3 * PATIENCE).contains(&waited), "{waited:?}");
    // Its id is free again.
    assert_eq!((test.tasks.started.get(), test.shard.load()), (1, 0));
    assert_eq!(ReservedId::new(&test.shard).id(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_a_shutdown_the_sockets_that_wait_are_left_to_tasks_at_once() {
    let mut test = Test::new();
    let (started, _silent) = (Instant::now(), [test.accept(), test.accept()]);
    test.shard.server.enter(ShutdownPhase::Draining);
    test.run().await;
    assert_eq!((test.tasks.started.get(), started.elapsed()), (2, Duration::ZERO));
}

#[tokio::test]
async fn the_events_of_a_socket_that_waits_are_kept_for_its_connection() {
    let test = Test::new();
    let _peer = test.accept();
    let mut expected: Expected<_> = test.reactor.expected.take();
    expected.note(0, EventFlags::OUT);
    assert!(expected.next_due().is_none(), "nothing to read");
    expected.note(0, EventFlags::OUT | EventFlags::IN);
    expected.note(0, EventFlags::RDHUP);
    expected.note(1, EventFlags::IN);
    let due = expected.next_due().unwrap();
    assert_eq!(due.events, EventFlags::OUT | EventFlags::IN | EventFlags::RDHUP);
    assert!(expected.next_due().is_none(), "once");
}

#[tokio::test(start_paused = true)]
async fn a_poll_does_a_limited_number_of_handshakes_and_the_next_one_continues() {
    let (mut test, asked) = Test::with_hook(|| {});
    let _peers: Vec<_> = (0..70).map(|_| test.accept_with(REQUEST)).collect();
    assert!(test.run_handshakes().await, "more are due");
    assert_eq!(asked.load(Ordering::Relaxed), 64);
    assert!(!test.run_handshakes().await);
    assert_eq!(asked.load(Ordering::Relaxed), 70);
    test.expect_nothing_of(70);
}

#[tokio::test(start_paused = true)]
async fn a_poll_begins_no_handshake_once_the_ones_before_have_taken_a_millisecond() {
    for (each, per_poll) in [(2_000, 1), (1_000, 1), (400, 3), (100, 10)] {
        let (mut test, asked) = Test::with_hook(move || pass(Duration::from_micros(each)));
        let _peers: Vec<_> = (0..20).map(|_| test.accept_with(REQUEST)).collect();
        for done in (per_poll..20).step_by(per_poll) {
            assert!(test.run_handshakes().await, "more are due");
            assert_eq!(asked.load(Ordering::Relaxed), done, "{each} µs each");
        }
        assert!(!test.run_handshakes().await);
        test.expect_nothing_of(20);
    }
}

#[tokio::test]
async fn the_end_of_a_reactor_frees_the_sockets_that_wait() {
    let test = Test::new();
    let peers = [test.accept(), test.accept()];
    assert_eq!((test.shard.server.handshakes.active(), test.shard.load()), (2, 2));
    drop(Ending(Rc::clone(&test.reactor)));
    test.expect_nothing_of(2);
    for mut peer in peers {
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the socket is closed");
    }
}

#[tokio::test]
async fn a_request_with_a_frame_and_the_end_of_the_stream_in_one_event_is_served_to_its_end() {
    let mut test = Test::with(HandlerApp::<Echo>::new(()), Options::default());
    let mut peer = test.accept_ended(&[REQUEST, &masked(20)].concat());
    assert!(!test.run_handshakes().await);
    // The kernel reports nothing more, and the connection has seen the end.
    assert!(!test.schedule.has_turns() && test.reactor.connections.borrow_mut().get_mut(0).is_none());
    test.expect_nothing_of(1);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    let echo = [&[0x82, 20][..], &[b'x'; 20]].concat();
    assert!(received.windows(echo.len()).any(|window| window == echo), "{received:?}");
}

/// The clock is paused, because a poll begins no handshake after a millisecond.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_frees_its_id_and_the_next_one_runs() {
    for panics in [Panics::InApp, Panics::InFinish] {
        let mut test = Test::new();
        let _silent = [test.accept(), test.accept()];
        test.reactor.note_request(0, EventFlags::IN);
        test.reactor.note_request(1, EventFlags::IN);
        test.tasks.panics.set(Some(panics));
        assert!(!test.run_handshakes().await);
        assert_eq!((test.tasks.panics.get(), test.tasks.started.get()), (None, 1), "{panics:?}");
        test.expect_nothing_of(2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_waits_for_its_request_no_longer_than_a_handshake_may_take() {
    let handshake_timeout = Duration::from_millis(10);
    let options = Options { handshake_timeout, ..Options::default() };
    let mut test = Test::with(TestApp::<NoConn>(PhantomData), options);
    let (started, _silent) = (Instant::now(), test.accept());
    test.run().await;
    let waited = started.elapsed();
    assert!((handshake_timeout..PATIENCE).contains(&waited), "{waited:?}");
}

/// Keeps the fields of each event as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            line += &format!("{}={value:?};", field.name());
        });
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn a_peer_that_leaves_before_its_request_is_logged() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let mut test = Test::new();
    let _peer = test.accept_ended(b"");
    assert!(!test.run_handshakes().await);
    test.expect_nothing_of(1);
    let lines = std::mem::take(&mut *lines.0.lock().unwrap());
    let failed: Vec<_> = lines.iter().filter(|line| line.contains("message=handshake failed;")).collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert!(failed[0].contains("error=I/O failed during the handshake: "), "{failed:?}");
}
