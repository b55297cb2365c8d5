//! Transports with a buffer of their own, as TLS has: it must be flushed too.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{Config, Connection, MessageKind};
use ws_tokio::internal::{Driver, ServerHalf};

use crate::tests::{Echo, FunctionTask, HandlerTask, Task, masked, registration, run_until_idle};

/// A transport that buffers everything, and passes it on unless it is stuck.
#[derive(Clone, Default)]
struct Buffered(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    incoming: Vec<u8>,
    buffer: Vec<u8>,
    passed_on: Vec<u8>,
    is_stuck: bool,
    ended: bool,
    reader: Option<Waker>,
    flusher: Option<Waker>,
}

impl Buffered {
    fn deliver(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        state.incoming.extend_from_slice(bytes);
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    fn end(&self) {
        self.0.borrow_mut().ended = true;
        self.deliver(&[]);
    }

    fn set_stuck(&self, is_stuck: bool) {
        let mut state = self.0.borrow_mut();
        state.is_stuck = is_stuck;
        state.flusher.take().into_iter().for_each(Waker::wake);
    }

    fn passed_on(&self) -> usize {
        self.0.borrow().passed_on.len()
    }
}

impl crate::net::Io for Buffered {}

impl AsyncRead for Buffered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.incoming.is_empty() && !state.ended {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buf.remaining().min(state.incoming.len());
        buf.put_slice(&state.incoming.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().buffer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.is_stuck && !state.buffer.is_empty() {
            state.flusher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let flushed = std::mem::take(&mut state.buffer);
        state.passed_on.extend(flushed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn connection(change: impl FnOnce(&mut Config)) -> Connection {
    let mut config = Config::default();
    config.keepalive = None;
    change(&mut config);
    Connection::server(config.validate().expect("valid"), Instant::now())
}

/// A handler's task and an async function's task, both of which echo.
fn tasks(change: impl Fn(&mut Config)) -> [(Buffered, Task); 2] {
    let (one, other) = (Buffered::default(), Buffered::default());
    let handler = HandlerTask::new(Echo, one.clone(), connection(&change), &[], registration());
    let (half, mut ws) = ServerHalf::new(other.clone(), connection(&change), &[]);
    let echo = async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await.expect("open");
        }
    };
    [(one, Box::pin(handler)), (other, Box::pin(FunctionTask::new(half, Some(echo), registration())))]
}

#[test]
fn what_a_transport_holds_is_passed_on_once_it_can_be() {
    for (transport, mut task) in tasks(|_| ()) {
        run_until_idle(&mut task);
        transport.set_stuck(true);
        transport.deliver(&masked(20));
        run_until_idle(&mut task);
        assert_eq!(transport.passed_on(), 0);
        transport.set_stuck(false);
        run_until_idle(&mut task);
        assert_eq!(transport.passed_on(), 22, "although nothing else is to be written");
    }
}

#[test]
fn a_half_closed_peer_still_gets_what_a_transport_holds() {
    for (transport, mut task) in tasks(|_| ()) {
        run_until_idle(&mut task);
        transport.set_stuck(true);
        transport.deliver(&masked(20));
        run_until_idle(&mut task);
        transport.end();
        run_until_idle(&mut task);
        transport.set_stuck(false);
        super::run_to_end(&mut task);
        assert_eq!(transport.passed_on(), 22);
    }
}

#[test]
fn a_transport_that_passes_nothing_on_is_given_up_in_time() {
    let transport = Buffered::default();
    let mut driver = Driver::new(transport.clone(), connection(|_| ()));
    transport.set_stuck(true);
    let now = Instant::now();
    let mut cx = Context::from_waker(Waker::noop());
    let (connection, tx) = driver.parts_mut();
    connection.send(MessageKind::Binary, &[0; 20], tx).expect("open");
    assert!(driver.poll_write(&mut cx, now).is_pending());
    driver.end_turn(None);
    assert!(!driver.is_quiet());
    assert_eq!(driver.poll_timeout(), Some(now + Duration::from_secs(60)), "the write timeout");
    transport.set_stuck(false);
    assert!(driver.poll_write(&mut cx, now).is_ready());
    driver.end_turn(None);
    assert!(driver.is_quiet());
    assert_eq!(driver.poll_timeout(), None);
}
