//! Transports that break their contract, as far as safe Rust lets them: nobody reads what is another's, nothing spins,
//! and a panic is theirs alone.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{ConnectionError, Message, Role};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Script, Task, config, connection};

/// Polls of the transport within one poll of a future; who needs more does not come back.
const PATIENCE: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// A read gives back a buffer of its own, of that length.
    OtherBuffer(usize),
    /// A read says that it read so much, and wrote nothing.
    Claims(usize),
    /// The same, by another call.
    ClaimsFilled(usize),
    /// The same, of a buffer that it had initialized.
    ClaimsInitialized(usize),
    /// A write says that it took more than there was.
    TookTooMuch,
    /// Nothing is ever done but interrupted.
    Interrupted,
    /// Everything is written, and the flush behind it is always interrupted.
    InterruptedFlush,
    /// There is always one more ping to read.
    EndlessPings,
    PanicInRead,
    PanicInWrite,
    PanicInFlush,
    PanicInShutdown,
}

struct Liar {
    script: Script,
    lie: Cell<Lie>,
    polls: Cell<usize>,
}

impl Liar {
    fn poll(&self) {
        self.polls.set(self.polls.get() + 1);
        assert!(self.polls.get() < PATIENCE, "it spins");
    }

    fn panics_if(&self, lie: Lie) {
        assert!(self.lie.get() != lie, "on purpose");
    }
}

impl AsyncRead for Liar {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Lie::PanicInRead);
        match self.lie.get() {
            Lie::OtherBuffer(len) => {
                let mut other = ReadBuf::new(vec![0x81; len].leak());
                other.set_filled(len);
                *buffer = other;
                Poll::Ready(Ok(()))
            }
            Lie::Claims(len) => {
                buffer.advance(len.min(buffer.remaining()));
                Poll::Ready(Ok(()))
            }
            Lie::ClaimsFilled(len) => {
                buffer.set_filled(len.min(buffer.capacity()));
                Poll::Ready(Ok(()))
            }
            Lie::ClaimsInitialized(len) => {
                let len = buffer.initialize_unfilled().len().min(len);
                buffer.advance(len);
                Poll::Ready(Ok(()))
            }
            Lie::Interrupted => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Lie::EndlessPings => {
                buffer.put_slice(&Frame::ping("").encode(true));
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut self.script).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Liar {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll();
        self.panics_if(Lie::PanicInWrite);
        match self.lie.get() {
            Lie::TookTooMuch => Poll::Ready(Ok(bytes.len() + 1000)),
            Lie::Interrupted => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            _ => Pin::new(&mut self.script).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Lie::PanicInFlush);
        if self.lie.get() == Lie::InterruptedFlush {
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.script).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll();
        self.panics_if(Lie::PanicInShutdown);
        Pin::new(&mut self.script).poll_shutdown(cx)
    }
}

fn open(role: Role, lie: Lie) -> (WebSocket<Liar>, Peer) {
    let (script, peer) = Script::new(role);
    let liar = Liar { script, lie: Cell::new(lie), polls: Cell::new(0) };
    (WebSocket::new(liar, connection(role, config())), peer)
}

/// From now on it does as it should.
fn reform(ws: &WebSocket<Liar>) {
    ws.with_io(|io| io.lie.set(Lie::None)).unwrap();
}

/// One poll, which ends, and after which the task goes on by itself.
fn comes_back<T>(ws: &mut WebSocket<Liar>, poll: impl FnOnce(&mut WebSocket<Liar>, &Task) -> Poll<T>) {
    ws.with_io(|io| io.polls.set(0)).unwrap();
    let task = Task::new();
    assert!(poll(ws, &task).is_pending());
    assert!(task.was_woken(), "to go on");
}

