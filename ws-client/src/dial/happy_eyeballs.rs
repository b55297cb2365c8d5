//! Connection attempts to several addresses, of which the first success wins (RFC 8305 section 5).

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::sleep;

/// Delay before the next attempt starts while the previous ones are pending.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Returns the result of the first attempt that succeeds, or the error of the attempt that failed last.
///
/// The attempts start in order. The next one starts when an attempt fails, or after [`ATTEMPT_DELAY`].
pub(super) async fn first_success<T>(attempts: Vec<impl Future<Output = io::Result<T>>>) -> io::Result<T> {
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut waiting = attempts.into_iter();
    let mut running: Vec<Pin<Box<_>>> = Vec::new();
    loop {
        running.extend(waiting.next().map(Box::pin));
        if running.is_empty() {
            return Err(last_error);
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
            Some(Err(error)) => last_error = error,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::time::Instant;

    use super::*;

    /// An attempt that takes `millis` milliseconds. Its result is its number.
    async fn attempt(number: usize, millis: u64, succeeds: bool) -> io::Result<usize> {
        sleep(Duration::from_millis(millis)).await;
        if succeeds {
            Ok(number)
        } else {
            Err(io::Error::new(ErrorKind::ConnectionRefused, number.to_string()))
        }
    }

    /// The number of the attempt that won, or the last error, and the elapsed milliseconds.
    async fn race(attempts: &[(u64, bool)]) -> (Result<usize, String>, u128) {
        let started = Instant::now();
        let attempts =
            attempts.iter().enumerate().map(|(number, (millis, ok))| attempt(number, *millis, *ok));
        let result = first_success(attempts.collect()).await;
        (result.map_err(|error| error.to_string()), started.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn an_unresponsive_address_delays_the_next_by_250_ms() {
        const NEVER: u64 = 1_000_000;
        assert_eq!(race(&[(NEVER, true), (10, true)]).await, (Ok(1), 260));
        assert_eq!(race(&[(NEVER, true), (NEVER, true), (10, true)]).await, (Ok(2), 510));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_attempt_starts_the_next_one_immediately() {
        assert_eq!(race(&[(5, false), (5, false), (5, true)]).await, (Ok(2), 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_can_still_win() {
        assert_eq!(race(&[(300, true), (200, true)]).await, (Ok(0), 300));
        assert_eq!(race(&[(300, false), (200, true)]).await, (Ok(1), 450));
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_attempts_fail_the_last_error_is_returned() {
        assert_eq!(race(&[(400, false), (10, false)]).await, (Err("0".to_owned()), 400));
        assert!(race(&[]).await.0.is_err());
    }
}
