//! Transports that break their contract as far as safe Rust allows. No bytes of another connection are revealed, no
//! poll spins, and a panic reaches only the caller.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use ws_proto::{Message, Role, error::ConnectionError};
use ws_tokio::{WebSocket, internal::ServerHalf};

use crate::payload_destructors::{payload, use_connection, without_deadlock};
use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, connection};

/// Polls of the transport within one poll of a future. A future that needs more spins.
const LIMIT: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A read replaces the buffer with one of its own, of this length.
    OtherBuffer(usize),
    /// A read claims this length with `advance`, and writes nothing.
    Claims(usize),
    /// A read claims this length with `set_filled`, and writes nothing.
    ClaimsFilled(usize),
    /// A read initializes the buffer, claims this length, and writes nothing.
    ClaimsInitialized(usize),
    /// A write claims more bytes than it was given.
    WriteClaimsTooMuch,
    /// Every read and write returns `Interrupted`.
    Interrupted,
    /// Writes succeed, and every flush returns `Interrupted`.
    InterruptedFlush,
    /// Every read returns a ping.
    EndlessPings,
    PanicInRead,
    PanicInWrite,
    PanicInFlush,
    PanicInShutdown,
}

struct FaultyTransport {
    transport: TestTransport,
    fault: Cell<Fault>,
    polls: Cell<usize>,
}

impl FaultyTransport {
    fn poll(&self) {
        self.polls.set(self.polls.get() + 1);
        assert!(self.polls.get() < LIMIT, "it spins");
    }

    /// Panics once.
    fn panics_if(&self, fault: Fault) {
        if self.fault.get() == fault {
            self.fault.set(Fault::None);
            panic!("on purpose");
        }
    }
}

