//! The server under attack, on threads of its own.

use crate::measure::{Memory, on_the_outside};
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
    CloseInfo, Conn, Handler, MessageRef, Rejection, Request, Server, ServerBuilder, ShutdownHandle,
    ShutdownReport, WebSocket,
};

/// Nothing that a row waits for takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a row, in a process of its own, with all descriptors that it may have.
pub(crate) fn attack<F: Future<Output = ()>>(row: impl FnOnce() -> F) {
    let options = Options {
        deadline: Duration::from_secs(240),
        patience: Duration::from_secs(10),
        ..Options::default()
    };
    harness::run_with(options, async {
        on_the_outside();
        scale::connections(0, 0);
        row().await;
    });
}

/// One of the four ways to run a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Callbacks, a task for each connection.
    HandlerTasks,
    /// Callbacks, on a thread of the server's own.
    HandlerShard,
    /// An async function, a task for each connection.
    AsyncTasks,
    /// An async function, on a thread of the server's own.
    AsyncShard,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::HandlerTasks, Self::HandlerShard, Self::AsyncTasks, Self::AsyncShard];
    /// One of each engine and of each style.
    pub(crate) const TWO: [Self; 2] = [Self::HandlerShard, Self::AsyncTasks];

    /// A server that answers each message with the same.
    pub(crate) fn echo(self, builder: ServerBuilder) -> Victim {
        self.start(builder, Answer::Echo)
    }

    /// A server that answers nothing.
    pub(crate) fn sink(self, builder: ServerBuilder) -> Victim {
        self.start(builder, Answer::Nothing)
    }

    /// A server that answers small messages only.
    pub(crate) fn choosy(self, builder: ServerBuilder) -> Victim {
        self.start(builder, Answer::Small)
    }

    /// A server that echoes, and panics at [`BOOM`].
    pub(crate) fn fragile(self, builder: ServerBuilder) -> Victim {
        self.start(builder, Answer::Panic)
    }

    fn start(self, builder: ServerBuilder, answer: Answer) -> Victim {
        let counts = Arc::<Counts>::default();
        let context = Context { counts: Arc::clone(&counts), answer };
        let serve = {
            let context = context.clone();
            move |ws| serve(ws, context.clone())
        };
        match self {
            Self::HandlerTasks | Self::HandlerShard => self.run::<App>(builder, counts, context),
            Self::AsyncTasks => Victim::start(builder, counts, |server| server.serve(serve)),
            Self::AsyncShard => Victim::start(builder, counts, |server| async {
                server.serve_sharded(1, move |ws, _| serve(ws)).await.unwrap()
            }),
        }
    }

    /// A server with a handler of the row's own.
    pub(crate) fn run<H>(self, builder: ServerBuilder, counts: Arc<Counts>, context: H::Context) -> Victim
    where
        H: Handler + Unpin + Send,
        H::Context: Sync,
    {
        match self {
            Self::HandlerTasks | Self::AsyncTasks => {
                Victim::start(builder, counts, |server| server.run::<H>(context))
            }
            Self::HandlerShard | Self::AsyncShard => Victim::start(builder, counts, |server| async {
                server.run_sharded::<H>(1, context).await.unwrap()
            }),
        }
    }
}

/// What happened on the server.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) messages: AtomicUsize,
    pub(crate) pongs: AtomicUsize,
}

/// What makes a fragile server panic.
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
    /// Whether to echo what came.
    fn note(&self, payload: &[u8]) -> bool {
        self.counts.messages.fetch_add(1, SeqCst);
        if self.answer == Answer::Panic && payload == BOOM.as_bytes() {
            // As `panic!` does, without a line about each in the output.
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
            // Refused only once the connection is closing.
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

async fn serve(mut ws: WebSocket, context: Context) {
    context.counts.opened.fetch_add(1, SeqCst);
    while let Some(message) = ws.recv().await {
        if context.note(message.as_bytes()) {
            let _ = ws.send(message).await;
        }
    }
    context.counts.closed.fetch_add(1, SeqCst);
}

static SMALL_SEND_BUFFERS: AtomicBool = AtomicBool::new(false);

/// Servers of this process have the kernel buffer little for each connection. Else it takes a megabyte and more for a
/// peer that does not read, and with a thousand of them comes to the end of what it has for TCP.
pub(crate) fn small_send_buffers() {
    SMALL_SEND_BUFFERS.store(true, SeqCst);
}

fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    if SMALL_SEND_BUFFERS.load(SeqCst) {
        // Connections take it over from the listener.
        socket.set_send_buffer_size(16 * 1024).unwrap();
    }
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(4096).unwrap()
}

/// A running server. End it with [`stop`](Self::stop).
pub(crate) struct Victim {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: ShutdownHandle,
    pub(crate) counts: Arc<Counts>,
    thread: JoinHandle<ShutdownReport>,
}

impl Victim {
    /// Binds and runs a server on a thread with a runtime of its own.
    pub(crate) fn start<Fut: Future<Output = ShutdownReport>>(
        builder: ServerBuilder,
        counts: Arc<Counts>,
        run: impl FnOnce(Server) -> Fut + Send + 'static,
    ) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = builder.listener(listener()).unwrap();
                tell.send((server.local_addr().unwrap(), server.shutdown_handle())).unwrap();
                run(server).await
            })
        });
        let (addr, handle) = told.recv().expect("the server starts");
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

    /// Has the server's thread make what it makes with its first connections.
    pub(crate) async fn warm_up(&self) {
        let before = self.handle.connections();
        let mut peer = self.open().await;
        peer.send(RawFrame::ping("")).await;
        peer.expect_pong(b"").await;
        peer.into_connection().reset();
        self.settled(before).await;
        self.quiet().await;
    }

    /// So many of them.
    pub(crate) async fn open_many(&self, count: usize) -> Vec<RawClient> {
        let mut peers = Vec::with_capacity(count);
        for _ in 0..count {
            peers.push(self.open().await);
        }
        self.until("they are all counted", || self.handle.connections() >= count).await;
        peers
    }

    /// Waits until the server has so many connections, and no handshake under way.
    pub(crate) async fn settled(&self, connections: usize) {
        self.until("connections", || {
            self.handle.connections() == connections && self.handle.handshakes() == 0
        })
        .await;
    }

    /// Waits for something that comes about on the server's threads.
    ///
    /// # Panics
    /// When it does not, within a minute.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn() -> bool) {
        let start = Instant::now();
        while !reached() {
            let (open, pending) = (self.handle.connections(), self.handle.handshakes());
            assert!(start.elapsed() < PATIENCE, "{what}: {open} connections, {pending} handshakes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the server's memory has not changed for some turns: what it does behind an answer is done then.
    /// Where it never stands still, because somebody is served, a second is enough.
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

    /// Shuts down and says who closed how.
    ///
    /// # Panics
    /// If the server has panicked.
    pub(crate) async fn stop(self) -> ShutdownReport {
        self.stop_within(Duration::from_secs(5)).await
    }

    /// The same, with so much time for it.
    pub(crate) async fn stop_within(self, grace: Duration) -> ShutdownReport {
        let report = self.handle.shutdown(grace).await;
        self.thread.join().expect("the server does not panic");
        report
    }
}
