//! Random operations and faults, each run from a seed, and the laws that hold in all of them.

use std::{collections::HashMap, time::Duration};

use super::{Peer, fake::Got, settle};
use crate::{MemoryBroker, Position, cluster::shared::Jitter};

const TOPICS: [&str; 4] = ["live-1", "live-2", "log-1", "log-2"];

/// Stays subscribed to all topics.
const LOYAL: u64 = 1;

/// Comes and goes.
const FICKLE: u64 = 2;

/// Runs with nodes that lose publications without noticing check no completeness of live topics.
struct World {
    broker: MemoryBroker,
    nodes: Vec<Peer>,
    random: Random,
    loses: bool,
    is_connected: Vec<bool>,
    /// What the broker took, by topic and position.
    log: HashMap<(&'static str, Position), String>,
    /// What the broker took of each node and live topic.
    taken: HashMap<(usize, &'static str), Vec<usize>>,
    /// What each node published to each topic.
    counters: HashMap<(usize, &'static str), usize>,
    /// How many gaps each node reported for each topic.
    gaps: HashMap<(usize, String), usize>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let broker = MemoryBroker::new();
        let count = if seed.is_multiple_of(8) { 24 } else { 2 + random.below(4) };
        let nodes: Vec<_> =
            (1..=count as u64).map(|id| Peer::new(broker.node_with_queue(3000), id)).collect();
        for node in &nodes {
            for topic in TOPICS {
                node.subscribe(LOYAL, topic).await;
            }
        }
        let is_connected = vec![true; count];
        let (log, taken, counters, gaps) = Default::default();
        Self {
            broker,
            nodes,
            random,
            loses: seed.is_multiple_of(2),
            is_connected,
            log,
            taken,
            counters,
            gaps,
        }
    }

    async fn step(&mut self) {
        let index = self.random.below(self.nodes.len());
        let topic = TOPICS[self.random.below(TOPICS.len())];
        match self.random.below(40) {
            0..20 => self.publish(index, topic).await,
            20 => self.disconnect(index),
            21..24 => self.connect(index),
            24 => self.nodes[index].link.hold(),
            25..27 => self.nodes[index].link.release(),
            27 if self.loses => self.nodes[index].link.lose(1 + self.random.below(3)),
            28 if self.random.below(4) == 0 => self.restart(),
            29 if self.random.below(4) == 0 => self.broker.trim(topic, self.random.below(4)),
            30 => self.nodes[index].topics.set_full(true),
            31..33 => self.nodes[index].topics.set_full(false),
            33 => self.nodes[index].link.delay(Duration::from_millis(self.random.below(30) as u64)),
            34..36 => self.nodes[index].topics.join(FICKLE, topic),
            36 => self.nodes[index].topics.leave(FICKLE, topic),
            37 => tokio::time::sleep(Duration::from_secs(1)).await,
            _ => tokio::time::sleep(Duration::from_millis(self.random.below(20) as u64)).await,
        }
        self.note_gaps();
    }

    fn note_gaps(&mut self) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            for (topic, _) in node.gaps() {
                *self.gaps.entry((index, topic)).or_default() += 1;
            }
        }
    }

    fn disconnect(&mut self, index: usize) {
        self.is_connected[index] = false;
        self.nodes[index].link.disconnect();
    }

    fn connect(&mut self, index: usize) {
        self.is_connected[index] = true;
        self.nodes[index].link.connect();
    }

    fn restart(&mut self) {
        self.broker.restart_empty();
    }

    async fn publish(&mut self, index: usize, topic: &'static str) {
        let counter = self.counters.entry((index, topic)).or_default();
        *counter += 1;
        let number = *counter;
        let text = format!("{index} {number}");
        // A full node would wait for its deadline.
        let publishing = self.nodes[index].try_publish(topic, &text);
        let Ok(Ok(published)) = tokio::time::timeout(Duration::from_millis(100), publishing).await else {
            return;
        };
        match published.position {
            Some(position) => drop(self.log.insert((topic, position), text)),
            None => self.taken.entry((index, topic)).or_default().push(number),
        }
    }

