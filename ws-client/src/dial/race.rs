//! Several addresses, the first one that answers (RFC 8305 section 5).

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::sleep;

/// How long an address that neither answers nor refuses keeps the next one waiting.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The first attempt that succeeds, or the error of the one that failed last. They begin in order: the next one when
/// one has failed, or when nothing has happened for a while.
pub(super) async fn first_success<T>(attempts: Vec<impl Future<Output = io::Result<T>>>) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut waiting = attempts.into_iter();
    let mut running: Vec<Pin<Box<_>>> = Vec::new();
    loop {
        running.extend(waiting.next().map(Box::pin));
        if running.is_empty() {
            return Err(last);
        }
        let mut delay = pin!(sleep(ATTEMPT_DELAY));
        let ended = poll_fn(|cx| {
            for at in 0..running.len() {
                if let Poll::Ready(result) = running[at].as_mut().poll(cx) {
                    drop(running.swap_remove(at));
                    return Poll::Ready(Some(result));
                }
            }
            if waiting.len() == 0 { Poll::Pending } else { delay.as_mut().poll(cx).map(|()| None) }
        });
        match ended.await {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => last = error,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::time::Instant;

    use super::*;

    /// An attempt that takes so many milliseconds; the result is its number.
    async fn attempt(number: usize, millis: u64, succeeds: bool) -> io::Result<usize> {
        sleep(Duration::from_millis(millis)).await;
        if succeeds {
            Ok(number)
        } else {
            Err(io::Error::new(ErrorKind::ConnectionRefused, number.to_string()))
        }
    }

    /// Which of the attempts won, and when.
    async fn race(attempts: &[(u64, bool)]) -> (Result<usize, String>, u128) {
        let started = Instant::now();
        let attempts =
            attempts.iter().enumerate().map(|(number, (millis, ok))| attempt(number, *millis, *ok));
        let result = first_success(attempts.collect()).await;
        (result.map_err(|error| error.to_string()), started.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_holds_the_next_ones_up_for_a_moment_only() {
        const NEVER: u64 = 1_000_000;
        assert_eq!(race(&[(NEVER, true), (10, true)]).await, (Ok(1), 260));
        assert_eq!(race(&[(NEVER, true), (NEVER, true), (10, true)]).await, (Ok(2), 510));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_makes_way_at_once() {
        assert_eq!(race(&[(5, false), (5, false), (5, true)]).await, (Ok(2), 15));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_merely_slow_still_wins() {
        assert_eq!(race(&[(300, true), (200, true)]).await, (Ok(0), 300));
        assert_eq!(race(&[(300, false), (200, true)]).await, (Ok(1), 450));
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_fail_the_last_error_is_told() {
        assert_eq!(race(&[(400, false), (10, false)]).await, (Err("0".to_owned()), 400));
        assert!(race(&[]).await.0.is_err());
    }
}
