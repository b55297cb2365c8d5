//! Histories and recovery.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance};
use ws_proto::memory::MemoryBudget;

use super::{super::*, *};

#[test]
fn a_topic_numbers_what_it_keeps_from_1_on() {
    let topics = with_history(History::new(10));
    let first = topics.publish(TOPIC, "a").unwrap().position.unwrap();
    let second = topics.publish(TOPIC, "b").unwrap().position.unwrap();
    assert_eq!(first.offset, 1);
    assert_eq!(second, Position { offset: 2, ..first });
    assert_eq!(topics.position(TOPIC), Some(second));
    assert!(first.epoch > 0 && first.epoch < 1 << 53);
}

#[test]
fn what_is_not_kept_has_no_position() {
    let topics = with_history(History::new(10));
    let mut peer = Peer::in_topic(&topics);
    let from = topics.position(TOPIC).unwrap();
    let typing = topics.publish_with(TOPIC, "typing", PublishOptions::new().history(false)).unwrap();
    assert_eq!(typing, Published { members: 1, position: None });
    assert_eq!(peer.texts(), ["typing"]);
    let mut late = Peer::new(&topics);
    assert_eq!(late.recover(from).recovered, Recovered::All { messages: 0 });
    assert_eq!(late.texts(), [""; 0]);
}

#[test]
fn a_subscriber_gets_what_it_missed_before_what_comes() {
    let topics = with_history(History::new(10));
    publish(&topics, 1..=5);
    let newest = topics.position(TOPIC).unwrap();
    let mut peer = Peer::new(&topics);
    let subscribed = peer.recover(Position { offset: 2, ..newest });
    assert_eq!(subscribed.position, Some(newest));
    assert_eq!(subscribed.recovered, Recovered::All { messages: 3 });
    publish(&topics, [6]);
    assert_eq!(peer.texts(), ["3", "4", "5", "6"]);
}

#[test]
fn recovery_says_what_it_cannot_give() {
    let topics = with_history(History::new(3));
    publish(&topics, 1..=5);
    let newest = topics.position(TOPIC).unwrap();
    let recover = |from| {
        let mut peer = Peer::new(&topics);
        (peer.recover(from).recovered, peer.texts().join(" "))
    };
    let at = |offset| Position { offset, ..newest };
    assert_eq!(recover(at(5)), (Recovered::All { messages: 0 }, String::new()));
    assert_eq!(recover(at(2)), (Recovered::All { messages: 3 }, "3 4 5".into()));
    assert_eq!(recover(at(1)), (Recovered::Gap { messages: 3, gone: 2 }, "3 4 5".into()));
    assert_eq!(recover(at(6)), (Recovered::Ahead, String::new()));
    let other = Position { epoch: newest.epoch + 1, offset: 2 };
    assert_eq!(recover(other), (Recovered::OtherEpoch, String::new()));
    let live = Topics::new();
    let mut peer = Peer::new(&live);
    assert_eq!(peer.recover(at(1)).recovered, Recovered::NoHistory);
    publish(&live, [6]);
    assert_eq!(peer.texts(), ["6"]);
}

#[test]
fn a_subscriber_from_the_oldest_on_gets_all_that_is_kept() {
    let topics = with_history(History::new(3));
    let from_oldest = || {
        let mut peer = Peer::new(&topics);
        let subscribed = peer.member.subscribe_with(TOPIC, SubscribeOptions::new().from_oldest()).unwrap();
        (subscribed, peer.texts().join(" "), peer)
    };
    let (subscribed, texts, _peer) = from_oldest();
    assert_eq!(
        (subscribed.recovered, &*texts),
        (Recovered::All { messages: 0 }, ""),
        "nothing was published"
    );
    publish(&topics, 1..=2);
    let (subscribed, texts, _peer) = from_oldest();
    assert_eq!((subscribed.recovered, &*texts), (Recovered::All { messages: 2 }, "1 2"));
    publish(&topics, 3..=5);
    let (subscribed, texts, mut peer) = from_oldest();
    assert_eq!(
        (subscribed.recovered, &*texts),
        (Recovered::All { messages: 3 }, "3 4 5"),
        "1 and 2 are gone"
    );
    assert_eq!(subscribed.position, topics.position(TOPIC));
    publish(&topics, [6]);
    assert_eq!(peer.texts(), ["6"], "each once");
}

