//! The server under attack, on its own threads.

use crate::measure::{Memory, mark_as_attacker};
use crate::scale;
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use ws_server::{
    CloseInfo, Conn, Handler, MessageRef, Rejection, Request, Server, ServerBuilder, ServerStream,
    ShutdownHandle, ShutdownReport, WebSocket,
};

/// The longest time that a row waits for an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a row in its own process, with the highest limit of descriptors.
pub(crate) fn attack<F: Future<Output = ()>>(row: impl FnOnce() -> F) {
    let options = Options {
        deadline: Duration::from_secs(240),
        patience: Duration::from_secs(10),
        ..Options::default()
    };
    harness::run_with(options, async {
        mark_as_attacker();
        scale::connections(0, 0);
        row().await;
    });
}

/// One of the four ways to run a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `Handler` on tokio tasks.
    HandlerTasks,
    /// A `Handler` on a shard.
    HandlerShard,
    /// An async function on tokio tasks.
    AsyncTasks,
    /// An async function on a shard.
    AsyncShard,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::HandlerTasks, Self::HandlerShard, Self::AsyncTasks, Self::AsyncShard];
    /// Both engines and both APIs, in two of the four combinations.
    pub(crate) const TWO: [Self; 2] = [Self::HandlerShard, Self::AsyncTasks];

    /// A server that echoes each message.
    pub(crate) fn echo(self, builder: ServerBuilder) -> TargetServer {
        self.start(builder, Answer::Echo)
    }

    /// A server that does not answer.
    pub(crate) fn sink(self, builder: ServerBuilder) -> TargetServer {
        self.start(builder, Answer::Nothing)
    }

    /// A server that echoes messages of less than 1000 bytes only.
    pub(crate) fn echo_small(self, builder: ServerBuilder) -> TargetServer {
        self.start(builder, Answer::Small)
    }

    /// A server that echoes, and panics at the message [`BOOM`].
    pub(crate) fn panicking(self, builder: ServerBuilder) -> TargetServer {
        self.start(builder, Answer::Panic)
    }

    fn start(self, builder: ServerBuilder, answer: Answer) -> TargetServer {
        let counts = Arc::<Counts>::default();
        let context = Context { counts: Arc::clone(&counts), answer };
        let serve = {
            let context = context.clone();
            move |ws| serve(ws, context.clone())
        };
        match self {
            Self::HandlerTasks | Self::HandlerShard => self.serve_handler::<App>(builder, counts, context),
            Self::AsyncTasks => {
                TargetServer::start(builder, counts, |server| server.serve(move |ws, _| serve(ws)))
            }
            Self::AsyncShard => TargetServer::start(builder, counts, |server| async {
                server.sharded(1).serve(move |ws, _| serve(ws)).await.unwrap()
            }),
        }
    }

    /// A server with the row's own handler.
    pub(crate) fn serve_handler<H>(
        self,
        builder: ServerBuilder,
        counts: Arc<Counts>,
        context: H::Context,
    ) -> TargetServer
    where
        H: Handler + Send,
        H::Context: Sync,
    {
        match self {
            Self::HandlerTasks | Self::AsyncTasks => {
                TargetServer::start(builder, counts, |server| server.serve_handler::<H>(context))
            }
            Self::HandlerShard | Self::AsyncShard => TargetServer::start(builder, counts, |server| async {
                server.sharded(1).serve_handler::<H>(context).await.unwrap()
            }),
        }
    }
}

/// Counts of events on the server.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) messages: AtomicUsize,
    pub(crate) pongs: AtomicUsize,
}

/// The message that makes a [`Kind::panicking`] server panic.
pub(crate) const BOOM: &str = "boom";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Echo,
    Nothing,
    Small,
    Panic,
}

#[derive(Debug, Clone)]
struct Context {
    counts: Arc<Counts>,
    answer: Answer,
}

impl Context {
    /// Counts a message. Returns whether to echo it.
    fn note(&self, payload: &[u8]) -> bool {
        self.counts.messages.fetch_add(1, SeqCst);
        if self.answer == Answer::Panic && payload == BOOM.as_bytes() {
            // As `panic!`, but without a message on stderr.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        match self.answer {
            Answer::Echo | Answer::Panic => true,
            Answer::Small => payload.len() < 1000,
            Answer::Nothing => false,
        }
    }
}

struct App(Context);

impl Handler for App {
    type Context = Context;

