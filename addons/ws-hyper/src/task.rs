//! The task of one connection. It moves the bytes, watches the deadlines and, for a closure, runs the application.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};
use ws_proto::error::ConnectionError;
use ws_tokio::internal::{ServerHalf, TurnEnd, guarded};

use crate::{
    stream::HyperStream,
    tracker::{Phase, Tracked},
};

pub(crate) struct ConnectionTask<F> {
    half: ServerHalf<HyperStream>,
    /// The application's future, until it is done. `None` if another task has the `WebSocket`.
    application: Option<Pin<Box<F>>>,
    timer: Timer,
    tracked: Tracked,
}

/// Runs a connection from its upgrade to its end. The upgrade has an allocation of its own, which is freed when the
/// connection opens.
pub(crate) async fn open_and_serve<U, F>(opening: Pin<Box<U>>)
where
    U: Future<Output = Option<ConnectionTask<F>>>,
    F: Future<Output = ()>,
{
    let mut opened = opening.await;
    // Awaited by reference, because awaiting the value reserves room for it twice.
    if let Some(task) = &mut opened {
        Pin::new(task).await;
    }
}

impl<F: Future<Output = ()>> ConnectionTask<F> {
    /// Without an application the task ends with the connection.
    pub(crate) fn new(half: ServerHalf<HyperStream>, application: Option<F>, tracked: Tracked) -> Self {
        Self { half, application: application.map(Box::pin), timer: Timer::default(), tracked }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = tokio::time::Instant::now().into_std();
        self.half.begin_turn(cx, now);
        match self.tracked.phase() {
            Phase::Running => {}
            Phase::Draining => {
                let (code, reason) = self.tracked.close();
                self.half.close(code, &reason);
            }
            Phase::Forcing => {
                self.half.abort();
                self.end_application();
            }
        }
        self.poll_application(cx);
        let is_armed = self.timer.is_armed(cx);
        let TurnEnd { has_ended, due, .. } = self.half.end_turn_with_timer(cx, now, is_armed);
        if has_ended {
            self.tracked.count_end(self.half.close_info().as_ref());
            if self.application.is_none() {
                return Poll::Ready(());
            }
        }
        self.timer.arm(due, cx);
        Poll::Pending
    }

    fn poll_application(&mut self, cx: &mut Context<'_>) {
        let Some(application) = &mut self.application else { return };
        match guarded(|| application.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.end_application(),
            Err(_panicked) => {
                tracing::error!("a connection's future panicked; its connection is closed with 1011");
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

impl<F: Future<Output = ()>> Future for ConnectionTask<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.tracked.set_task(cx.waker());
        guarded(|| this.turn(cx)).unwrap_or_else(|_panicked| {
            tracing::error!("a connection's turn panicked; the connection is cut off");
            this.end_application();
            Poll::Ready(())
        })
    }
}

/// A timer that is moved only to an earlier time. When it ends too early, the task looks at its deadlines and arms it
/// again, so that moving a deadline to a later time costs nothing.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

impl Timer {
    /// Whether the timer has not ended yet. If so, it wakes the task.
    fn is_armed(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(sleep) = self.sleep.as_mut().filter(|_| self.is_armed) {
            self.is_armed = sleep.as_mut().poll(cx).is_pending();
        }
        self.is_armed
    }

    /// Wakes the task at `due`, or earlier.
    fn arm(&mut self, due: Option<Instant>, cx: &mut Context<'_>) {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return };
        match &mut self.sleep {
            Some(sleep) if self.is_armed && sleep.deadline() <= due => return,
            Some(sleep) => sleep.as_mut().reset(due),
            None => self.sleep = Some(Box::pin(sleep_until(due))),
        }
        self.is_armed = true;
        if !self.is_armed(cx) {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, Ready};

    use super::*;

    #[test]
    fn the_task_of_a_connection_is_small() {
        fn size_of_future<U, F: Future>(_: impl FnOnce(Pin<Box<U>>) -> F) -> usize {
            size_of::<F>()
        }
        let task = size_of_future(open_and_serve::<Ready<Option<ConnectionTask<Pending<()>>>>, Pending<()>>);
        println!("a connection's task: {task} bytes");
        assert!(task <= 96, "{task}");
    }
}