#[test]
fn the_last_of_from_and_from_oldest_counts() {
    let topics = with_history(History::new(10));
    publish(&topics, 1..=3);
    let newest = topics.position(TOPIC).unwrap();
    let recovered = |options| Peer::new(&topics).member.subscribe_with(TOPIC, options).unwrap().recovered;
    let options = SubscribeOptions::new();
    assert_eq!(recovered(options.clone().from_oldest().from(newest)), Recovered::All { messages: 0 });
    assert_eq!(recovered(options.clone().from(newest).from_oldest()), Recovered::All { messages: 3 });
    assert_eq!(recovered(options.from_oldest().from(None)), Recovered::NotAsked);
    let live = Topics::new();
    let subscribed = Peer::new(&live).member.subscribe_with(TOPIC, SubscribeOptions::new().from_oldest());
    assert_eq!(subscribed.unwrap().recovered, Recovered::NoHistory);
}

#[test]
fn a_history_keeps_no_more_bytes_than_its_limit() {
    let topics = with_history(History::new(100).max_bytes(4096));
    for payload in [1000, 1000, 1000, 1000, 1000] {
        topics.publish(TOPIC, vec![0; payload]).unwrap();
    }
    let newest = topics.position(TOPIC).unwrap();
    let peer = Peer::new(&topics);
    let recovered = peer.recover(Position { offset: 0, ..newest }).recovered;
    assert_eq!(recovered, Recovered::Gap { messages: 3, gone: 2 });
    topics.publish(TOPIC, vec![0; 5000]).unwrap();
    let peer = Peer::new(&topics);
    let recovered = peer.recover(Position { offset: 0, ..newest }).recovered;
    assert_eq!(
        recovered,
        Recovered::Gap { messages: 0, gone: 6 },
        "a publication beyond the limit is not kept"
    );
}

