//! Sockets that wait for their requests.

use std::{
    net::{TcpListener, TcpStream},
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;
use ws_tokio::internal::ReceiveLease;

use super::*;
use crate::{
    engine::reactor::requests::{Expected, PATIENCE},
    handshake::{Handshake, Step},
    shard::{LoadShare, Shard, registration::ReservedId, server_state::ShutdownPhase},
};

/// No connection: the tests have handshakes only.
enum NoConn {}

impl ReactorConn for NoConn {
    fn note_events(&mut self, _events: EventFlags) {
        match *self {}
    }

    fn wants_turn(&mut self) -> &mut bool {
        match *self {}
    }

    fn turn(&mut self, _waker: &Waker, _rx: &mut Option<ReceiveLease>) -> Poll<()> {
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
struct Tasks {
    app: Rc<TestApp<NoConn>>,
    started: Cell<usize>,
}

impl Requests<TestApp<NoConn>> for Tasks {
    fn app(&self) -> &Rc<TestApp<NoConn>> {
        &self.app
    }

    fn go_on(&self, _stream: TcpStream, step: Step<Accepted>) {
        assert!(matches!(step, Step::Wait(_)));
        self.started.set(self.started.get() + 1);
    }
}

struct Test {
    reactor: ReactorState<TestApp<NoConn>>,
    shard: Arc<Shard>,
    tasks: Rc<Tasks>,
    listener: TcpListener,
}

impl Test {
    fn new() -> Self {
        let server = server();
        let shard = Shard::new(Arc::clone(&server), WakeTable::tasks(0));
        let tasks = Rc::new(Tasks { app: Rc::new(TestApp(PhantomData)), started: Cell::new(0) });
        Self { reactor: reactor(&server), shard, tasks, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// Accepts a socket whose request the reactor expects. Returns its peer.
    fn accept(&self) -> TcpStream {
        let peer = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let tasks: Rc<dyn Requests<TestApp<NoConn>>> = Rc::<Tasks>::clone(&self.tasks);
        self.reactor.expect_request(tasks, stream, self.handshake());
        peer
    }

    fn handshake(&self) -> Handshake {
        let permit = self.shard.server.handshakes.acquire(None).unwrap();
        Handshake::new(None, LoadShare::new(&self.shard), permit)
    }

    /// Polls the reactor until a task has a handshake.
    async fn run(&self) {
        let mut schedule = Schedule::new();
        poll_fn(|cx| {
            assert!(self.reactor.poll(cx, &mut schedule).is_pending());
            if self.tasks.started.get() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_request_does_not_come_soon_is_left_to_a_task() {
    let test = Test::new();
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
    let test = Test::new();
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
