//! When a handler's connection takes a publication without a turn.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
};

use rustix::event::epoll::EventFlags;
use ws_proto::{CloseCode, Config, Connection, MessageRef, PreparedMessage, handshake::Rejection};
use ws_tokio::{Sender, internal::ThreadReceiveBuffer};

use crate::{
    admission::Request,
    connection::{Conn, Handler, handler_task::HandlerTask},
    net::epoll_socket::Socket,
    options::Options,
    shard::server_state::{ServerState, ShutdownPhase},
    tests::{masked, registration_on, sockets},
};

/// Joins the topics and hands out a sender.
struct Member(mpsc::Sender<Sender>);

impl Handler for Member {
    type Context = mpsc::Sender<Sender>;

    fn accept(_request: &mut Request, senders: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(senders.clone()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.member().expect("an open connection");
        self.0.send(conn.sender()).expect("the test listens");
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

struct Fixture {
    task: HandlerTask<Member, Socket>,
    peer: TcpStream,
    sender: Sender,
    server: Arc<ServerState>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// A connection whose first turn is done.
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let config = config.validate().expect("valid");
        let server = ServerState::new(Options::default(), config.clone(), config.clone());
        let registration = registration_on(&server);
        let (peer, stream) = sockets();
        stream.set_nodelay(true).expect("a socket");
        let connection = Connection::server(config, registration.shard().now());
        let (senders, sender) = mpsc::channel();
        let socket = Socket::new(stream);
        let mut task = HandlerTask::new(Member(senders), socket, connection, &[], registration);
        assert!(turn(&mut task).is_pending());
        let sender = sender.recv().expect("from on_open");
        Self { task, peer, sender, server }
    }

    fn turn(&mut self) {
        assert!(turn(&mut self.task).is_pending());
        self.task.take_wants_turn();
    }

    /// Sends without a turn.
    fn send(&mut self, text: &str) -> bool {
        assert!(self.task.takes_prepared());
        let now = self.task.now();
        self.task.send_prepared(&PreparedMessage::new(text.to_owned()), now)
    }

    fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.peer.read_exact(&mut bytes).expect("the bytes come");
        bytes
    }

    fn event(&mut self, events: EventFlags) {
        self.task.io_mut().note(events);
    }
}

fn turn(task: &mut HandlerTask<Member, Socket>) -> Poll<()> {
    task.turn(&mut Context::from_waker(Waker::noop()), &mut ThreadReceiveBuffer::take())
}

#[test]
fn an_idle_connection_takes_a_publication_and_is_idle_again() {
    let mut fixture = Fixture::new();
    for _ in 0..3 {
        assert!(fixture.send("one"));
        assert_eq!(fixture.receive(5), b"\x81\x03one");
    }
    fixture.turn();
    assert!(fixture.send("two"));
    assert_eq!(fixture.receive(5), b"\x81\x03two");
}

#[test]
fn what_a_sender_has_sent_before_comes_first() {
    let mut fixture = Fixture::new();
    fixture.sender.try_send("sent").expect("room");
    assert!(!fixture.task.takes_prepared());
    fixture.turn();
    assert!(fixture.send("published"));
    assert_eq!(fixture.receive(17), b"\x81\x04sent\x81\x09published");
}

#[test]
fn a_connection_that_ends_takes_nothing() {
    let close: [fn(&mut Fixture); 3] = [
        |fixture| fixture.sender.close(CloseCode::NORMAL, ""),
        |fixture| fixture.sender.abort(),
        |fixture| fixture.server.enter(ShutdownPhase::Draining),
    ];
    for close in close {
        let mut fixture = Fixture::new();
        close(&mut fixture);
        assert!(!fixture.task.takes_prepared());
        let _ = turn(&mut fixture.task);
        assert!(!fixture.task.takes_prepared());
    }
}

#[test]
fn the_rest_of_a_publication_that_the_kernel_does_not_take_comes_with_the_next_turns() {
    let mut fixture = Fixture::with(|config| config.write_queue_bytes = 64 << 20);
    let payload: String = ('a'..='z').cycle().take(16 << 20).collect();
    assert!(!fixture.send(&payload), "more than the kernel buffers");
    assert!(!fixture.task.takes_prepared());
    fixture.sender.try_send("next").expect("room");
    let mut peer = fixture.peer.try_clone().expect("a socket");
    let len = 10 + payload.len() + 6;
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; len];
        peer.read_exact(&mut bytes).expect("the bytes come");
        bytes
    });
    while !reader.is_finished() {
        std::thread::yield_now();
        fixture.event(EventFlags::OUT);
        fixture.turn();
    }
    let bytes = reader.join().expect("no panic");
    assert!(bytes[10..].starts_with(payload.as_bytes()) && bytes.ends_with(b"\x81\x04next"));
    assert!(fixture.task.takes_prepared());
}

#[test]
fn a_publication_to_a_peer_that_is_gone_ends_the_connection_in_a_turn() {
    let mut fixture = Fixture::new();
    drop(std::mem::replace(&mut fixture.peer, sockets().0));
    // The first write makes the peer's kernel answer with a reset. A later one fails.
    while fixture.task.takes_prepared() {
        fixture.send("x");
        std::thread::yield_now();
    }
    fixture.event(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
    assert!(turn(&mut fixture.task).is_ready());
}

#[test]
fn a_connection_whose_deadline_may_have_passed_gets_a_turn() {
    let mut fixture = Fixture::with(|config| config.keepalive = None);
    fixture.turn();
    assert!(fixture.task.takes_prepared(), "without a deadline there is none to look at");
    let mut fixture = Fixture::new();
    assert!(fixture.task.takes_prepared(), "a timer is armed");
    fixture.peer.write_all(&masked(1)[..3]).expect("it reads");
    // The bytes are there after a while.
    while fixture.task.takes_prepared() {
        fixture.event(EventFlags::IN);
        fixture.turn();
    }
}