    fn accept(_request: &mut Request, context: &Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, _conn: &mut Conn<'_>) {
        self.0.counts.opened.fetch_add(1, SeqCst);
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        if self.0.note(message.as_bytes()) {
            // An error means that the connection is closing.
            let _ = conn.send(message);
        }
    }

    fn on_pong(&mut self, _conn: &mut Conn<'_>, _payload: &[u8]) {
        self.0.counts.pongs.fetch_add(1, SeqCst);
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, _info: &CloseInfo) {
        self.0.counts.closed.fetch_add(1, SeqCst);
    }
}

async fn serve(mut ws: WebSocket<ServerStream>, context: Context) {
    context.counts.opened.fetch_add(1, SeqCst);
    while let Some(message) = ws.recv().await {
        if context.note(message.as_bytes()) {
            let _ = ws.send(message).await;
        }
    }
    context.counts.closed.fetch_add(1, SeqCst);
}

static SMALL_SEND_BUFFERS: AtomicBool = AtomicBool::new(false);

/// Sets small send buffers for the servers of this process. Without this, the kernel buffers more than a megabyte for
/// each peer that does not read, and runs out of its memory for TCP with a thousand of them.
pub(crate) fn small_send_buffers() {
    SMALL_SEND_BUFFERS.store(true, SeqCst);
}

fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    if SMALL_SEND_BUFFERS.load(SeqCst) {
        // Connections inherit the size from the listener.
        socket.set_send_buffer_size(16 * 1024).unwrap();
    }
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(4096).unwrap()
}

/// A running server. End it with [`stop`](Self::stop).
pub(crate) struct TargetServer {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: ShutdownHandle,
    pub(crate) counts: Arc<Counts>,
    thread: JoinHandle<ShutdownReport>,
}

impl TargetServer {
    /// Binds a server and runs it on a new thread with its own runtime.
    pub(crate) fn start<Fut: Future<Output = ShutdownReport>>(
        builder: ServerBuilder,
        counts: Arc<Counts>,
        run: impl FnOnce(Server) -> Fut + Send + 'static,
    ) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = builder.listener(listener()).unwrap();
                sender.send((server.local_addr().unwrap(), server.shutdown_handle())).unwrap();
                run(server).await
            })
        });
        let (addr, handle) = receiver.recv().expect("the server starts");
        Self { addr, handle, counts, thread }
    }

    /// A peer that has sent nothing yet.
    pub(crate) async fn connect(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }

    /// A peer whose handshake is done.
    pub(crate) async fn open(&self) -> RawClient {
        RawClient::open(self.addr, "/").await
    }

    /// Opens and resets a connection, so that the server allocates what it allocates once per thread.
    pub(crate) async fn warm_up(&self) {
        let before = self.handle.connections();
        let mut peer = self.open().await;
        peer.send(RawFrame::ping("")).await;
        peer.expect_pong(b"").await;
        peer.into_connection().reset();
        self.settled(before).await;
        self.quiet().await;
    }

    /// Opens `count` connections.
    pub(crate) async fn open_many(&self, count: usize) -> Vec<RawClient> {
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            peers.push(self.open().await);
        }
        self.until("all connections are counted", || self.handle.connections() >= count).await;
        peers
    }

    /// Waits until the server has exactly this many connections and no handshake under way.
    pub(crate) async fn settled(&self, connections: usize) {
        self.until("connections", || {
            self.handle.connections() == connections && self.handle.handshakes() == 0
        })
        .await;
    }

    /// Waits until `reached` returns true. `what` names the condition in the failure message.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn() -> bool) {
        let start = Instant::now();
        while !reached() {
            let (open, pending) = (self.handle.connections(), self.handle.handshakes());
            assert!(start.elapsed() < PATIENCE, "{what}: {open} connections, {pending} handshakes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the server's memory has not changed for 50 ms: the work that follows an answer is then done. Waits
    /// for one second if the memory keeps changing because the server has other clients.
    pub(crate) async fn quiet(&self) {
        let mut last = Memory::held();
        let mut same = 0;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let held = Memory::held();
            same = if held == last { same + 1 } else { 0 };
            last = held;
            if same == 10 {
                break;
            }
        }
    }

    /// Shuts the server down within 5 s and returns its report.
    ///
    /// # Panics
    /// If the server has panicked.
    pub(crate) async fn stop(self) -> ShutdownReport {
        self.stop_within(Duration::from_secs(5)).await
    }

    /// The same, within `grace`.
    pub(crate) async fn stop_within(self, grace: Duration) -> ShutdownReport {
        let report = self.handle.shutdown(grace).await;
        self.thread.join().expect("the server does not panic");
        report
    }
}
