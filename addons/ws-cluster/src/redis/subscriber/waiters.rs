//! Calls of `watch` that wait for confirmations.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use crate::error::BackplaneError;

/// Where the result of a call goes.
pub(super) type Reply = oneshot::Sender<Result<(), BackplaneError>>;

/// The calls, by the topics that they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next: u64,
    calls: HashMap<u64, (usize, Reply)>,
    topics: HashMap<Arc<str>, Waiting>,
}

/// The calls that wait for a topic.
#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<u64>,
    /// A call has ended without success.
    is_abandoned: bool,
}

impl Waiters {
    /// Adds a call that waits for all of these topics.
    pub(super) fn add(&mut self, topics: &[Arc<str>], reply: Reply) {
        if topics.is_empty() {
            // The caller may have gone.
            let _ = reply.send(Ok(()));
            return;
        }
        // Calls that timed out do not collect here.
        self.calls.retain(|_, (_, reply)| !reply.is_closed());
        self.next += 1;
        self.calls.insert(self.next, (topics.len(), reply));
        for topic in topics {
            let waiting = self.topics.entry(Arc::clone(topic)).or_default();
            let before = waiting.calls.len();
            waiting.calls.retain(|call| self.calls.contains_key(call));
            waiting.is_abandoned |= waiting.calls.len() < before;
            waiting.calls.push(self.next);
        }
    }

    /// A topic is subscribed, or not wanted any more. Returns whether a call for it has ended without success: its
    /// caller does not know.
    pub(super) fn done(&mut self, topic: &str) -> bool {
        let Some(Waiting { calls, mut is_abandoned }) = self.topics.remove(topic) else { return false };
        for call in calls {
            let Some((left, reply)) = self.calls.get_mut(&call) else {
                is_abandoned = true;
                continue;
            };
            is_abandoned |= reply.is_closed();
            *left -= 1;
            if *left == 0 {
                self.end(call, Ok(()));
            }
        }
        is_abandoned
    }

    /// A topic cannot be subscribed at the moment.
    pub(super) fn failed(&mut self, topic: &str, error: impl Fn() -> BackplaneError) {
        let Some(waiting) = self.topics.get_mut(topic) else { return };
        waiting.is_abandoned = true;
        for call in std::mem::take(&mut waiting.calls) {
            self.end(call, Err(error()));
        }
    }

    fn end(&mut self, call: u64, result: Result<(), BackplaneError>) {
        if let Some((_, reply)) = self.calls.remove(&call) {
            // The caller may have gone.
            let _ = reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_with_its_last_topic_or_the_first_failure() {
        let mut waiters = Waiters::default();
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let (reply, mut first) = oneshot::channel();
        waiters.add(&[Arc::clone(&a), Arc::clone(&b)], reply);
        let (reply, mut second) = oneshot::channel();
        waiters.add(&[Arc::clone(&b)], reply);
        assert!(!waiters.done("a"));
        assert!(first.try_recv().is_err(), "it waits for the other topic");
        assert!(!waiters.done("b"));
        assert!(matches!((first.try_recv(), second.try_recv()), (Ok(Ok(())), Ok(Ok(())))));

        let (reply, mut third) = oneshot::channel();
        waiters.add(&[a, b], reply);
        waiters.failed("b", || BackplaneError::Closed);
        assert!(matches!(third.try_recv(), Ok(Err(BackplaneError::Closed))));
        assert!(waiters.done("a") && waiters.done("b"), "the caller knows of an error only");
        assert!(waiters.calls.is_empty() && waiters.topics.is_empty());
    }
    #[test]
    fn calls_that_were_given_up_do_not_collect() {
        let (mut waiters, topics) = (Waiters::default(), ["a".into()]);
        for _ in 0..3 {
            let (reply, result) = oneshot::channel();
            waiters.add(&topics, reply);
            assert_eq!((waiters.calls.len(), waiters.topics["a"].calls.len()), (1, 1));
            drop(result);
        }
        assert!(waiters.done("a"));
    }
}
