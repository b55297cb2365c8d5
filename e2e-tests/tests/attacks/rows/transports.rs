//! Transports that break the contract of `AsyncRead` and `AsyncWrite`, and futures that are dropped.

use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::attack;
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

const FAULTY: Row = Row::new(30, "transports that break their contract");
const DROPPED: Row = Row::new(31, "dropped futures");

/// The fault of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It reads and writes one byte at a time.
    Crawls,
    /// At every other poll it is pending and wakes the task at once.
    WakesForNothing,
    /// It reports twice the number of bytes that it wrote.
    WritesTooMuch,
    /// It writes nothing and reports 0 bytes.
    WritesNothing,
    /// Every other poll fails with `Interrupted`.
    IsInterrupted,
    /// Its flush is always pending.
    NeverFlushes,
    /// It is always pending and wakes no task.
    IsStuck,
    /// It fails with an error that sockets do not return.
    Fails,
}

const FAULTS: [Fault; 8] = [
    Fault::Crawls,
    Fault::WakesForNothing,
    Fault::WritesTooMuch,
    Fault::WritesNothing,
    Fault::IsInterrupted,
    Fault::NeverFlushes,
    Fault::IsStuck,
    Fault::Fails,
];

/// A transport with a fault, the bytes to read from it, and the bytes that were written to it.
struct FaultyTransport {
    fault: Fault,
    input: Vec<u8>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    polls: usize,
    written: Vec<u8>,
    /// Whether the fault is active. It becomes active after the handshake.
    is_faulty: bool,
}

impl FaultyTransport {
    /// Whether this poll is ready, and the largest number of bytes that it may move.
    fn step(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock().unwrap();
        state.polls += 1;
        let other = state.polls.is_multiple_of(2);
        match self.fault {
            _ if !state.is_faulty => Poll::Ready(Ok(usize::MAX)),
            Fault::WakesForNothing if other => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Fault::IsInterrupted if other => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
            Fault::IsStuck => Poll::Pending,
            Fault::Fails => Poll::Ready(Err(io::Error::other("out of order"))),
            Fault::Crawls => Poll::Ready(Ok(1)),
            _ => Poll::Ready(Ok(usize::MAX)),
        }
    }
}

impl AsyncRead for FaultyTransport {
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

impl AsyncWrite for FaultyTransport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = match self.step(cx) {
            Poll::Ready(Ok(most)) => most,
            other => return other,
        };
        let mut state = self.state.lock().unwrap();
        let n = match self.fault {
            Fault::WritesNothing if state.is_faulty => 0,
            _ => bytes.len().min(most),
        };
        state.written.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(if self.fault == Fault::WritesTooMuch && state.is_faulty { 2 * n } else { n }))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.lock().unwrap();
        if self.fault == Fault::NeverFlushes && state.is_faulty { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const MESSAGES: usize = 50;

/// Echoes over such a transport until the connection ends. Returns the number of polls and of echoes written.
async fn echo_over(fault: Fault) -> (usize, usize) {
    let messages = (0..MESSAGES).flat_map(|number| RawFrame::text(number.to_string()).encode(Side::Client));
    let request = RequestHead::new("a", "/").to_bytes();
    let input = request.into_iter().chain(messages).collect();
    let state = Arc::<Mutex<State>>::default();
    let mut config = Config::default();
    (config.write_timeout, config.close_timeout) =
        (Some(Duration::from_millis(200)), Duration::from_millis(200));
    config.keepalive = Some(ws_proto::Keepalive::new(Duration::from_millis(200), Duration::from_millis(200)));
    let transport = FaultyTransport { fault, input, state: Arc::clone(&state) };
    // The handshake is done without the fault.
    let pending =
        Acceptor::new().config(config.validate().unwrap()).read_request(transport, Vec::new()).await.unwrap();
    let mut ws = pending.accept().await.unwrap();
    {
        let mut state = state.lock().unwrap();
        *state = State { is_faulty: true, ..State::default() };
    }
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
    assert!(ws.close_info().is_some());
    let state = state.lock().unwrap();
    (state.polls, echoes(&state.written))
}

/// The number of complete messages. Checks their order.
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
fn a_faulty_transport_causes_no_panic_and_no_busy_loop() {
    attack(async || {
        let (mut most, mut lost) = (0, 0);
        for fault in FAULTS {
            let (polls, echoed) = echo_over(fault).await;
            println!("{fault:?}: {polls} polls, {echoed} echoes");
            most = most.max(polls);
            let all = matches!(fault, Fault::Crawls | Fault::WakesForNothing | Fault::IsInterrupted);
            lost += if all { MESSAGES - echoed } else { 0 };
        }
        let part = format!("{} faults, {MESSAGES} echoes each", FAULTS.len());
        FAULTY.at_most(&format!("{part}: polls until the end"), most, 2500, "");
        FAULTY.exactly(&format!("{part}: echoes lost with faults that only delay"), lost, 0, "");
    });
}

/// Polls a future this many times, lets other tasks run in between, and drops it.
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
    let (config, now) = (Config::default().validate().unwrap(), Instant::now());
    let masks = Box::new(ChaChaMaskSource::from_seed([8; 32]));
    let client = WebSocket::new(client, Connection::client(config.clone(), masks, now));
    (client, WebSocket::new(server, Connection::server(config, now)))
}

/// Sends and receives with futures that are dropped after this many polls. Returns the number of messages that were
/// lost, duplicated or changed.
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
        // A send that was polled once has queued its message.
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
fn futures_that_are_dropped_after_any_poll_lose_and_duplicate_no_message() {
    attack(async || {
        let (step, messages) = (scaled(1, 4), 20);
        let (mut tried, mut wrong) = (0, 0);
        for polls in (0..=200).step_by(step) {
            wrong += exchange(polls, messages).await;
            tried += messages;
        }
        DROPPED.exactly(
            &format!("{tried} messages, futures dropped after 0 to 200 polls: lost, duplicated or changed"),
            wrong,
            0,
            "",
        );
    });
}