#[tokio::test(start_paused = true)]
async fn a_history_keeps_nothing_longer_than_its_age() {
    let topics = with_history(History::new(100).max_age(Duration::from_secs(10)));
    let mut peers = vec![Peer::in_topic(&topics)];
    publish(&topics, [1]);
    advance(Duration::from_secs(6)).await;
    publish(&topics, [2]);
    let newest = topics.position(TOPIC).unwrap();
    let mut recovered = || {
        let peer = Peer::new(&topics);
        let recovered = peer.recover(Position { offset: 0, ..newest }).recovered;
        peers.push(peer);
        recovered
    };
    assert_eq!(recovered(), Recovered::All { messages: 2 });
    advance(Duration::from_secs(4)).await;
    assert_eq!(recovered(), Recovered::Gap { messages: 1, gone: 1 });
    advance(Duration::from_secs(6)).await;
    assert_eq!(recovered(), Recovered::Gap { messages: 0, gone: 2 });
    assert_eq!(topics.position(TOPIC), Some(newest), "the numbers continue while there are members");
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_members_ends_with_its_history() {
    let topics = with_history(History::new(100).max_age(Duration::from_secs(10)));
    publish(&topics, 1..=3);
    let before = topics.position(TOPIC).unwrap();
    let peer = Peer::in_topic(&topics);
    peer.end();
    advance(Duration::from_secs(9)).await;
    assert!(topics.contains(TOPIC));
    assert_eq!(topics.topic_count(), 1);
    advance(Duration::from_secs(1)).await;
    assert_eq!(topics.topic_count(), 0);
    assert!(!topics.contains(TOPIC));
    publish(&topics, [4]);
    assert_ne!(topics.position(TOPIC).unwrap().epoch, before.epoch);
    let peer = Peer::new(&topics);
    assert_eq!(peer.recover(before).recovered, Recovered::OtherEpoch);
}

#[tokio::test(start_paused = true)]
async fn publishing_elsewhere_frees_histories_that_are_too_old() {
    let topics = with_history(History::new(100).max_age(Duration::from_secs(10)));
    for number in 0..100 {
        topics.publish(&number.to_string(), "old").unwrap();
    }
    advance(Duration::from_secs(11)).await;
    for number in 100..150 {
        topics.publish(&number.to_string(), "new").unwrap();
    }
    assert_eq!(topics.0.directory.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_does_not_concern_the_history() {
    let options = TopicOptions::new().history(History::new(10)).deadline(Duration::from_secs(1));
    let topics = Topics::builder().options(options).build().unwrap();
    let mut slow = Peer::in_topic(&topics);
    let from = topics.position(TOPIC).unwrap();
    publish(&topics, [1]);
    advance(Duration::from_secs(2)).await;
    assert_eq!(slow.texts(), [""; 0]);
    assert_eq!(slow.member.missed(), 1);
    let mut late = Peer::new(&topics);
    assert_eq!(late.recover(from).recovered, Recovered::All { messages: 1 });
    assert_eq!(late.texts(), ["1"]);
}

#[test]
fn a_history_keeps_less_near_the_end_of_the_memory_budget() {
    let budget = MemoryBudget::new(2 * 1024 * 1024);
    let options = TopicOptions::new().history(History::new(100_000).max_bytes(1 << 30));
    let topics = Topics::builder().options(options).memory_budget(budget.clone()).build().unwrap();
    for _ in 0..100 {
        topics.publish(TOPIC, vec![0; 100_000]).unwrap();
    }
    assert!(budget.used() <= budget.limit() * 3 / 4, "{}", budget.used());
    let peer = Peer::new(&topics);
    let from = Position { offset: 0, ..topics.position(TOPIC).unwrap() };
    let Recovered::Gap { messages, gone } = peer.recover(from).recovered else { panic!("a gap") };
    assert_eq!(messages as u64 + gone, 100);
    assert!((5..=15).contains(&messages), "{messages}");
    drop((topics, peer));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_stamp_tells_the_position() {
    let options = TopicOptions::new().history(History::new(10)).stamp(Stamp::json("at", "data"));
    let topics = Topics::builder().options(options).build().unwrap();
    let mut peer = Peer::in_topic(&topics);
    let at = topics.publish(TOPIC, "[1]").unwrap().position.unwrap();
    topics.publish(TOPIC, vec![9]).unwrap();
    topics.publish_with(TOPIC, "plain", PublishOptions::new().history(false)).unwrap();
    let next = Position { offset: 2, ..at };
    let got = peer.take();
    assert_eq!(got[0], *format!(r#"{{"at":"{at}","data":[1]}}"#));
    assert_eq!(got[1], [&next.to_bytes()[..], &[9]].concat()[..]);
    assert_eq!(got[2], *"plain", "without a position");
}

#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Advance(u64),
    Recover(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3000_usize).prop_map(Step::Publish),
        1 => (1..8_u64).prop_map(Step::Advance),
        2 => (0..40_u64).prop_map(Step::Recover),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Against a plain list of all publications.
    #[test]
    fn recovery_gives_what_a_plain_list_gives(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let topics = with_history(History::new(8).max_bytes(8192).max_age(Duration::from_secs(10)));
            let _member = Peer::in_topic(&topics);
            let epoch = topics.position(TOPIC).unwrap().epoch;
            let mut all: Vec<(usize, Instant)> = Vec::new();
            // The offset up to which nothing is kept any more.
            let mut gone = 0;
            for step in steps {
                match step {
                    Step::Publish(len) => {
                        let published = topics.publish(TOPIC, vec![0; len]).unwrap();
                        all.push((len, Instant::now()));
                        assert_eq!(published.position, Some(Position { epoch, offset: all.len() as u64 }));
                        let size = |kept: &[(usize, Instant)]| kept.iter().map(|(len, _)| len + 256).sum::<usize>();
                        while all.len() - gone > 8 || size(&all[gone..]) > 8192 {
                            gone += 1;
                        }
                    }
                    Step::Advance(seconds) => advance(Duration::from_secs(seconds)).await,
                    Step::Recover(offset) => {
                        while all.get(gone).is_some_and(|(_, at)| at.elapsed() >= Duration::from_secs(10)) {
                            gone += 1;
                        }
                        let mut peer = Peer::new(&topics);
                        let recovered = peer.recover(Position { epoch, offset }).recovered;
                        let got: Vec<usize> = peer.take().iter().map(Message::len).collect();
                        let first = usize::try_from(offset).unwrap().max(gone).min(all.len());
                        let behind: Vec<usize> = all[first..].iter().map(|(len, _)| *len).collect();
                        let messages = behind.len();
                        if offset > all.len() as u64 {
                            assert_eq!(recovered, Recovered::Ahead);
                        } else if offset >= gone as u64 {
                            assert_eq!((recovered, got), (Recovered::All { messages }, behind));
                        } else {
                            assert_eq!((recovered, got), (Recovered::Gap { messages, gone: gone as u64 }, behind));
                        }
                        peer.end();
                    }
                }
            }
        });
    }
}
