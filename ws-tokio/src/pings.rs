//! The pings of `ping_rtt`: their payloads, and which of them wait for a pong.

use std::{
    hash::{BuildHasher as _, RandomState},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    error::Error,
    foreign::{drop_waker, wake_tasks},
};

/// Length of the payload: a number, and a hash of it.
const PAYLOAD_LEN: usize = 16;

/// The pings of one connection that wait for their pongs.
///
/// The payload of a ping is its number and a keyed hash of that number. The key is random and belongs to the
/// connection. So the payload differs from those of the keepalive and the application, and a peer cannot answer before
/// it has received the ping.
#[derive(Debug, Default)]
pub struct PendingPings {
    key: RandomState,
    /// The number of the latest ping.
    sent: u64,
    waiting: Vec<Pending>,
}

/// A ping whose future has not taken the answer.
#[derive(Debug)]
struct Pending {
    number: u64,
    sent_at: Instant,
    answered_after: Option<Duration>,
    waker: Option<Waker>,
}

/// Sends the pings of `ping_rtt`: the part of an [`Outlet`](crate::internal::Outlet) for them.
pub trait PingOutlet {
    /// Sends a ping if `number` is `None`, sets `number`, and waits for the pong.
    fn poll_ping(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<Result<Duration, Error>>;

    /// Forgets a ping whose future is dropped.
    fn forget_ping(&self, number: u64);
}

impl PendingPings {
    /// Returns the payload for the next [`begin`](Self::begin).
    #[must_use]
    pub fn next_payload(&self) -> [u8; PAYLOAD_LEN] {
        self.payload(self.sent.wrapping_add(1))
    }

    fn payload(&self, number: u64) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload[8..].copy_from_slice(&self.key.hash_one(number).to_be_bytes());
        payload
    }

    /// Notes that the ping with the next payload is queued, and returns its number.
    pub fn begin(&mut self) -> u64 {
        self.sent = self.sent.wrapping_add(1);
        let ping = Pending { number: self.sent, sent_at: Instant::now(), answered_after: None, waker: None };
        self.waiting.push(ping);
        self.sent
    }

    /// Notes a pong. Returns whether it answers a ping that waits. A peer may answer only the most recent ping (RFC
    /// 6455 section 5.5.3), so a pong also answers the pings before its own.
    pub fn on_pong(&mut self, payload: &[u8]) -> bool {
        let Some(number) = payload.first_chunk().map(|number| u64::from_be_bytes(*number)) else {
            return false;
        };
        if self.waiting.is_empty() || number > self.sent || payload != self.payload(number) {
            return false;
        }
        let now = Instant::now();
        let unanswered = |ping: &&mut Pending| ping.number <= number && ping.answered_after.is_none();
        let mut any = false;
        for ping in self.waiting.iter_mut().filter(unanswered) {
            any = true;
            ping.answered_after = Some(now.saturating_duration_since(ping.sent_at));
            wake_tasks(ping.waker.take());
        }
        any
    }

    /// Removes an answered ping and returns its round-trip time.
    pub fn take_answer(&mut self, number: u64) -> Option<Duration> {
        let at = self.waiting.iter().position(|ping| ping.number == number)?;
        let answered_after = self.waiting[at].answered_after?;
        self.forget(number);
        Some(answered_after)
    }

    /// Stores the waker of the task that waits for this ping. If a clone is needed, it is taken from `clone`. Returns
    /// false if there is none: then try again with a clone, as
    /// [`poll_with_clone`](crate::internal::poll_with_clone) does.
    pub fn wait(&mut self, number: u64, waker: &Waker, clone: &mut Option<Waker>) -> bool {
        let Some(ping) = self.waiting.iter_mut().find(|ping| ping.number == number) else { return true };
        if clone.is_none() {
            return ping.waker.as_ref().is_some_and(|stored| stored.will_wake(waker));
        }
        drop_waker(std::mem::replace(&mut ping.waker, clone.take()));
        true
    }

    /// Removes a ping.
    pub fn forget(&mut self, number: u64) {
        if let Some(at) = self.waiting.iter().position(|ping| ping.number == number) {
            drop_waker(self.waiting.remove(at).waker);
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }

    /// Wakes all tasks that wait: no more pongs arrive.
    pub fn end(&mut self) {
        self.waiting.iter_mut().for_each(|ping| wake_tasks(ping.waker.take()));
    }

    /// Returns whether no ping waits.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pong_answers_its_ping_and_those_before_it() {
        let mut pings = PendingPings::default();
        let mut begin = || (pings.next_payload(), pings.begin());
        let [(_, first), (payload, second), (_, third)] = [begin(), begin(), begin()];
        tokio::time::advance(Duration::from_millis(5)).await;
        assert!(pings.on_pong(&payload));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert!(!pings.on_pong(&payload), "the same pong again");
        assert_eq!(pings.take_answer(first), Some(Duration::from_millis(5)));
        assert_eq!(pings.take_answer(second), Some(Duration::from_millis(5)));
        assert_eq!(pings.take_answer(third), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_of_a_forgotten_ping_answers_those_before_it() {
        let mut pings = PendingPings::default();
        let first = pings.begin();
        let payload = pings.next_payload();
        let second = pings.begin();
        pings.forget(second);
        assert!(pings.on_pong(&payload));
        assert_eq!(pings.take_answer(first), Some(Duration::ZERO));
        assert!(pings.is_idle());
    }

    #[test]
    fn a_pong_that_was_not_asked_for_answers_nothing() {
        let mut pings = PendingPings::default();
        let of_another = PendingPings::default().next_payload();
        let number = pings.begin();
        let early = pings.next_payload();
        for payload in [&b""[..], b"short", &[0; 16], &number.to_be_bytes(), &of_another, &early] {
            assert!(!pings.on_pong(payload), "{payload:?}");
        }
        assert_eq!(pings.take_answer(number), None);
    }

    #[test]
    fn forgotten_pings_leave_no_memory() {
        let mut pings = PendingPings::default();
        let numbers: Vec<u64> = (0..100).map(|_| pings.begin()).collect();
        numbers.into_iter().for_each(|number| pings.forget(number));
        assert!(pings.is_idle());
        assert_eq!(pings.waiting.capacity(), 0);
    }
}
