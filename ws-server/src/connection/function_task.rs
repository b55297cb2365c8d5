//! The task of one connection that an async function serves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, error::ConnectionError};
use ws_tokio::internal::{ServerHalf, TurnEnd, guarded};

use crate::shard::{registration::Registration, server_state::ShutdownPhase};

pub(crate) struct FunctionTask<F, S: AsyncRead + AsyncWrite + Unpin> {
    served: ServerHalf<S>,
    /// The application's future, until it is done.
    application: Option<Pin<Box<F>>>,
    registration: Registration,
    /// Whether the registration has this task's waker.
    waker_is_set: bool,
    /// Whether the end was counted.
    is_over: bool,
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> FunctionTask<F, S> {
    /// Without an application the task only brings the connection to its end.
    pub(crate) fn new(served: ServerHalf<S>, application: Option<F>, registration: Registration) -> Self {
        Self {
            served,
            application: application.map(Box::pin),
            registration,
            waker_is_set: false,
            is_over: false,
        }
    }

    /// The server's half of the connection.
    #[cfg(target_os = "linux")]
    pub(crate) const fn served(&self) -> &ServerHalf<S> {
        &self.served
    }

    /// One turn, as a task's poll function. A panic of the application's future ends the connection with 1011. Any
    /// other panic passes through; call [`on_panic`](Self::on_panic) then.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
        let TurnEnd { over: has_ended, due } = self.served.end_turn_with_timer(cx, now, armed);
        if has_ended && !self.is_over {
            self.is_over = true;
            self.registration.shard().server.count_end(self.served.close_info().as_ref());
        }
        if has_ended && self.application.is_none() {
            return Poll::Ready(());
        }
        self.registration.arm(due, tick);
        Poll::Pending
    }

    /// A turn panicked outside of the application's future: the connection is cut off.
    pub(crate) fn on_panic(&mut self) {
        tracing::error!("a connection's turn panicked; the connection is cut off");
        self.end_application();
    }

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

    /// Drops the application's future. Its destructors may panic too.
    fn end_application(&mut self) {
        let application = self.application.take();
        let _ = guarded(|| drop(application));
    }
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> Future for FunctionTask<F, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.waker_is_set {
            this.waker_is_set = true;
            this.registration.set_waker(cx.waker());
        }
        guarded(|| this.turn(cx)).unwrap_or_else(|_panicked| {
            this.on_panic();
            Poll::Ready(())
        })
    }
}

impl<F, S: AsyncRead + AsyncWrite + Unpin> Drop for FunctionTask<F, S> {
    fn drop(&mut self) {
        if !self.is_over {
            self.registration.shard().server.count_end(None);
        }
    }
}
