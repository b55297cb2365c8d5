//! Publications that a broker has numbered.

use super::{super::*, *};

const fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch, offset }
}

fn append(topics: &Topics, position: Position, previous: Option<u64>) -> Result<Appended, AppendError> {
    topics.append(TOPIC, position, previous, position.to_string(), PublishOptions::new())
}

const DELIVERED: Result<Appended, AppendError> = Ok(Appended::Delivered { members: 1 });

#[test]
fn a_publication_of_a_broker_is_delivered_once() {
    let topics = with_history(History::new(10));
    let mut peer = Peer::in_topic(&topics);
    assert_eq!(append(&topics, at(7, 5), Some(4)), DELIVERED);
    assert_eq!(append(&topics, at(7, 5), Some(4)), Ok(Appended::Duplicate));
    assert_eq!(append(&topics, at(7, 4), Some(3)), Ok(Appended::Duplicate));
    assert_eq!(append(&topics, at(7, 6), Some(5)), DELIVERED);
    assert_eq!(peer.texts(), ["7-5", "7-6"]);
    assert_eq!(topics.position(TOPIC), Some(at(7, 6)));
}

#[test]
fn a_gap_is_refused_until_it_is_filled_or_given_up() {
    let topics = with_history(History::new(10));
    let mut peer = Peer::in_topic(&topics);
    append(&topics, at(7, 5), Some(4)).unwrap();
    assert_eq!(append(&topics, at(7, 8), Some(7)), Err(AppendError::Gap { newest: at(7, 5) }));
    assert_eq!(append(&topics, at(7, 7), Some(5)), DELIVERED, "a broker's offsets may jump");
    assert_eq!(append(&topics, at(7, 8), Some(7)), DELIVERED);
    assert_eq!(append(&topics, at(7, 11), Some(10)), Err(AppendError::Gap { newest: at(7, 8) }));
    topics.reset(TOPIC, at(7, 10));
    assert_eq!(append(&topics, at(7, 11), Some(10)), DELIVERED);
    assert_eq!(append(&topics, at(7, 20), None), DELIVERED, "the broker does not report it");
    assert_eq!(peer.texts(), ["7-5", "7-7", "7-8", "7-11", "7-20"]);
}

#[test]
fn a_reset_drops_the_history() {
    let topics = with_history(History::new(10));
    let _member = Peer::in_topic(&topics);
    append(&topics, at(7, 5), Some(4)).unwrap();
    topics.reset(TOPIC, at(7, 10));
    append(&topics, at(7, 11), Some(10)).unwrap();
    let recover = |from| {
        let mut peer = Peer::new(&topics);
        let recovered = peer.recover(from).recovered;
        let texts = peer.texts().join(" ");
        peer.end();
        (recovered, texts)
    };
    assert_eq!(recover(at(7, 10)), (Recovered::All { messages: 1 }, "7-11".into()));
    assert_eq!(recover(at(7, 9)), (Recovered::Gap { messages: 1, gone: 10 }, "7-11".into()));
    topics.reset(TOPIC, at(8, 0));
    assert_eq!(recover(at(7, 11)), (Recovered::OtherEpoch, String::new()));
    assert_eq!(append(&topics, at(7, 12), Some(11)), Err(AppendError::OtherEpoch { current: at(8, 0) }));
    assert_eq!(append(&topics, at(8, 1), Some(0)), DELIVERED);
}

#[test]
fn the_first_publication_tells_what_is_not_kept() {
    for previous in [None, Some(4)] {
        let topics = with_history(History::new(10));
        append(&topics, at(7, 5), previous).unwrap();
        let recovered = |offset| Peer::new(&topics).recover(at(7, offset)).recovered;
        assert_eq!(recovered(4), Recovered::All { messages: 1 });
        assert_eq!(recovered(3), Recovered::Gap { messages: 1, gone: 4 });
    }
}

#[test]
fn either_a_broker_or_the_process_numbers_a_topic() {
    let topics = with_history(History::new(10));
    let mut peer = Peer::in_topic(&topics);
    publish(&topics, [1]);
    let current = topics.position(TOPIC).unwrap();
    let other = at(current.epoch + 1, 1);
    assert_eq!(append(&topics, other, Some(0)), Err(AppendError::OtherEpoch { current }));
    assert_eq!(append(&topics, at(current.epoch, 9), None), Err(AppendError::OtherEpoch { current }));
    topics.reset(TOPIC, at(other.epoch, 0));
    assert_eq!(append(&topics, other, Some(0)), DELIVERED);
    assert_eq!(topics.publish(TOPIC, "2"), Err(PublishError::NumberedByBroker));
    topics.publish_with(TOPIC, "typing", PublishOptions::new().history(false)).unwrap();
    assert_eq!(peer.texts(), ["1".to_owned(), other.to_string(), "typing".to_owned()]);
}

#[test]
fn without_a_history_publications_of_a_broker_are_numbered_and_not_kept() {
    let topics = Topics::new();
    assert_eq!(append(&topics, at(7, 1), Some(0)), Ok(Appended::Delivered { members: 0 }));
    assert!(!topics.contains(TOPIC));
    let mut peer = Peer::in_topic(&topics);
    assert_eq!(append(&topics, at(7, 5), Some(4)), DELIVERED);
    assert_eq!(append(&topics, at(7, 5), Some(4)), Ok(Appended::Duplicate));
    assert_eq!(append(&topics, at(7, 9), Some(8)), Err(AppendError::Gap { newest: at(7, 5) }));
    let recovered = |offset| Peer::new(&topics).recover(at(7, offset)).recovered;
    assert_eq!(recovered(5), Recovered::All { messages: 0 });
    assert_eq!(recovered(4), Recovered::Gap { messages: 0, gone: 5 });
    topics.publish(TOPIC, "live").unwrap();
    assert_eq!(peer.texts(), ["7-5", "live"]);
}

#[test]
fn a_reset_does_not_create_a_topic() {
    let topics = with_history(History::new(10));
    topics.reset(TOPIC, at(7, 5));
    assert_eq!(topics.topic_count(), 0);
    publish(&topics, [1]);
    topics.reset(TOPIC, at(7, 5));
    assert_eq!(topics.topic_count(), 0, "it has neither members nor a history any more");
}

#[test]
fn offsets_at_the_end_of_their_range_are_accepted() {
    let topics = with_history(History::new(10));
    let _member = Peer::in_topic(&topics);
    assert_eq!(append(&topics, at(u64::MAX, 0), None), DELIVERED);
    assert_eq!(
        append(&topics, at(u64::MAX, u64::MAX), Some(u64::MAX)),
        Err(AppendError::Gap { newest: at(u64::MAX, 0) })
    );
    assert_eq!(append(&topics, at(u64::MAX, u64::MAX), Some(0)), DELIVERED);
    assert_eq!(append(&topics, at(u64::MAX, u64::MAX), None), Ok(Appended::Duplicate));
}
