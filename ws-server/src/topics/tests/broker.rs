//! Parts of a broker's log that come later than what follows them.

use super::{super::*, *};

const fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch, offset }
}

fn append(topics: &Topics, offset: u64, previous: u64) {
    let message = offset.to_string();
    topics.append(TOPIC, at(7, offset), Some(previous), message, PublishOptions::new()).unwrap();
}

/// Restores the offsets behind `since`, which are all up to `until`.
fn restore(topics: &Topics, since: Position, until: u64, offsets: impl IntoIterator<Item = u64>) {
    let entry =
        |offset: u64| (at(since.epoch, offset), Message::from(offset.to_string()), PublishOptions::new());
    let publications = offsets.into_iter().map(entry).collect();
    topics.restore(TOPIC, LogPart { since, until, publications });
}

/// What a new member recovers.
fn recover(topics: &Topics, offset: u64) -> (Recovered, String) {
    let mut peer = Peer::new(topics);
    let recovered = peer.recover(at(7, offset)).recovered;
    let texts = peer.texts().join(" ");
    peer.end();
    (recovered, texts)
}

#[test]
fn an_earlier_part_of_the_log_comes_in_front_and_members_do_not_get_it() {
    let topics = with_history(History::new(100));
    let mut member = Peer::in_topic(&topics);
    topics.reset(TOPIC, at(7, 5));
    append(&topics, 6, 5);
    append(&topics, 7, 6);
    assert!(!topics.keeps_since(TOPIC, at(7, 2)) && topics.keeps_since(TOPIC, at(7, 5)));
    restore(&topics, at(7, 2), 7, 3..=7);
    assert!(topics.keeps_since(TOPIC, at(7, 2)) && !topics.keeps_since(TOPIC, at(7, 1)));
    assert!(!topics.keeps_since(TOPIC, at(7, 8)) && !topics.keeps_since(TOPIC, at(8, 5)));
    assert_eq!(member.texts(), ["6", "7"]);
    assert_eq!(recover(&topics, 2), (Recovered::All { messages: 5 }, "3 4 5 6 7".into()));
    assert_eq!(recover(&topics, 1), (Recovered::Gap { messages: 5, gone: 2 }, "3 4 5 6 7".into()));
    append(&topics, 8, 7);
    assert_eq!(member.texts(), ["8"]);
    assert_eq!(recover(&topics, 4), (Recovered::All { messages: 4 }, "5 6 7 8".into()));
}

#[test]
fn a_part_of_the_log_makes_a_topic_that_keeps_it() {
    let topics = with_history(History::new(100));
    restore(&topics, at(7, 2), 5, 3..=4);
    assert_eq!(topics.position(TOPIC), Some(at(7, 5)));
    assert_eq!(recover(&topics, 2), (Recovered::All { messages: 2 }, "3 4".into()));
    append(&topics, 6, 5);
    assert_eq!(topics.publish(TOPIC, "text"), Err(PublishError::NumberedByBroker));
    let topics = Topics::new();
    restore(&topics, at(7, 2), 5, 3..=5);
    assert_eq!(topics.topic_count(), 0, "it would keep nothing");
}

#[test]
fn a_part_of_the_log_that_does_not_reach_what_is_kept_is_refused() {
    let topics = with_history(History::new(100));
    let _member = Peer::in_topic(&topics);
    topics.reset(TOPIC, at(7, 5));
    append(&topics, 6, 5);
    restore(&topics, at(7, 1), 4, 2..=4);
    restore(&topics, at(8, 1), 9, 2..=9);
    assert_eq!(recover(&topics, 4), (Recovered::Gap { messages: 1, gone: 5 }, "6".into()));
    restore(&topics, at(7, 1), 5, 2..=3);
    assert_eq!(
        recover(&topics, 1),
        (Recovered::All { messages: 3 }, "2 3 6".into()),
        "offsets may be sparse"
    );
    restore(&topics, at(7, 3), 6, 4..=6);
    assert_eq!(recover(&topics, 1), (Recovered::All { messages: 3 }, "2 3 6".into()), "it is known already");
}

#[test]
fn a_topic_that_this_process_numbers_is_not_restored() {
    let topics = with_history(History::new(100));
    let _member = Peer::in_topic(&topics);
    publish(&topics, [1]);
    let current = topics.position(TOPIC).unwrap();
    restore(&topics, at(current.epoch, 0), 5, 1..=5);
    assert_eq!(topics.position(TOPIC), Some(current));
}

#[test]
fn the_limits_of_the_history_cut_the_oldest_off() {
    let topics = with_history(History::new(4));
    let _member = Peer::in_topic(&topics);
    topics.reset(TOPIC, at(7, 5));
    append(&topics, 6, 5);
    restore(&topics, at(7, 0), 6, 1..=6);
    assert_eq!(recover(&topics, 0), (Recovered::Gap { messages: 4, gone: 2 }, "3 4 5 6".into()));
    assert_eq!(recover(&topics, 2), (Recovered::All { messages: 4 }, "3 4 5 6".into()));
    let topics = with_history(History::new(100).max_bytes(1024));
    restore(&topics, at(7, 0), 6, 1..=6);
    assert_eq!(recover(&topics, 3), (Recovered::All { messages: 3 }, "4 5 6".into()), "256 bytes each");
    assert!(!topics.keeps_since(TOPIC, at(7, 2)));
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_expires() {
    let topics = with_history(History::new(100).max_age(std::time::Duration::from_secs(10)));
    restore(&topics, at(7, 0), 3, 1..=3);
    assert!(topics.contains(TOPIC));
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert!(!topics.contains(TOPIC));
}

#[test]
fn restored_publications_have_their_stamp() {
    let options = TopicOptions::new().history(History::new(10)).stamp(Stamp::json("at", "data"));
    let topics = Topics::builder().options(options).build().unwrap();
    restore(&topics, at(7, 0), 1, 1..=1);
    assert_eq!(recover(&topics, 0).1, r#"{"at":"7-1","data":1}"#);
}

#[test]
fn a_topic_without_publications_begins_where_the_broker_says() {
    let topics = with_history(History::new(100));
    let subscribe = |position| {
        let options = SubscribeOptions::new().from(at(7, 5)).begins_at(Some(position));
        Peer::new(&topics).member.subscribe_with(TOPIC, options).unwrap()
    };
    let subscribed = subscribe(at(7, 5));
    assert_eq!((subscribed.position, subscribed.recovered), (Some(at(7, 5)), Recovered::All { messages: 0 }));
    append(&topics, 6, 5);
    assert_eq!(subscribe(at(7, 5)).position, Some(at(7, 6)), "it has begun");
}
