//! A turn after an event has the same effects as a usual one.

#[cfg(feature = "deflate")]
mod compressed;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, epoll::EventFlags, poll};
use ws_proto::{CloseCode, CloseInfo, Completion, Config, Connection, MessageRef, handshake::Rejection};
use ws_tokio::internal::{ThreadReceiveBuffer, TrafficTotals, guarded};

use crate::{
    admission::Request,
    connection::{Conn, Handler, handler_task::HandlerTask},
    net::epoll_socket::Socket,
    options::Options,
    shard::server_state::ServerState,
    tests::{registration_on, sockets},
};

/// What the callbacks saw. When a write completes depends on how much was read before.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<String>,
    completions: Vec<Completion>,
}

type Log = Arc<Mutex<Seen>>;

/// Does what the first byte of a message says.
struct Obedient(Log);

impl Obedient {
    fn note(&self, event: String) {
        self.0.lock().expect("no panic under the lock").events.push(event);
    }
}

impl Handler for Obedient {
    type Context = Log;

    fn accept(_request: &mut Request, log: &Log) -> Result<Self, Rejection> {
        Ok(Self(Arc::clone(log)))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        self.note(format!("message {:?}", message.as_bytes().get(..20)));
        match message.as_bytes().first() {
            Some(b'e') => drop(conn.send(message)),
            Some(b'o') => drop(conn.send_message(message.into_message())),
            Some(b'p') => drop(conn.ping(b"from the handler")),
            Some(b's') => drop(conn.sender().try_send("from a sender")),
            Some(b'l') => drop(conn.send_binary(&[7; 40_000])),
            Some(b'w') => {
                conn.pause();
                conn.resume();
            }
            Some(b'c') => conn.close(CloseCode::NORMAL, ""),
            Some(b'a') => conn.abort(),
            Some(b'x') => panic!("the message says so"),
            _ => {}
        }
    }

    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        self.note(format!("ping {payload:?}"));
        conn.answer_ping(payload);
    }

    fn on_pong(&mut self, _conn: &mut Conn<'_>, payload: &[u8]) {
        self.note(format!("pong {payload:?}"));
    }

    fn on_write_complete(&mut self, _conn: &mut Conn<'_>, completion: Completion) {
        self.0.lock().expect("no panic under the lock").completions.push(completion);
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, info: &CloseInfo) {
        self.note(format!("close {:?} {:?} {:?}", info.initiator, info.received, info.error));
    }
}

/// Which turn follows an event.
#[derive(Clone, Copy)]
enum After {
    Event,
    Usual,
}

struct Fixture {
    task: HandlerTask<Obedient, Socket>,
    peer: TcpStream,
    /// The task's socket.
    socket: TcpStream,
    server: Arc<ServerState>,
    log: Log,
    after: After,
}

impl Fixture {
    fn new(after: After) -> Self {
        Self::with(after, Config::default(), |connection| connection)
    }

    /// With this configuration, and `agree` sets what the handshake agrees upon.
    fn with(after: After, config: Config, agree: impl FnOnce(Connection) -> Connection) -> Self {
        let config = config.validate().expect("a valid configuration");
        let server = ServerState::new(Options::default(), config.clone(), config.clone());
        let registration = registration_on(&server);
        let (peer, stream) = sockets();
        let socket = stream.try_clone().expect("a socket");
        let connection = agree(Connection::server(config, registration.shard().now()));
        let log = Log::default();
        let handler = Obedient(Arc::clone(&log));
        let task = HandlerTask::new(handler, Socket::new(stream), connection, &[], registration);
        let mut fixture = Self { task, peer, socket, server, log, after };
        assert!(fixture.turn(After::Usual).is_pending());
        fixture
    }

    fn turn(&mut self, after: After) -> Poll<()> {
        let (cx, mut rx) = (&mut Context::from_waker(Waker::noop()), ThreadReceiveBuffer::take());
        let task = &mut self.task;
        let turn = guarded(|| match after {
            After::Event => task.turn_after_event(cx, &mut rx),
            After::Usual => task.turn(cx, &mut rx),
        });
        turn.unwrap_or_else(|_panicked| {
            drop(rx);
            self.task.on_panic()
        })
    }

