//! Publications carry numbers. A reader follows the events as a node of a cluster does, and checks that nothing is
//! lost, doubled or reordered while the server is killed, stopped and started again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use ws_cluster::{Backplane as _, BackplaneError, BackplaneEvent, Position, nats::NatsBackplane};

use crate::{
    node::{LOG, Node, builder, bytes},
    server::{NatsServer, PATIENCE},
};

const TOPICS: [&str; 3] = ["a", "b", "c"];

/// Publishes numbers to a topic until it is told to stop, and returns those that the broker has acknowledged.
fn publish_numbers(
    node: Arc<NatsBackplane>,
    topic: &'static str,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            match node.publish_logged(topic, bytes(&number.to_string()), &LOG).await {
                Ok(_) => acknowledged.push(number),
                Err(BackplaneError::Disconnected { .. } | BackplaneError::TimedOut { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        acknowledged
    })
}

/// What a node has of each topic.
#[derive(Default)]
struct Reader {
    at: HashMap<String, Position>,
    entries: HashMap<String, BTreeMap<u64, u64>>,
    filled: usize,
}

impl Reader {
    fn take(&mut self, topic: &str, position: Position, text: &[u8]) {
        let number = std::str::from_utf8(text).unwrap().parse().unwrap();
        let at = self.at.entry(topic.to_owned()).or_insert(position);
        assert_eq!(at.epoch, position.epoch, "the store was kept");
        *at = position;
        let before = self.entries.entry(topic.to_owned()).or_default().insert(position.offset, number);
        assert_eq!(before, None, "doubled: {topic} at {position}");
    }

    async fn follow(&mut self, node: &Node, event: BackplaneEvent) {
        match event {
            BackplaneEvent::Logged { topic, position, previous, envelope } => {
                let at = self.at.get(&*topic).map_or(0, |at| at.offset);
                if position.offset <= at {
                    // Read from the history before.
                    let known = self.entries[&*topic].get(&position.offset).map(u64::to_string);
                    assert_eq!(known.unwrap().as_bytes(), envelope);
                } else if previous.is_none_or(|previous| previous == at) {
                    self.take(&topic, position, &envelope);
                } else {
                    self.fill(node, &topic).await;
                }
            }
            BackplaneEvent::Up | BackplaneEvent::Gap { .. } => {
                for topic in TOPICS {
                    self.fill(node, topic).await;
                }
            }
            _ => {}
        }
    }

    /// Reads what is missing. If the server is away, `Up` follows and it is read then.
    async fn fill(&mut self, node: &Node, topic: &str) {
        let since = self.at.get(topic).copied();
        match node.history(topic, since, usize::MAX).await {
            Ok(history) => {
                assert!(history.complete, "{topic} since {since:?}: {:?}", history.newest);
                self.filled += history.entries.len();
                for entry in history.entries {
                    self.take(topic, entry.position, &entry.envelope);
                }
            }
            Err(BackplaneError::Disconnected { .. } | BackplaneError::TimedOut { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn has(&self, topic: &str, number: u64) -> bool {
        self.entries.get(topic).is_some_and(|entries| entries.values().any(|found| *found == number))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logged_publications_are_not_lost_doubled_or_reordered_while_the_server_fails() {
    let Some(mut server) = NatsServer::start() else { return };
    // The log is long enough for all of the test.
    let options = ws_cluster::LogOptions::new(1_000_000, Duration::from_secs(3_600));
    let configure = |server: &NatsServer| builder(server).log(options).deadline(Duration::from_secs(5));
    let mut node = Node::start_with(configure(&server)).await;
    node.watch_logged(&TOPICS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut publishers = Vec::new();
    for topic in TOPICS {
        let backplane = Arc::new(configure(&server).start().unwrap());
        publishers.push((topic, publish_numbers(backplane, topic, Arc::clone(&stop))));
    }
    let mut reader = Reader::default();
    for fault in 0..6 {
        // Some publications between the faults.
        let enough = reader.entries.values().map(BTreeMap::len).sum::<usize>() + 100;
        while reader.entries.values().map(BTreeMap::len).sum::<usize>() < enough {
            let event = node.next().await;
            reader.follow(&node, event).await;
        }
        if fault % 3 == 2 {
            server.pause();
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.resume();
        } else {
            server.restart();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for (topic, publisher) in publishers {
        acknowledged.push((topic, publisher.await.unwrap()));
    }
    let all_read = async {
        while !acknowledged.iter().all(|(topic, numbers)| reader.has(topic, *numbers.last().unwrap())) {
            let event = node.next().await;
            reader.follow(&node, event).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_read).await.expect("the last publications do not come");
    for (topic, numbers) in acknowledged {
        let read: Vec<u64> = reader.entries[topic].values().copied().collect();
        // In the order of one publisher, and each at most once, although it sent some again.
        assert!(read.is_sorted_by(|a, b| a < b), "{topic}: {read:?}");
        let lost: Vec<_> = numbers.iter().filter(|number| read.binary_search(number).is_err()).collect();
        assert!(lost.is_empty(), "{topic}: {lost:?} of {}", numbers.len());
    }
    println!("{} entries were read from the history", reader.filled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_publications_are_missed_only_where_a_gap_is_reported() {
    let Some(mut server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    node.watch_live(&["a"]).await;
    let publisher = Arc::new(builder(&server).start().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut acknowledged = Vec::new();
            let mut number: u64 = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                if publisher.publish_live("a", bytes(&number.to_string())).await.is_ok() {
                    acknowledged.push(number);
                } else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            acknowledged
        }
    });
    // The numbers that were heard, in stretches between events that tell of a loss.
    let mut stretches: Vec<Vec<u64>> = vec![Vec::new()];
    let heard = |stretches: &mut Vec<Vec<u64>>, event| match event {
        BackplaneEvent::Live { envelope, .. } => {
            let number = std::str::from_utf8(&envelope).unwrap().parse().unwrap();
            stretches.last_mut().unwrap().push(number);
        }
        BackplaneEvent::Down | BackplaneEvent::Up | BackplaneEvent::Gap { .. } => stretches.push(Vec::new()),
        _ => {}
    };
    for _ in 0..4 {
        let enough = stretches.iter().map(Vec::len).sum::<usize>() + 200;
        while stretches.iter().map(Vec::len).sum::<usize>() < enough {
            heard(&mut stretches, node.next().await);
        }
        server.restart();
        while node.health() == ws_cluster::Health::Healthy {
            heard(&mut stretches, node.next().await);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged = publishing.await.unwrap();
    node.health_is(ws_cluster::Health::Healthy).await;
    for event in node.events_until_now().await {
        heard(&mut stretches, event);
    }
    let all: Vec<u64> = stretches.concat();
    assert!(all.is_sorted_by(|a, b| a < b), "doubled or reordered");
    for stretch in &stretches {
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|number| (first..last).contains(number) && stretch.binary_search(number).is_err())
            .collect();
        assert!(lost.is_empty(), "lost without a gap: {lost:?}");
    }
    assert!(stretches.len() > 4);
}