#[tokio::test(start_paused = true)]
async fn a_read_into_another_buffer_is_a_failure_of_the_transport() {
    for role in ROLES {
        // Less, and more, than what was lent.
        for len in [1, 102, 300_000] {
            let (mut ws, _peer) = open(role, Lie::OtherBuffer(len));
            assert_eq!(ws.recv().await, None, "{role:?}: nothing was received");
            let error = ws.close_info().unwrap().error;
            assert_eq!(error, Some(ConnectionError::Transport(ErrorKind::InvalidData)), "{role:?}, {len}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_wrote_less_than_it_says_gives_nothing_of_others() {
    const SECRET: &str = "what another connection has received; ";
    for role in ROLES {
        for len in [10, 1000, 100_000] {
            let secret = SECRET.repeat(len / SECRET.len() + 1);
            let frame = Frame::text(secret.as_bytes());
            let encoded = frame.encode(role == Role::Server);
            let size = encoded.len();
            let lies = [Lie::Claims(size), Lie::ClaimsFilled(size), Lie::ClaimsInitialized(size)];
            // At the beginning of a frame, and behind the beginning of a large one.
            for (lie, begun) in lies.into_iter().flat_map(|lie| [(lie, 0), (lie, 20)]) {
                let (mut other, peer) = open(role, Lie::None);
                peer.send(frame.clone());
                assert_eq!(other.recv().await, Some(Message::text(secret.as_str())));
                let (mut ws, peer) = open(role, Lie::None);
                peer.send_bytes(&encoded[..begun.min(size - 1)]);
                let _ = ws.poll_recv(&mut Task::new().cx());
                ws.with_io(|io| io.lie.set(lie)).unwrap();
                let polled = catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx())));
                if let Ok(Poll::Ready(Some(message))) = polled {
                    let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
                    let known = if begun == 0 { 0 } else { 20 };
                    assert!(!text[known.min(text.len())..].contains("another"), "{role:?}, {lie:?}: {text}");
                }
                drop((other, ws));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_took_more_than_there_was_took_what_there_was() {
    for role in ROLES {
        let (mut ws, peer) = open(role, Lie::TookTooMuch);
        for message in ["a".to_owned(), "b".repeat(100_000)] {
            ws.send(message).await.unwrap();
        }
        peer.send(Frame::text("still there"));
        assert_eq!(ws.recv().await, Some(Message::text("still there")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_is_always_interrupted_keeps_nobody_else_from_working() {
    for role in ROLES {
        let (mut ws, _peer) = open(role, Lie::Interrupted);
        comes_back(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
        comes_back(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
        comes_back(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_interrupted_is_tried_again() {
    for role in ROLES {
        let (mut ws, peer) = open(role, Lie::InterruptedFlush);
        comes_back(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
        comes_back(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
        reform(&ws);
        ws.send("and on").await.unwrap();
        assert_eq!(peer.received(), [Frame::text("hello"), Frame::text("and on")], "{role:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pings_without_end_keep_nobody_else_from_working() {
    let (mut ws, peer) = open(Role::Server, Lie::EndlessPings);
    comes_back(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    assert!(!peer.received().is_empty(), "they are answered");
    peer.take_only(0);
    comes_back(&mut ws, |ws, task| task.poll(&mut Box::pin(ws.send("hello"))));
    peer.take_everything();
    comes_back(&mut ws, |ws, task| ws.poll_recv(&mut task.cx()));
    assert_eq!(peer.received().iter().find(|frame| frame.is_data()), Some(&Frame::text("hello")));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_transport_passes_through_and_breaks_nothing() {
    for role in ROLES {
        for lie in [Lie::PanicInRead, Lie::PanicInWrite, Lie::PanicInFlush] {
            let (mut ws, peer) = open(role, lie);
            ws.feed("before").await.unwrap();
            let polled = catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx())));
            assert!(polled.is_err(), "{role:?}, {lie:?}: it is the caller's to see");
            reform(&ws);
            peer.send(Frame::text("and on"));
            assert_eq!(ws.recv().await, Some(Message::text("and on")), "{role:?}, {lie:?}");
            ws.send("after").await.unwrap();
            let expected = [Frame::text("before"), Frame::text("after")];
            assert_eq!(peer.received(), expected, "{role:?}, {lie:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_shutdown_passes_through_and_the_end_is_still_reached() {
    let (mut ws, peer) = open(Role::Server, Lie::PanicInShutdown);
    peer.send(Frame::close(1000, ""));
    assert!(catch_unwind(AssertUnwindSafe(|| ws.poll_recv(&mut Task::new().cx()))).is_err());
    reform(&ws);
    peer.end();
    assert_eq!(ws.recv().await, None);
    assert!(ws.close_info().unwrap().is_clean());
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
}
