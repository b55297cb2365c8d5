//! The task of one connection that an async function serves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, ConnectionError};
use ws_tokio::{Served, TurnEnd, guarded};

use crate::shard::{registration::Registration, server_state::ShutdownPhase};

pub(crate) struct FunctionTask<F, S: AsyncRead + AsyncWrite + Unpin> {
    served: Served<S>,
    /// The application's future; gone once it is done.
    application: Option<Pin<Box<F>>>,
    registration: Registration,
    known: bool,
    over: bool,
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> FunctionTask<F, S> {
    /// Without an application the connection is only seen to its end.
    pub(crate) fn new(served: Served<S>, application: Option<F>, registration: Registration) -> Self {
        Self { served, application: application.map(Box::pin), registration, known: false, over: false }
    }

    /// The connection's end of the server.
    #[cfg(target_os = "linux")]
    pub(crate) const fn served(&self) -> &Served<S> {
        &self.served
    }

    /// One turn, as a task's poll function. A panic of the application ends the connection with 1011; any other one ends
    /// it at once, and the thread lives.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        guarded(|| self.turn(cx)).unwrap_or_else(|_panicked| {
            tracing::error!("a connection's turn panicked; it is cut off");
            self.end_application();
            Poll::Ready(())
        })
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.registration.shard().tick();
        let now = self.registration.shard().time_of(tick);
        self.served.begin_turn(cx, now);
        match self.registration.shard().server.phase() {
            ShutdownPhase::Running => {}
            ShutdownPhase::Draining => self.served.close(CloseCode::GOING_AWAY, ""),
            ShutdownPhase::Forcing => {
                self.served.abort();
                self.end_application();
            }
        }
        self.poll_application(cx);
        let armed = self.registration.is_armed(tick);
        let TurnEnd { over: finished, due } = self.served.end_turn_with_timer(cx, now, armed);
        if finished && !self.over {
            self.over = true;
            self.registration.shard().server.count_end(self.served.close_info().as_ref());
        }
        if finished && self.application.is_none() {
            return Poll::Ready(());
        }
        self.registration.arm(due, tick);
        Poll::Pending
    }

    /// Polls the application. A panic ends the connection with 1011 and nothing else.
    fn poll_application(&mut self, cx: &mut Context<'_>) {
        let Some(application) = &mut self.application else { return };
        match guarded(|| application.as_mut().poll(cx)) {
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
        let _ = guarded(|| drop(application));
    }
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> Future for FunctionTask<F, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.known {
            this.known = true;
            this.registration.set_waker(cx.waker());
        }
        this.poll_turn(cx)
    }
}

impl<F, S: AsyncRead + AsyncWrite + Unpin> Drop for FunctionTask<F, S> {
    fn drop(&mut self) {
        if !self.over {
            self.registration.shard().server.count_end(None);
        }
    }
}