    /// Waits until something has arrived, and gives the task its turns. `Ready`: the connection is over.
    fn arrive(&mut self, events: EventFlags) -> Poll<()> {
        let mut waits = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut waits, None).expect("a socket");
        loop {
            self.task.io_mut().note(events);
            if self.turn(self.after).is_ready() {
                return Poll::Ready(());
            }
            // A sender may have woken it, and it may want further turns.
            loop {
                let wants_turn = self.task.take_wants_turn();
                if self.turn(After::Usual).is_ready() {
                    return Poll::Ready(());
                }
                if !wants_turn {
                    break;
                }
            }
            if rustix::io::ioctl_fionread(&self.socket).expect("a socket") == 0 {
                return Poll::Pending;
            }
        }
    }

    /// The peer sends `bytes` in parts of these lengths, and then ends its stream.
    fn run(mut self, mut bytes: &[u8], parts: &[usize]) -> (Seen, TrafficTotals, Option<Vec<u8>>) {
        let mut lens = parts.iter().copied().cycle();
        let mut polled = Poll::Pending;
        while polled.is_pending() && !bytes.is_empty() {
            let (part, rest) = bytes.split_at(lens.next().unwrap_or(bytes.len()).min(bytes.len()));
            bytes = rest;
            if self.peer.write_all(part).is_err() {
                break;
            }
            polled = self.arrive(EventFlags::IN);
        }
        let _ = self.peer.shutdown(Shutdown::Write);
        while polled.is_pending() {
            polled = self.arrive(EventFlags::IN | EventFlags::RDHUP);
        }
        let Self { task, mut peer, socket, server, log, .. } = self;
        drop((task, socket));
        let mut received = Vec::new();
        // Bytes that were not read make the kernel reset the connection, which may destroy others.
        let is_whole = peer.read_to_end(&mut received).is_ok();
        let seen = std::mem::take(&mut *log.lock().expect("no panic under the lock"));
        (seen, server.counters.traffic.totals(), is_whole.then_some(received))
    }
}

pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [9, 0, 200, 33];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let orders = prop::sample::select(b"eeeeeeeeennnoopssllwx".to_vec());
    let message = (orders, prop::sample::select(vec![0, 1, 19, 125, 126, 1000, 30_000]));
    let data = message.prop_map(|(order, len)| [vec![order], vec![b'.'; len]].concat());
    let rare = prop::sample::select(vec![
        frame(0x88, &1000_u16.to_be_bytes()),
        frame(0x81, b"e\xff"),
        frame(0x83, b""),
        frame(0x81, b"c"),
        frame(0x81, b"a"),
        frame(0x80, b"a continuation of nothing"),
    ]);
    prop_oneof![
        20 => data.clone().prop_map(|payload| frame(0x81, &payload)),
        5 => data.clone().prop_map(|payload| frame(0x82, &payload)),
        3 => data.prop_map(|payload| [frame(0x01, &payload), frame(0x89, b"between"), frame(0x80, b"end")].concat()),
        3 => Just(frame(0x89, b"ping")),
        1 => Just(frame(0x8a, b"pong")),
        1 => Just(frame(0x81, b"")),
        1 => rare,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_a_turn_after_an_event_does_what_a_usual_turn_does(
        frames in prop::collection::vec(frames(), 1..20),
        parts in prop::collection::vec(1_usize..200, 1..6),
        whole in any::<bool>(),
    ) {
        let bytes = frames.concat();
        // Mostly one frame at a time.
        let parts: Vec<usize> = if whole { frames.iter().map(Vec::len).collect() } else { parts };
        let (seen, totals, received) = Fixture::new(After::Event).run(&bytes, &parts);
        let (usual, usual_totals, usual_received) = Fixture::new(After::Usual).run(&bytes, &parts);
        prop_assert_eq!(seen, usual);
        prop_assert_eq!(totals, usual_totals);
        if received.is_some() && usual_received.is_some() {
            prop_assert_eq!(received, usual_received);
        }
    }
}
