//! Requests of a connection that wait for their confirmations. The broker answers them in order.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::event::GapCause;

/// A topic to subscribe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Addition {
    pub(super) topic: Arc<str>,
    /// It was subscribed before. This is reported as soon as it is again.
    pub(super) gap: Option<GapCause>,
}

/// A request.
#[derive(Debug)]
pub(super) enum Request {
    Add(VecDeque<Addition>),
    Remove(VecDeque<Arc<str>>),
    /// Subscribes the channel of the probes.
    Probe,
}

/// What a confirmation of a subscription belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Added(Addition),
    Probe,
    /// Nothing that was asked for.
    Unknown,
}

/// The requests in their order.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<(Request, Instant)>,
}

impl Requests {
    pub(super) fn push(&mut self, request: Request, now: Instant) {
        self.waiting.push_back((request, now));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Since when the oldest request waits.
    pub(super) fn overdue_at(&self, within: Duration) -> Option<Instant> {
        self.waiting.front().map(|(_, sent)| *sent + within)
    }

    /// A channel was subscribed. `topic`: its topic, if it belongs to one.
    pub(super) fn subscribed(&mut self, topic: Option<&str>) -> Answer {
        let answer = match (self.waiting.front_mut(), topic) {
            (Some((Request::Probe, _)), None) => Answer::Probe,
            (Some((Request::Add(additions), _)), Some(topic)) => {
                match take_front_if(additions, |addition| &*addition.topic == topic) {
                    Some(addition) => Answer::Added(addition),
                    None => Answer::Unknown,
                }
            }
            _ => Answer::Unknown,
        };
        self.drop_done(answer == Answer::Probe);
        answer
    }

    /// A channel was unsubscribed. Returns whether that was asked for. The broker also does it by itself.
    pub(super) fn unsubscribed(&mut self, topic: &str) -> bool {
        let Some((Request::Remove(topics), _)) = self.waiting.front_mut() else { return false };
        let is_asked = take_front_if(topics, |front| &**front == topic).is_some();
        self.drop_done(false);
        is_asked
    }

    /// The oldest request failed.
    pub(super) fn failed(&mut self) -> Option<Request> {
        self.waiting.pop_front().map(|(request, _)| request)
    }

    fn drop_done(&mut self, probe_is_done: bool) {
        let is_done = self.waiting.front().is_some_and(|(request, _)| match request {
            Request::Add(additions) => additions.is_empty(),
            Request::Remove(topics) => topics.is_empty(),
            Request::Probe => probe_is_done,
        });
        if is_done {
            self.waiting.pop_front();
        }
    }
}

/// As `VecDeque::pop_front_if`, which Rust 1.88 does not have.
fn take_front_if<T>(queue: &mut VecDeque<T>, is_it: impl FnOnce(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(is_it) { queue.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(topic: &str) -> Addition {
        Addition { topic: topic.into(), gap: None }
    }

    #[test]
    fn confirmations_belong_to_requests_in_order() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.push(Request::Probe, now);
        requests.push(Request::Add([addition("a"), addition("b")].into()), now);
        requests.push(Request::Remove(["a".into()].into()), now);
        assert_eq!(requests.subscribed(Some("a")), Answer::Unknown);
        assert_eq!(requests.subscribed(None), Answer::Probe);
        assert_eq!(requests.subscribed(Some("a")), Answer::Added(addition("a")));
        assert!(!requests.unsubscribed("a"), "the broker did that by itself");
        assert_eq!(requests.subscribed(Some("b")), Answer::Added(addition("b")));
        assert!(requests.unsubscribed("a"));
        assert!(requests.is_empty());
    }

    #[test]
    fn an_error_belongs_to_the_oldest_request() {
        let (mut requests, now) = (Requests::default(), Instant::now());
        requests.push(Request::Add([addition("a")].into()), now);
        requests.push(Request::Probe, now);
        assert!(matches!(requests.failed(), Some(Request::Add(additions)) if additions == [addition("a")]));
        assert!(matches!(requests.failed(), Some(Request::Probe)));
        assert!(requests.failed().is_none());
    }
}