    /// Ends all faults. What is published then arrives.
    async fn heal(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            node.topics.set_full(false);
            node.link.lose(0);
            node.link.delay(Duration::ZERO);
            node.link.release();
            self.connect(index);
        }
        settle().await;
        settle().await;
        for topic in TOPICS {
            self.publish(0, topic).await;
        }
        settle().await;
        self.note_gaps();
    }

    fn gaps(&self, index: usize, topic: &str) -> usize {
        self.gaps.get(&(index, topic.to_owned())).copied().unwrap_or(0)
    }

    fn check(&self, seed: u64) {
        for index in 0..self.nodes.len() {
            for topic in TOPICS {
                let got = self.nodes[index].topics.got(LOYAL);
                let got: Vec<_> = got.into_iter().filter(|got| &*got.topic == topic).collect();
                if topic.starts_with("log") {
                    self.check_log(seed, index, topic, &got);
                } else {
                    self.check_live(seed, index, topic, &got);
                }
            }
        }
    }

    fn check_log(&self, seed: u64, index: usize, topic: &'static str, got: &[Got]) {
        let positions: Vec<_> = got.iter().map(|got| got.position.expect("a position")).collect();
        let mut jumps = 0;
        for pair in positions.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            let is_later =
                after.epoch > before.epoch || (after.epoch == before.epoch && after.offset > before.offset);
            assert!(is_later, "seed {seed}, node {index}, {topic}: {after} after {before}");
            jumps += usize::from(after.epoch != before.epoch || after.offset != before.offset + 1);
        }
        let gaps = self.gaps(index, topic);
        assert!(
            jumps <= gaps,
            "seed {seed}, node {index}, {topic}: {jumps} jumps, {gaps} gaps: {positions:?}"
        );
        for got in got {
            let known = self.log.get(&(topic, got.position.expect("a position")));
            assert!(
                known.is_none_or(|text| *text == got.text),
                "seed {seed}, node {index}, {topic}: {got:?}"
            );
        }
        let last = self.log.iter().filter(|((of, _), _)| *of == topic).map(|((_, position), _)| *position);
        let last = last.max_by_key(|position| (position.epoch, position.offset));
        assert_eq!(positions.last().copied(), last, "seed {seed}, node {index}, {topic}: the end");
    }

    fn check_live(&self, seed: u64, index: usize, topic: &'static str, got: &[Got]) {
        let mut by_publisher: HashMap<usize, Vec<usize>> = HashMap::new();
        for got in got {
            let (publisher, number) = got.text.split_once(' ').expect("two numbers");
            by_publisher.entry(publisher.parse().unwrap()).or_default().push(number.parse().unwrap());
        }
        for publisher in 0..self.nodes.len() {
            let numbers = by_publisher.remove(&publisher).unwrap_or_default();
            let grows = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(grows, "seed {seed}, node {index}, {topic}: {numbers:?} of node {publisher}");
            let taken = self.taken.get(&(publisher, topic)).map_or(&[][..], Vec::as_slice);
            let misses = taken.iter().any(|number| !numbers.contains(number));
            let may_miss = self.loses || self.gaps(index, topic) > 0;
            assert!(may_miss || !misses, "seed {seed}, node {index}, {topic}: {numbers:?} of {taken:?}");
            if publisher == 0 {
                assert_eq!(numbers.last(), taken.last(), "seed {seed}, node {index}, {topic}: the end");
            }
        }
    }
}

async fn run(seed: u64, steps: usize) {
    let mut world = World::new(seed).await;
    for _ in 0..steps {
        world.step().await;
    }
    world.heal().await;
    world.check(seed);
}

#[tokio::test(start_paused = true)]
async fn order_and_completeness_hold_under_faults() {
    for seed in 1..=150 {
        run(seed, 150).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_in_long_runs() {
    for seed in 1000..1006 {
        run(seed, 3000).await;
    }
}

#[test]
fn pauses_are_between_half_and_all_of_what_was_asked_for() {
    let mut jitter = Jitter::new(7);
    for failures in 0..1000 {
        let base = Duration::from_secs(10);
        let pause = jitter.of(base);
        assert!(pause >= base / 2 && pause <= base, "{pause:?}");
        assert!(jitter.backoff(failures) <= Duration::from_secs(5));
    }
}
