//! Which events lead to a fast turn.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
};

use rustix::event::{PollFd, PollFlags, epoll::EventFlags, poll};
use ws_proto::{Config, Connection, MessageRef, handshake::Rejection};
use ws_tokio::{Sender, internal::ThreadReceiveBuffer};

use crate::{
    admission::Request,
    connection::{
        Conn, Handler,
        handler_task::{FAST_TURNS, HandlerTask},
    },
    measure::Observer,
    net::epoll_socket::Socket,
    options::Options,
    shard::server_state::{ServerState, ShutdownPhase},
    tests::{fast_turns::frame, registration_on, sockets},
};

/// Echoes, and does what some messages say.
struct Obedient(mpsc::Sender<Sender>);

impl Handler for Obedient {
    type Context = mpsc::Sender<Sender>;

    fn accept(_request: &mut Request, senders: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(senders.clone()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        match message.as_bytes() {
            b"join" => drop(conn.member().expect("an open connection")),
            b"pause" => conn.pause(),
            b"sender" => self.0.send(conn.sender()).expect("the test listens"),
            _ => conn.send(message).expect("room for an echo"),
        }
    }
}

struct Fixture {
    task: HandlerTask<Obedient, Socket>,
    peer: TcpStream,
    /// The task's socket.
    socket: TcpStream,
    server: Arc<ServerState>,
    senders: mpsc::Receiver<Sender>,
}

impl Fixture {
    /// A connection whose first turn is done.
    fn new(options: Options) -> Self {
        let config = Config::default().validate().expect("the defaults are valid");
        let server = ServerState::new(options, config.clone(), config.clone());
        let registration = registration_on(&server);
        let (peer, stream) = sockets();
        let socket = stream.try_clone().expect("a socket");
        let connection = Connection::server(config, registration.shard().now());
        let (sender, senders) = mpsc::channel();
        let task = HandlerTask::new(Obedient(sender), Socket::new(stream), connection, &[], registration);
        let mut fixture = Self { task, peer, socket, server, senders };
        fixture.usual_turn();
        fixture
    }

    fn usual_turn(&mut self) {
        let (cx, mut rx) = (&mut Context::from_waker(Waker::noop()), ThreadReceiveBuffer::take());
        assert!(self.task.turn(cx, &mut rx).is_pending());
        self.task.take_wants_turn();
    }

    /// The peer sends a message, and the task gets a turn after the event. Also returns whether it was a fast one.
    fn turn_after(&mut self, message: &str) -> (bool, Poll<()>) {
        self.peer.write_all(&frame(0x81, message.as_bytes())).expect("it reads");
        poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], None).expect("a socket");
        self.task.io_mut().note(EventFlags::IN);
        FAST_TURNS.set(0);
        let (cx, mut rx) = (&mut Context::from_waker(Waker::noop()), ThreadReceiveBuffer::take());
        let polled = self.task.turn_after_event(cx, &mut rx);
        (FAST_TURNS.get() == 1, polled)
    }

    fn is_fast_after(&mut self, message: &str) -> bool {
        let (is_fast, polled) = self.turn_after(message);
        assert!(polled.is_pending());
        is_fast
    }

    fn receive(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        self.peer.read_exact(&mut bytes).expect("the bytes come");
        assert_eq!(bytes, expected);
    }
}

#[test]
fn a_small_echo_takes_a_fast_turn() {
    let mut fixture = Fixture::new(Options::default());
    for _ in 0..3 {
        assert!(fixture.is_fast_after("echo"));
        fixture.receive(b"\x81\x04echo");
    }
}

#[test]
fn a_connection_that_is_watched_takes_usual_turns() {
    struct Silent;
    impl Observer for Silent {}
    let mut fixture = Fixture::new(Options { observer: Some(Arc::new(Silent)), ..Options::default() });
    assert!(!fixture.is_fast_after("echo"));
    fixture.receive(b"\x81\x04echo");
}

#[test]
fn a_connection_with_a_feed_takes_usual_turns() {
    let mut fixture = Fixture::new(Options::default());
    assert!(fixture.is_fast_after("join"));
    fixture.usual_turn();
    assert!(!fixture.is_fast_after("echo"));
    fixture.receive(b"\x81\x04echo");
}

#[test]
fn what_a_sender_has_sent_before_an_event_leads_to_a_usual_turn() {
    let mut fixture = Fixture::new(Options::default());
    assert!(fixture.is_fast_after("sender"));
    let sender = fixture.senders.recv().expect("from the handler");
    assert!(fixture.is_fast_after("echo"), "a sender alone changes nothing");
    fixture.receive(b"\x81\x04echo");
    sender.try_send("sent").expect("room");
    assert!(!fixture.is_fast_after("echo"));
    fixture.receive(b"\x81\x04sent\x81\x04echo");
    assert!(fixture.is_fast_after("echo"), "it is sent");
}

#[test]
fn a_shutdown_leads_to_a_usual_turn() {
    for phase in [ShutdownPhase::Draining, ShutdownPhase::Forcing] {
        let mut fixture = Fixture::new(Options::default());
        fixture.server.enter(phase);
        let (is_fast, polled) = fixture.turn_after("echo");
        assert_eq!((is_fast, polled.is_ready()), (false, phase == ShutdownPhase::Forcing));
    }
}

#[test]
fn a_connection_whose_messages_are_paused_takes_usual_turns() {
    let mut fixture = Fixture::new(Options::default());
    assert!(fixture.is_fast_after("pause"));
    fixture.usual_turn();
    assert!(!fixture.is_fast_after("echo"));
}
