//! Destructors of payloads are the application's code. They run while no connection is locked, and their panics are
//! caught.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use ws_proto::{Connection, Message, PreparedMessage, Role, mask::MaskSource};
use ws_tokio::{Sender, WebSocket};

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, opcode, open, serve};

/// Runs a test on a thread of its own, and fails if that thread deadlocks.
pub(crate) fn without_deadlock(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { test() });
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the thread has deadlocked");
    }
    thread.join().unwrap();
}

/// A payload whose destructor runs the application's code.
struct Owner {
    bytes: Vec<u8>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

/// A payload of this length that calls a function when it is dropped.
pub(crate) fn payload(len: usize, on_drop: impl FnOnce() + Send + 'static) -> Bytes {
    Bytes::from_owner(Owner { bytes: vec![b'p'; len], on_drop: Some(Box::new(on_drop)) })
}

/// The calls that a destructor or a waker makes on its own connection.
pub(crate) fn use_connection(sender: &Sender) {
    let _ = sender.is_open();
    let _ = sender.ping(b"from within");
    let _ = sender.try_send("from within");
}

const WAYS: usize = 6;

/// Sends `payload` in the given way.
fn send(way: usize, ws: &mut WebSocket<TestTransport>, sender: &Sender, payload: Bytes) {
    let task = Task::new();
    let message = Message::binary(payload);
    let _ = match way {
        0 => task.poll(&mut Box::pin(ws.send(message))).is_ready(),
        1 => task.poll(&mut Box::pin(ws.feed(message))).is_ready(),
        2 => sender.try_send(message).is_ok(),
        3 => task.poll(&mut Box::pin(sender.send(message))).is_ready(),
        4 => sender.try_send_prepared(&PreparedMessage::new(message)).is_ok(),
        _ => task.poll(&mut Box::pin(ws.send_prepared(&PreparedMessage::new(message)))).is_ready(),
    };
}

/// Lengths of payloads; large ones are written in parts.
const LENGTHS: [usize; 5] = [0, 5, 20_000, 100_000, 300_000];

pub(crate) fn data(peer: &Peer) -> Vec<Frame> {
    peer.received().into_iter().filter(|frame| frame.opcode != opcode::PING).collect()
}

#[test]
fn a_payload_may_use_its_own_connection_when_it_is_dropped() {
    without_deadlock(|| {
        for (role, len, way) in cases() {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            let own = sender.clone();
            send(way, &mut ws, &sender, payload(len, move || use_connection(&own)));
            let _ = Task::new().poll(&mut Box::pin(ws.flush()));
            let _ = Task::new().poll(&mut Box::pin(ws.flush()));
            let expected = [Frame::binary(vec![b'p'; len]), Frame::text("from within")];
            assert_eq!(data(&peer), expected, "{role:?}, {len}, way {way}");
        }
    });
}

#[test]
fn a_payload_that_waited_may_use_its_own_connection_when_it_is_dropped() {
    without_deadlock(|| {
        for (role, len, way) in cases() {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            peer.take_only(0);
            let _ = Task::new().poll(&mut Box::pin(ws.send("first")));
            let own = sender.clone();
            send(way, &mut ws, &sender, payload(len, move || use_connection(&own)));
            peer.take_everything();
            for _ in 0..10 {
                assert!(ws.poll_recv(&mut Task::new().cx()).is_pending());
            }
            let expected = [Frame::text("first"), Frame::binary(vec![b'p'; len]), Frame::text("from within")];
            assert_eq!(data(&peer), expected, "{role:?}, {len}, way {way}");
        }
    });
}

#[test]
fn a_payload_that_is_cut_off_may_use_its_own_connection_when_it_is_dropped() {
    without_deadlock(|| {
        for (role, len, way) in cases() {
            for end in 0..4 {
                let (mut ws, peer) = open(role);
                let sender = ws.sender();
                peer.take_only(0);
                let _ = Task::new().poll(&mut Box::pin(ws.send("first")));
                let (own, (dropped, is_dropped)) = (sender.clone(), mpsc::channel());
                let on_drop = move || {
                    use_connection(&own);
                    dropped.send(()).unwrap();
                };
                send(way, &mut ws, &sender, payload(len, on_drop));
                let parts = match end {
                    0 => {
                        drop(ws);
                        None
                    }
                    1 => ws.into_parts(),
                    2 => {
                        sender.abort();
                        None
                    }
                    _ => {
                        peer.fail_writes(ErrorKind::ConnectionReset);
                        peer.fail_reads(ErrorKind::ConnectionReset);
                        for _ in 0..10 {
                            let _ = ws.poll_recv(&mut Task::new().cx());
                        }
                        drop(ws);
                        None
                    }
                };
                drop(parts);
                is_dropped.try_recv().unwrap_or_else(|_| panic!("{role:?}, {len}, way {way}, end {end}"));
            }
        }
    });
}

#[test]
fn under_a_server_a_payload_may_use_its_own_connection_when_it_is_dropped() {
    without_deadlock(|| {
        for len in LENGTHS {
            let (mut task, peer) = serve(config(), |mut ws| async move {
                let sender = ws.sender();
                while let Some(message) = ws.recv().await {
                    drop(message);
                    let own = sender.clone();
                    ws.send(payload(len, move || use_connection(&own))).await.unwrap();
                }
            });
            let turns = Task::new();
            peer.send(Frame::text("go"));
            for _ in 0..4 {
                assert!(turns.poll(&mut task).is_pending());
            }
            let expected = [Frame::binary(vec![b'p'; len]), Frame::text("from within")];
            assert_eq!(data(&peer), expected, "{len}");
            // Also if the task is dropped while payloads wait.
            peer.take_only(0);
            peer.send(Frame::text("go"));
            peer.send(Frame::text("go"));
            assert!(turns.poll(&mut task).is_pending());
            drop(task);
        }
    });
}

#[test]
fn a_destructor_that_panics_does_not_affect_the_connection() {
    without_deadlock(|| {
        // The payload of a prepared message is dropped by the caller.
        for (role, len, way) in cases().filter(|(_, _, way)| *way < 4) {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            for waits in [false, true] {
                if waits {
                    peer.take_only(0);
                    let _ = Task::new().poll(&mut Box::pin(ws.feed("first")));
                }
                for _ in 0..2 {
                    send(way, &mut ws, &sender, payload(len, || std::panic::panic_any(PanicOnDrop)));
                }
                peer.take_everything();
                for _ in 0..10 {
                    assert!(ws.poll_recv(&mut Task::new().cx()).is_pending());
                }
            }
            let _ = Task::new().poll(&mut Box::pin(ws.send("after")));
            let received = data(&peer);
            let with_panics =
                received.iter().filter(|frame| **frame == Frame::binary(vec![b'p'; len])).count();
            assert_eq!(with_panics, 4, "{role:?}, {len}, way {way}");
            assert_eq!(received.last(), Some(&Frame::text("after")));
            // Several payloads that are dropped unwritten.
            peer.take_only(0);
            for _ in 0..3 {
                send(way, &mut ws, &sender, payload(len, || std::panic::panic_any(PanicOnDrop)));
            }
            drop(ws);
        }
    });
}

/// A panic whose payload panics when it is dropped.
pub(crate) struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

fn cases() -> impl Iterator<Item = (Role, usize, usize)> {
    ROLES.into_iter().flat_map(|role| LENGTHS.map(|len| (role, len))).flat_map(|(role, len)| {
        // A server queues the frame of a prepared message; the payload stays with the caller.
        let ways = if role == Role::Server { 4 } else { WAYS };
        (0..ways).map(move |way| (role, len, way))
    })
}

/// Panics at the first call.
struct PanicOnce(bool);

impl MaskSource for PanicOnce {
    fn mask_key(&mut self) -> [u8; 4] {
        if std::mem::take(&mut self.0) {
            std::panic::panic_any(PanicOnDrop);
        }
        [1, 2, 3, 4]
    }
}

#[test]
fn a_panic_of_a_mask_source_or_in_with_io_reaches_the_caller_and_the_connection_still_works() {
    without_deadlock(|| {
        let (transport, peer) = TestTransport::new(Role::Client);
        let now = tokio::time::Instant::now().into_std();
        let connection = Connection::client(config().validate().unwrap(), Box::new(PanicOnce(true)), now);
        let mut ws = WebSocket::new(transport, connection);
        let sending = catch_unwind(AssertUnwindSafe(|| Task::new().poll(&mut Box::pin(ws.send("lost")))));
        std::mem::forget(sending.expect_err("the caller sees the panic"));
        assert!(catch_unwind(AssertUnwindSafe(|| ws.with_io(|_| panic!("on purpose")))).is_err());
        assert!(Task::new().poll(&mut Box::pin(ws.send("hello"))).is_ready());
        assert_eq!(data(&peer), [Frame::text("hello")]);
    });
}
