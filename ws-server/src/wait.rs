//! Waiting for two futures in one task. tokio's macros for this are procedural, and tokio's build waits for them: that
//! is a tenth of the time that a minimal server takes to compile.

/// What [`first!`] returns.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for either of two futures, and drops both. If both are ready, it is the left one.
macro_rules! first {
    ($left:expr, $right:expr) => {{
        let mut left = std::pin::pin!($left);
        let mut right = std::pin::pin!($right);
        std::future::poll_fn(|cx| match left.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready($crate::wait::First::Left(output)),
            std::task::Poll::Pending => right.as_mut().poll(cx).map($crate::wait::First::Right),
        })
        .await
    }};
}

/// Waits for both of two futures that return nothing.
macro_rules! both {
    ($left:expr, $right:expr) => {{
        let mut left = std::pin::pin!($left);
        let mut right = std::pin::pin!($right);
        let (mut waits_for_left, mut waits_for_right) = (true, true);
        std::future::poll_fn(|cx| {
            // A future that is over must not be polled again.
            waits_for_left = waits_for_left && left.as_mut().poll(cx).is_pending();
            waits_for_right = waits_for_right && right.as_mut().poll(cx).is_pending();
            if waits_for_left || waits_for_right {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await
    }};
}

pub(crate) use {both, first};

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Duration,
    };

    use tokio::{sync::oneshot, time::sleep};

    use super::First;

    #[tokio::test]
    async fn the_left_one_of_two_that_are_ready_is_first() {
        assert!(matches!(first!(ready(1), ready("two")), First::Left(1)));
        assert!(matches!(first!(pending::<()>(), ready("two")), First::Right("two")));
        assert!(matches!(first!(ready(1), pending::<()>()), First::Left(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_one_wakes_the_task_and_the_other_is_dropped() {
        let (sender, receiver) = oneshot::channel::<()>();
        let earlier = sleep(Duration::from_secs(1));
        assert!(matches!(first!(receiver, earlier), First::Right(())));
        assert!(sender.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn both_are_waited_for_in_any_order() {
        for (left, right) in [(0, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            let start = tokio::time::Instant::now();
            both!(sleep(Duration::from_secs(left)), sleep(Duration::from_secs(right)));
            assert_eq!(start.elapsed().as_secs(), left.max(right));
        }
    }
}
