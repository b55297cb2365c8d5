//! Transports that lie, and futures that are dropped.

use crate::scale::scaled;
use crate::table::Row;
use crate::victim::attack;
use e2e_tests::raw_peer::{RawFrame, RequestHead, Side, decode, opcode};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use ws_proto::{Config, Connection, Message, mask::ChaChaMaskSource};
use ws_server::{Acceptor, WebSocket};

const LYING: Row = Row::new(30, "transports that lie");
const DROPPED: Row = Row::new(31, "futures that are dropped");

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It takes and gives a byte at a time.
    Crawls,
    /// It is not ready every other time, and wakes at once.
    WakesForNothing,
    /// It has written twice what it was given.
    WritesTooMuch,
    /// It writes nothing, and says so.
    WritesNothing,
    /// It is interrupted every other time.
    IsInterrupted,
    /// It never flushes.
    NeverFlushes,
    /// It is never ready, and wakes nobody.
    IsStuck,
    /// It fails, in a way that no socket does.
    Fails,
}

const LIES: [Lie; 8] = [
    Lie::Crawls,
    Lie::WakesForNothing,
    Lie::WritesTooMuch,
    Lie::WritesNothing,
    Lie::IsInterrupted,
    Lie::NeverFlushes,
    Lie::IsStuck,
    Lie::Fails,
];

/// A script to read, and what was written.
struct Liar {
    lie: Lie,
    input: Vec<u8>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    polls: usize,
    written: Vec<u8>,
    /// The handshake is done: from here on it lies.
    lies: bool,
}

impl Liar {
    /// Whether it does something at this poll, and how much at a time.
    fn step(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock().unwrap();
        state.polls += 1;
        let other = state.polls.is_multiple_of(2);
        match self.lie {
            _ if !state.lies => Poll::Ready(Ok(usize::MAX)),
            Lie::WakesForNothing if other => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Lie::IsInterrupted if other => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
            Lie::IsStuck => Poll::Pending,
            Lie::Fails => Poll::Ready(Err(io::Error::other("out of order"))),
            Lie::Crawls => Poll::Ready(Ok(1)),
            _ => Poll::Ready(Ok(usize::MAX)),
        }
    }
}

impl AsyncRead for Liar {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.step(cx) {
            Poll::Ready(Ok(most)) => {
                let n = most.min(self.input.len()).min(buf.remaining());
                buf.put_slice(&self.input.drain(..n).collect::<Vec<_>>());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Liar {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = match self.step(cx) {
            Poll::Ready(Ok(most)) => most,
            other => return other,
        };
        let mut state = self.state.lock().unwrap();
        let n = match self.lie {
            Lie::WritesNothing if state.lies => 0,
            _ => bytes.len().min(most),
        };
        state.written.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(if self.lie == Lie::WritesTooMuch && state.lies { 2 * n } else { n }))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.lock().unwrap();
        if self.lie == Lie::NeverFlushes && state.lies { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const MESSAGES: usize = 50;

/// Echoes over such a transport until it is over; how often it was polled, and how many echoes went out.
async fn echo_over(lie: Lie) -> (usize, usize) {
    let messages = (0..MESSAGES).flat_map(|number| RawFrame::text(number.to_string()).encode(Side::Client));
    let request = RequestHead::new("a", "/").to_bytes();
    let input = request.into_iter().chain(messages).collect();
    let state = Arc::<Mutex<State>>::default();
    let mut config = Config::default();
    (config.write_timeout, config.close_timeout) =
        (Some(Duration::from_millis(200)), Duration::from_millis(200));
    config.keepalive = Some(ws_proto::Keepalive {
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(200),
    });
    let liar = Liar { lie, input, state: Arc::clone(&state) };
    // The handshake is honest, or there would be nothing to try.
    let pending = Acceptor::new(config.build().unwrap()).read_request(liar, Vec::new()).await.unwrap();
    let mut ws = pending.accept().await.unwrap();
    {
        let mut state = state.lock().unwrap();
        *state = State { lies: true, ..State::default() };
    }
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
    assert!(ws.close_info().is_some());
    let state = state.lock().unwrap();
    (state.polls, echoes(&state.written))
}

/// How many whole messages there are, in order.
fn echoes(mut written: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some((frame, len))) = decode(written, Side::Server, false) {
        if frame.opcode == opcode::TEXT {
            assert_eq!(frame.payload, count.to_string().as_bytes());
            count += 1;
        }
        written = &written[len..];
    }
    count
}

#[test]
fn a_transport_that_lies_gets_no_panic_and_no_spinning() {
    attack(async || {
        let (mut most, mut lost) = (0, 0);
        for lie in LIES {
            let (polls, echoed) = echo_over(lie).await;
            println!("{lie:?}: {polls} polls, {echoed} echoes");
            most = most.max(polls);
            let all = matches!(lie, Lie::Crawls | Lie::WakesForNothing | Lie::IsInterrupted);
            lost += if all { MESSAGES - echoed } else { 0 };
        }
        let part = format!("{} kinds, {MESSAGES} echoes each", LIES.len());
        LYING.at_most(&format!("{part}: polls until it was over"), most, 2500, "");
        LYING.exactly(&format!("{part}: echoes lost by those that only dawdle"), lost, 0, "");
    });
}

/// Polls a future so many times, with others in between, and drops it.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(value) = polled.await {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

fn pair() -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(37);
    let (config, now) = (Config::default().build().unwrap(), Instant::now());
    let masks = Box::new(ChaChaMaskSource::from_seed([8; 32]));
    let client = WebSocket::new(client, Connection::client(Arc::clone(&config), masks, now));
    (client, WebSocket::new(server, Connection::server(config, now)))
}

/// Sends and receives by futures that live for so many polls; how many messages were lost, doubled or changed.
async fn exchange(polls: usize, messages: usize) -> usize {
    let (mut client, mut server) = pair();
    let echo = tokio::spawn(async move {
        while let Some(message) = server.recv().await {
            let _ = server.send(message).await;
        }
    });
    let text = |number: usize| format!("{number} {}", "x".repeat(number * 13 % 90));
    let mut received = Vec::new();
    for number in 0..messages {
        // A send that was polled once has sent.
        dropped_after(polls.max(1), client.send(text(number))).await;
        received.extend(dropped_after(polls, client.recv()).await.flatten());
        dropped_after(polls, client.flush()).await;
    }
    while received.len() < messages {
        match client.recv().await {
            Some(message) => received.push(message),
            None => break,
        }
    }
    dropped_after(polls.max(1), client.close(ws_server::CloseCode::NORMAL, "")).await;
    while let Some(message) = client.recv().await {
        received.push(message);
    }
    echo.await.unwrap();
    let expected: Vec<Message> = (0..messages).map(|number| text(number).into()).collect();
    received.len().abs_diff(expected.len())
        + received.iter().zip(&expected).filter(|(one, other)| one != other).count()
}

#[test]
fn futures_that_are_dropped_after_any_poll_lose_and_double_nothing() {
    attack(async || {
        let (step, messages) = (scaled(1, 4), 20);
        let (mut tried, mut wrong) = (0, 0);
        for polls in (0..=200).step_by(step) {
            wrong += exchange(polls, messages).await;
            tried += messages;
        }
        DROPPED.exactly(
            &format!("{tried} messages, after 0 to 200 polls: lost, doubled or changed"),
            wrong,
            0,
            "",
        );
    });
}
