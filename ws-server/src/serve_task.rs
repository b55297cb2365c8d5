//! The task of one connection that an async function serves.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, ConnectionError};
use ws_tokio::Served;

use crate::{hub::Phase, shard::Seat};

pub(crate) struct ServeTask<F, S: AsyncRead + AsyncWrite + Unpin> {
    served: Served<S>,
    /// The application's future; gone once it is done.
    application: Option<Pin<Box<F>>>,
    seat: Seat,
    known: bool,
    over: bool,
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> ServeTask<F, S> {
    /// Without an application the connection is only seen to its end.
    pub(crate) fn new(served: Served<S>, application: Option<F>, seat: Seat) -> Self {
        Self { served, application: application.map(Box::pin), seat, known: false, over: false }
    }

    /// Polls the application. A panic ends the connection with 1011 and nothing else.
    fn poll_application(&mut self, cx: &mut Context<'_>) {
        let Some(application) = &mut self.application else { return };
        match catch_unwind(AssertUnwindSafe(|| application.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.end_application(),
            Err(_) => {
                tracing::error!("a connection's future panicked; its connection is closed with 1011");
                self.served.fail(ConnectionError::Internal);
                self.end_application();
            }
        }
    }

    /// Drops the application; its destructors may panic too.
    fn end_application(&mut self) {
        let application = self.application.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(application)));
    }
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> Future for ServeTask<F, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let tick = this.seat.shard().tick();
        let now = this.seat.shard().time_of(tick);
        if !this.known {
            this.known = true;
            this.seat.set_waker(cx.waker());
        }
        this.served.begin_turn(cx, now);
        match this.seat.shard().hub.phase() {
            Phase::Running => {}
            Phase::Draining => this.served.close(CloseCode::GOING_AWAY, ""),
            Phase::Forcing => {
                this.served.abort();
                this.end_application();
            }
        }
        this.poll_application(cx);
        let finished = this.served.end_turn(cx, now).is_ready();
        if finished && !this.over {
            this.over = true;
            this.seat.shard().hub.count_end(this.served.close_info().as_ref());
        }
        if finished && this.application.is_none() {
            return Poll::Ready(());
        }
        this.seat.arm(this.served.poll_timeout(), tick);
        Poll::Pending
    }
}

impl<F, S: AsyncRead + AsyncWrite + Unpin> Drop for ServeTask<F, S> {
    fn drop(&mut self) {
        if !self.over {
            self.seat.shard().hub.count_end(None);
        }
    }
}
