//! How long a turn of a server's connection may deliver messages.
//!
//! One read may bring thousands of small messages, and the application may do much for each. So a turn ends after about
//! a millisecond, and the messages that are left wait for the next one. The clock is not read for each message but
//! after a number of them, or after as much other work as that.
//!
//! A turn runs on one thread without a break, so this state belongs to the thread.
//!
//! A turn of a task that ends because it was long waits until the runtime has polled its I/O driver. Something else may
//! wake the task before that, such as a publication, and the runtime runs up to 61 tasks before it polls the driver. So
//! until then, turns on this thread end after one message.

use std::{
    cell::Cell,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use crate::time::yield_turn;

/// How long a turn delivers messages, from when the clock is first read.
const LONGEST: Duration = Duration::from_millis(1);
/// The messages, or other units of work, after which the clock is read.
const WORK_PER_CHECK: u32 = 64;

thread_local! {
    /// The work since the clock was last read.
    static WORK: Cell<u32> = const { Cell::new(0) };
    /// When the clock was first read in this turn.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The latest turn was long.
    static IS_LONG: Cell<bool> = const { Cell::new(false) };
    /// The runtime has not polled its I/O driver since a long turn.
    static AWAITS_IO_DRIVER: Cell<bool> = const { Cell::new(false) };
    static IO_DRIVER_POLLED: Waker = Waker::from(Arc::new(IoDriverPolled));
}

/// Notes that the runtime has polled its I/O driver, on the thread that it runs on.
struct IoDriverPolled;

impl Wake for IoDriverPolled {
    fn wake(self: Arc<Self>) {
        AWAITS_IO_DRIVER.set(false);
    }
}

/// Begins a turn.
#[inline]
pub fn begin_turn_work() {
    // A turn delivers one message at least.
    WORK.set(if AWAITS_IO_DRIVER.get() { WORK_PER_CHECK - 1 } else { 0 });
    SINCE.set(None);
    IS_LONG.set(false);
}

/// Schedules another turn of this task, as [`yield_turn`] does. If this turn was long, the turns on this thread are
/// short until then.
pub fn yield_after_turn(cx: &mut Context<'_>) {
    yield_turn(cx);
    if IS_LONG.get() {
        AWAITS_IO_DRIVER.set(true);
        IO_DRIVER_POLLED.with(|waker| yield_turn(&mut Context::from_waker(waker)));
    }
}

/// Counts work. A small message is one unit.
#[inline]
pub fn count_work(units: usize) {
    WORK.set(WORK.get().saturating_add(u32::try_from(units).unwrap_or(u32::MAX)));
}

/// Counts a message that was delivered. Returns whether the turn should deliver no further ones. After `true`, the next
/// call starts a new measurement.
#[inline]
pub fn count_turn_message() -> bool {
    count_work(1);
    is_check_due() && is_turn_long()
}

/// Whether the clock must be read before the next message, by [`is_turn_long`].
#[inline]
pub(crate) fn is_check_due() -> bool {
    WORK.get() >= WORK_PER_CHECK
}

/// Restarts the count without reading the clock.
pub(crate) fn reset_work() {
    WORK.set(0);
}

/// Reads the clock. Returns whether the turn should deliver no further messages.
#[cold]
pub(crate) fn is_turn_long() -> bool {
    let now = Instant::now();
    let since = SINCE.get().unwrap_or(now);
    let is_long = AWAITS_IO_DRIVER.get() || now.saturating_duration_since(since) >= LONGEST;
    WORK.set(0);
    IS_LONG.set(is_long);
    SINCE.set((!is_long).then_some(since));
    is_long
}

/// Whether this turn was found to be long.
pub(crate) fn was_turn_long() -> bool {
    IS_LONG.get()
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Waker},
        thread::sleep,
    };

    use super::{
        LONGEST, WORK_PER_CHECK, begin_turn_work, count_turn_message, count_work, is_check_due,
        yield_after_turn,
    };

    #[test]
    fn a_turn_ends_once_its_messages_have_taken_long_and_not_before() {
        begin_turn_work();
        assert!((0..WORK_PER_CHECK).all(|_| !count_turn_message()), "the clock was read for the first time");
        sleep(LONGEST);
        assert!((1..WORK_PER_CHECK).all(|_| !count_turn_message()), "the clock is not read for each message");
        assert!(count_turn_message());
        assert!((0..WORK_PER_CHECK).all(|_| !count_turn_message()), "a new measurement");
    }

    #[tokio::test]
    async fn after_a_long_turn_turns_are_short_until_the_runtime_has_polled_its_driver() {
        begin_turn_work();
        count_work(1000);
        assert!(!count_turn_message());
        sleep(LONGEST);
        count_work(1000);
        assert!(count_turn_message());
        yield_after_turn(&mut Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            begin_turn_work();
            assert!(!is_check_due(), "each turn delivers a message");
            assert!(count_turn_message());
        }
        tokio::task::yield_now().await;
        begin_turn_work();
        assert!((1..WORK_PER_CHECK).all(|_| !count_turn_message()));
    }

    #[test]
    fn other_work_counts_as_messages_do() {
        begin_turn_work();
        count_work(1000);
        assert!(!count_turn_message());
        sleep(LONGEST);
        assert!(!count_turn_message());
        count_work(usize::MAX);
        assert!(count_turn_message());
    }
}
