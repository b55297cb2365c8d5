//! The task of one connection that an async function serves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::error::ConnectionError;
use ws_tokio::internal::{ServerHalf, TurnEnd, guarded};

use crate::{
    log_limit::log_limited,
    measure::PanicPlace,
    shard::{registration::Registration, server_state::ShutdownPhase},
};

use super::slowness::Slowness;

pub(crate) struct FunctionTask<F, S: AsyncRead + AsyncWrite + Unpin> {
    half: ServerHalf<S>,
    /// The application's future, until it is done.
    application: Option<Pin<Box<F>>>,
    registration: Registration,
    /// Whether the registration has this task's waker.
    waker_is_set: bool,
    slowness: Slowness,
    /// Whether the reactor has queued the connection for another turn. The flag costs no memory here.
    #[cfg(target_os = "linux")]
    pub(crate) wants_turn: bool,
}

impl<F: Future<Output = ()>, S: AsyncRead + AsyncWrite + Unpin> FunctionTask<F, S> {
    /// Without an application the task only brings the connection to its end.
    pub(crate) fn new(half: ServerHalf<S>, application: Option<F>, registration: Registration) -> Self {
        Self {
            half,
            application: application.map(Box::pin),
            registration,
            waker_is_set: false,
            slowness: Slowness::default(),
            #[cfg(target_os = "linux")]
            wants_turn: false,
        }
    }

    /// The time of this connection's turns.
    #[cfg(target_os = "linux")]
    pub(crate) fn now(&self) -> std::time::Instant {
        self.registration.shard().now()
    }

    /// The server's half of the connection.
    #[cfg(target_os = "linux")]
    pub(crate) const fn half(&self) -> &ServerHalf<S> {
        &self.half
    }

    /// One turn, as a task's poll function. A panic of the application's future ends the connection with 1011. Any
    /// other panic passes through; call [`on_panic`](Self::on_panic) then.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.registration.span() {
            None => self.turn_in_span(cx),
            Some(span) => span.in_scope(|| self.turn_in_span(cx)),
        }
    }

    #[inline]
    fn turn_in_span(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.registration.shard().tick();
        let now = self.registration.shard().time_of(tick);
        self.half.begin_turn(cx, now);
        match self.registration.shutdown_phase() {
            ShutdownPhase::Running => {}
            ShutdownPhase::Draining => {
                let (code, reason) = self.registration.shard().server.shutdown_close();
                self.half.close(code, reason);
            }
            ShutdownPhase::Forcing => {
                self.half.abort();
                self.end_application();
            }
        }
        self.poll_application(cx);
        let is_armed = self.registration.is_armed(tick);
        let TurnEnd { has_ended, due, is_quiet, is_pressed } =
            self.half.end_turn_with_timer(cx, now, is_armed);
        if is_pressed || self.slowness.is_slow() {
            self.follow_pressure(has_ended);
        }
        if has_ended && !self.registration.has_ended() {
            self.registration.end(self.half.close_info().as_ref());
        }
        if has_ended && self.application.is_none() {
            return Poll::Ready(());
        }
        // The deadlines of a quiet connection can only have moved to a later time, so its timer is early enough.
        if !is_quiet || !is_armed {
            self.registration.arm(due, is_quiet, tick);
        }
        Poll::Pending
    }

    /// A turn panicked outside of the application's future: the connection is cut off.
    pub(crate) fn on_panic(&mut self) {
        let limits = &self.registration.shard().server.log_limits;
        log_limited!(limits, Panic, error, "a connection's turn panicked; the connection is cut off");
        self.end_application();
    }

    /// Tells the observer if the peer has become slow, or is no longer.
    #[cold]
    fn follow_pressure(&mut self, has_ended: bool) {
        let pressure = self.half.pressure(!self.slowness.is_slow());
        if has_ended {
            self.slowness.follow_end(&pressure, &mut self.registration);
        } else {
            self.slowness.follow(&pressure, &mut self.registration);
        }
    }

    fn poll_application(&mut self, cx: &mut Context<'_>) {
        let Some(application) = &mut self.application else { return };
        match guarded(|| application.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.end_application(),
            Err(_) => {
                self.registration.shard().server.note_panic(
                    PanicPlace::Function,
                    "a connection's future panicked; its connection is closed with 1011",
                );
                self.half.fail(ConnectionError::Internal);
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
