//! What a node does with events, reduced to what the laws need: it takes sequence numbers and fills gaps from the log.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use ws_cluster::{Backplane, BackplaneEvent, GapCause, LogOptions, Position, Topics, redis::RedisBackplane};

use crate::{
    nodes::{Node, text},
    server::LIMIT,
};

/// Publishes the numbers from 1 on to a topic, one after the other.
pub(crate) struct Publisher {
    task: JoinHandle<Vec<u64>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
}

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Live,
    Logged,
}

impl Publisher {
    pub(crate) fn start(backplane: Arc<RedisBackplane>, topic: &str, mode: Mode) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (is_over, topic) = (Arc::clone(&stop), topic.to_owned());
        let task = tokio::spawn(async move {
            let mut accepted = Vec::new();
            for number in 1.. {
                if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let published = match mode {
                    Mode::Live => backplane.publish_live(&topic, text(number)).await,
                    Mode::Logged => {
                        let options = LogOptions::new(1_000_000, LIMIT);
                        backplane.publish_logged(&topic, text(number), &options).await.map(drop)
                    }
                };
                if published.is_ok() {
                    accepted.push(number);
                }
                // Paces the publications; nothing depends on it.
                sleep(Duration::from_millis(1)).await;
            }
            accepted
        });
        Self { task, stop }
    }

    /// Stops, and returns the numbers that the broker accepted.
    pub(crate) async fn stop(self) -> Vec<u64> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

/// Follows a logged topic.
pub(crate) struct LoggedFollower {
    topic: Arc<str>,
    pub(crate) position: Option<Position>,
    pub(crate) numbers: Vec<u64>,
    /// Where the log was not complete: behind so many numbers.
    pub(crate) incomplete: Vec<usize>,
    /// How often the epoch changed.
    pub(crate) epochs: usize,
}

impl LoggedFollower {
    pub(crate) fn new(topic: &str) -> Self {
        Self { topic: topic.into(), position: None, numbers: Vec::new(), incomplete: Vec::new(), epochs: 0 }
    }

    pub(crate) async fn take(&mut self, event: BackplaneEvent, backplane: &RedisBackplane) {
        let is_mine = match &event {
            BackplaneEvent::Up => true,
            BackplaneEvent::Gap { topics: Topics::All, .. } => true,
            BackplaneEvent::Gap { topics: Topics::Some(topics), .. } => topics.contains(&self.topic),
            BackplaneEvent::Logged { topic, .. } => *topic == self.topic,
            _ => false,
        };
        if !is_mine {
            return;
        }
        if let BackplaneEvent::Logged { position, previous, envelope, .. } = event {
            match self.position {
                Some(own) if own.epoch == position.epoch && position.offset <= own.offset => return,
                Some(own) if own.epoch == position.epoch && previous == Some(own.offset) => {
                    return self.deliver(position, &envelope);
                }
                None if previous == Some(0) => return self.deliver(position, &envelope),
                _ => {}
            }
        }
        self.recover(backplane).await;
    }

    /// Reads the log from the position on, until it works.
    pub(crate) async fn recover(&mut self, backplane: &RedisBackplane) {
        loop {
            let Ok(history) = backplane.history(&self.topic, self.position, 100).await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            if !history.complete {
                self.incomplete.push(self.numbers.len());
            }
            self.epochs += usize::from(self.position.is_some_and(|own| own.epoch != history.newest.epoch));
            for entry in &history.entries {
                self.deliver(entry.position, &entry.envelope);
            }
            if !history.more {
                self.position = Some(history.newest);
                return;
            }
        }
    }

    fn deliver(&mut self, position: Position, envelope: &[u8]) {
        self.position = Some(position);
        self.numbers.push(std::str::from_utf8(envelope).unwrap().parse().unwrap());
    }

    /// Follows until a number of at least `last` has come.
    pub(crate) async fn follow(&mut self, node: &mut Node, last: u64) {
        while self.numbers.last().is_none_or(|number| *number < last) {
            let event = node.any_event().await;
            self.take(event, &node.backplane).await;
        }
    }

    /// No number came twice or out of order.
    pub(crate) fn assert_order(&self) {
        assert!(self.numbers.is_sorted_by(|a, b| a < b), "{:?}", self.numbers);
    }

    /// And each that the broker accepted has come.
    pub(crate) fn assert_all(&self, accepted: &[u64]) {
        self.assert_order();
        let missing = self.missing(accepted);
        assert!(missing.is_empty(), "missing: {missing:?} of {}", accepted.len());
    }

    /// And what is missing was reported: it lies where the log was not complete.
    pub(crate) fn assert_reported(&self, accepted: &[u64]) {
        self.assert_order();
        for number in self.missing(accepted) {
            let place = self.numbers.partition_point(|own| *own < number);
            assert!(
                self.incomplete.contains(&place),
                "{number} is missing behind {:?}",
                self.numbers.get(place - 1)
            );
        }
    }

    fn missing(&self, accepted: &[u64]) -> Vec<u64> {
        accepted.iter().copied().filter(|number| self.numbers.binary_search(number).is_err()).collect()
    }
}

/// Follows a live topic.
pub(crate) struct LiveFollower {
    topic: Arc<str>,
    pub(crate) last: u64,
    gap: bool,
    is_down: bool,
    pub(crate) gaps: usize,
}

impl LiveFollower {
    pub(crate) fn new(topic: &str) -> Self {
        Self { topic: topic.into(), last: 0, gap: false, is_down: false, gaps: 0 }
    }

    /// Checks that what is missing was reported before what comes behind it, and that a gap after a lost connection lies
    /// between a `Down` and an `Up`. There may be several: a connection may be lost again before the `Up`.
    pub(crate) fn take(&mut self, event: &BackplaneEvent) {
        match event {
            BackplaneEvent::Down => self.is_down = true,
            BackplaneEvent::Up => self.is_down = false,
            BackplaneEvent::Gap { topics, cause } => {
                let is_mine = match topics {
                    Topics::All => true,
                    Topics::Some(topics) => topics.contains(&self.topic),
                };
                assert!(self.is_down || *cause != GapCause::Disconnected, "a gap without an outage");
                self.gap |= is_mine;
                self.gaps += usize::from(is_mine);
            }
            BackplaneEvent::Live { topic, envelope } if *topic == self.topic => {
                let number = std::str::from_utf8(envelope).unwrap().parse().unwrap();
                assert!(number > self.last, "{number} after {}", self.last);
                assert!(self.gap || number == self.last + 1, "{number} after {}, and no gap", self.last);
                (self.last, self.gap) = (number, false);
            }
            _ => {}
        }
    }

    pub(crate) async fn follow(&mut self, node: &mut Node, is_done: impl Fn(&Self) -> bool) {
        while !is_done(self) {
            let event = node.any_event().await;
            self.take(&event);
        }
    }
}