impl AsyncRead for FaultyTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Fault::PanicInRead);
        match self.fault.get() {
            Fault::OtherBuffer(len) => {
                let mut other = ReadBuf::new(vec![0x81; len].leak());
                other.set_filled(len);
                *buffer = other;
                Poll::Ready(Ok(()))
            }
            Fault::Claims(len) => {
                buffer.advance(len.min(buffer.remaining()));
                Poll::Ready(Ok(()))
            }
            Fault::ClaimsFilled(len) => {
                buffer.set_filled(len.min(buffer.capacity()));
                Poll::Ready(Ok(()))
            }
            Fault::ClaimsInitialized(len) => {
                let len = buffer.initialize_unfilled().len().min(len);
                buffer.advance(len);
                Poll::Ready(Ok(()))
            }
            Fault::Interrupted => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Fault::EndlessPings => {
                buffer.put_slice(&Frame::ping("").encode(true));
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut self.transport).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for FaultyTransport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll();
        self.panics_if(Fault::PanicInWrite);
        match self.fault.get() {
            Fault::WriteClaimsTooMuch => Poll::Ready(Ok(bytes.len() + 1000)),
            Fault::Interrupted => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            _ => Pin::new(&mut self.transport).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Fault::PanicInFlush);
        if self.fault.get() == Fault::InterruptedFlush {
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Fault::PanicInShutdown);
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

fn open(role: Role, fault: Fault) -> (WebSocket<FaultyTransport>, Peer) {
    let (transport, peer) = TestTransport::new(role);
    let transport = FaultyTransport { transport, fault: Cell::new(fault), polls: Cell::new(0) };
    (WebSocket::new(transport, connection(role, config())), peer)
}

/// Ends the fault: from now on the transport keeps its contract.
fn repair(ws: &WebSocket<FaultyTransport>) {
    ws.with_io(|io| io.fault.set(Fault::None)).unwrap();
}

/// Asserts that one poll returns `Pending` and has woken its task.
fn assert_yields<T>(
    ws: &mut WebSocket<FaultyTransport>,
    poll: impl FnOnce(&mut WebSocket<FaultyTransport>, &Task) -> Poll<T>,
) {
    ws.with_io(|io| io.polls.set(0)).unwrap();
    let task = Task::new();
    assert!(poll(ws, &task).is_pending());
    assert!(task.was_woken(), "the task polls again");
}

#[tokio::test(start_paused = true)]
async fn a_read_into_another_buffer_is_a_failure_of_the_transport() {
    for role in ROLES {
        // Shorter and longer than the buffer that was lent.
        for len in [1, 102, 300_000] {
            let (mut ws, _peer) = open(role, Fault::OtherBuffer(len));
            assert_eq!(ws.recv().await, None, "{role:?}: nothing was received");
            let error = ws.close_info().unwrap().error;
            assert_eq!(error, Some(ConnectionError::Transport(ErrorKind::InvalidData)), "{role:?}, {len}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_claims_more_than_it_wrote_reveals_no_bytes_of_other_connections() {
    const SECRET: &str = "what another connection has received; ";
    for role in ROLES {
        for len in [10, 1000, 100_000] {
            let secret = SECRET.repeat(len / SECRET.len() + 1);
            let frame = Frame::text(secret.as_bytes());
            let encoded = frame.encode(role == Role::Server);
            let size = encoded.len();
            let faults = [Fault::Claims(size), Fault::ClaimsFilled(size), Fault::ClaimsInitialized(size)];
            // At the beginning of a frame, and behind the beginning of a large one.
            for (fault, begun) in faults.into_iter().flat_map(|fault| [(fault, 0), (fault, 20)]) {
                let (mut other, peer) = open(role, Fault::None);
                peer.send(frame.clone());
                assert_eq!(other.recv().await, Some(Message::text(secret.as_str())));
                let (mut ws, peer) = open(role, Fault::None);
                peer.send_bytes(&encoded[..begun.min(size - 1)]);
                let _ = ws.poll_recv(&mut Task::new().cx());
                ws.with_io(|io| io.fault.set(fault)).unwrap();
                let polled = catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx())));
                if let Ok(Poll::Ready(Some(message))) = polled {
                    let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
                    let known = if begun == 0 { 0 } else { 20 };
                    assert!(
                        !text[known.min(text.len())..].contains("another"),
                        "{role:?}, {fault:?}: {text}"
                    );
                }
                drop((other, ws));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_claims_more_than_it_was_given_counts_as_a_complete_write() {
    for role in ROLES {
        let (mut ws, peer) = open(role, Fault::WriteClaimsTooMuch);
        for message in ["a".to_owned(), "b".repeat(100_000)] {
            ws.send(message).await.unwrap();
        }
        peer.send(Frame::text("still there"));
        assert_eq!(ws.recv().await, Some(Message::text("still there")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_is_always_interrupted_does_not_block_other_tasks() {
    for role in ROLES {
        let (mut ws, _peer) = open(role, Fault::Interrupted);
        assert_yields(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
        assert_yields(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
        assert_yields(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_interrupted_is_tried_again() {
    for role in ROLES {
        let (mut ws, peer) = open(role, Fault::InterruptedFlush);
        assert_yields(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
        assert_yields(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
        repair(&ws);
        ws.send("and on").await.unwrap();
        assert_eq!(peer.received(), [Frame::text("hello"), Frame::text("and on")], "{role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_stream_of_pings_does_not_block_other_tasks() {
    let (mut ws, peer) = open(Role::Server, Fault::EndlessPings);
    assert_yields(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    assert!(!peer.received().is_empty(), "they are answered");
    peer.take_only(0);
    assert_yields(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
    peer.take_everything();
    assert_yields(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    assert_eq!(peer.received().iter().find(|frame| frame.is_data()), Some(&Frame::text("hello")));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_transport_reaches_the_caller_and_the_connection_still_works() {
    for role in ROLES {
        for fault in [Fault::PanicInRead, Fault::PanicInWrite, Fault::PanicInFlush] {
            let (mut ws, peer) = open(role, fault);
            ws.feed("before").await.unwrap();
            let polled = catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx())));
            assert!(polled.is_err(), "{role:?}, {fault:?}: the caller sees the panic");
            repair(&ws);
            peer.send(Frame::text("and on"));
            assert_eq!(ws.recv().await, Some(Message::text("and on")), "{role:?}, {fault:?}");
            ws.send("after").await.unwrap();
            let expected = [Frame::text("before"), Frame::text("after")];
            assert_eq!(peer.received(), expected, "{role:?}, {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_polled_again_after_a_panic_of_the_transport_sends_its_message_once() {
    for role in ROLES {
        for fault in [Fault::PanicInWrite, Fault::PanicInFlush] {
            let (mut ws, peer) = open(role, Fault::None);
            let task = Task::new();
            // After that, a send may take the fast path.
            assert!(ws.poll_recv(&mut task.cx()).is_pending());
            ws.with_io(|io| io.fault.set(fault)).unwrap();
            let mut sending = Box::pin(ws.send("once"));
            assert!(catch_unwind(AssertUnwindSafe(|| task.poll(&mut sending))).is_err());
            assert_eq!(task.poll(&mut sending), Poll::Ready(Ok(())), "{role:?}, {fault:?}");
            assert_eq!(peer.received(), [Frame::text("once")], "{role:?}, {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_poll_shutdown_reaches_the_caller_and_the_connection_still_ends() {
    let (mut ws, peer) = open(Role::Server, Fault::PanicInShutdown);
    peer.send(Frame::close(1000, ""));
    assert!(catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx()))).is_err());
    repair(&ws);
    peer.end();
    assert_eq!(ws.recv().await, None);
    assert!(ws.close_info().unwrap().is_clean());
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
}

#[test]
fn if_a_flush_panics_in_a_turn_written_payloads_are_dropped_after_the_lock_is_released() {
    without_deadlock(|| {
        let (transport, peer) = TestTransport::new(Role::Server);
        let fault = Cell::new(Fault::PanicInFlush);
        let transport = FaultyTransport { transport, fault, polls: Cell::new(0) };
        let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
        let (task, now) = (Task::new(), Instant::now().into_std());
        // The first turn has nothing to write.
        half.begin_turn(&task.cx(), now);
        assert!(ws.poll_recv(&mut task.cx()).is_pending());
        assert!(half.end_turn(&mut task.cx(), now).is_pending());
        half.begin_turn(&task.cx(), now);
        let (own, (dropped, is_dropped)) = (ws.sender(), mpsc::channel());
        let payload = payload(20_000, move || {
            use_connection(&own);
            dropped.send(()).unwrap();
        });
        assert!(task.poll(&mut Box::pin(ws.send(payload))).is_ready());
        assert!(catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut task.cx()))).is_err());
        is_dropped.try_recv().expect("it was written");
        assert_eq!(peer.received()[0], Frame::binary(vec![b'p'; 20_000]));
    });
}
