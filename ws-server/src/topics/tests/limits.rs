//! Limits, hooks and settings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{super::*, *};

#[test]
fn names_of_topics_are_limited() {
    let topics = Topics::builder().max_topic_name(4).build().unwrap();
    let peer = Peer::new(&topics);
    assert_eq!(peer.member.subscribe(""), Err(SubscribeError::EmptyName));
    assert_eq!(peer.member.subscribe("12345"), Err(SubscribeError::NameTooLong { len: 5, limit: 4 }));
    assert_eq!(topics.publish("", "x"), Err(PublishError::EmptyName));
    assert_eq!(topics.publish("12345", "x"), Err(PublishError::NameTooLong { len: 5, limit: 4 }));
    assert!(peer.member.subscribe("1234").is_ok());
    assert_eq!(topics.topic_count(), 1);
}

#[test]
fn topics_of_a_member_are_limited() {
    let topics = Topics::builder().max_topics_per_member(2).build().unwrap();
    let peer = Peer::new(&topics);
    peer.member.subscribe("a").unwrap();
    peer.member.subscribe("b").unwrap();
    assert_eq!(peer.member.subscribe("c"), Err(SubscribeError::TooManyTopics { limit: 2 }));
    assert!(!topics.contains("c"), "nothing is left of it");
    assert!(!peer.member.subscribe("a").unwrap().is_new);
    peer.member.unsubscribe("a");
    assert!(peer.member.subscribe("c").unwrap().is_new);
}

#[test]
fn members_of_a_topic_are_limited() {
    let topics = Topics::builder().options(TopicOptions::new().max_members(1)).build().unwrap();
    let (one, two) = (Peer::in_topic(&topics), Peer::new(&topics));
    assert_eq!(two.member.subscribe(TOPIC), Err(SubscribeError::TooManyMembers { limit: 1 }));
    assert_eq!(topics.member_count(TOPIC), 1);
    one.end();
    assert_eq!(two.member.subscribe(TOPIC).unwrap().members, 1);
}

#[test]
fn topics_in_all_are_limited() {
    let options = TopicOptions::new().history(History::new(1));
    let topics = Topics::builder().max_topics(2).options(options).build().unwrap();
    let peer = Peer::new(&topics);
    peer.member.subscribe("a").unwrap();
    topics.publish("b", "x").unwrap();
    assert_eq!(peer.member.subscribe("c"), Err(SubscribeError::TooManyTopicsInAll { limit: 2 }));
    assert_eq!(topics.publish("c", "x"), Err(PublishError::TooManyTopicsInAll { limit: 2 }));
    assert!(topics.publish_with("c", "x", PublishOptions::new().history(false)).is_ok());
    peer.member.unsubscribe("a");
    assert!(peer.member.subscribe("c").is_ok());
}

#[test]
fn presence_data_is_limited() {
    let topics = Topics::builder().max_presence(3).build().unwrap();
    let peer = Peer::new(&topics);
    let show = |data: &'static [u8]| {
        peer.member.subscribe_with(TOPIC, SubscribeOptions::new().presence(Bytes::from_static(data)))
    };
    assert_eq!(show(b"1234"), Err(SubscribeError::PresenceTooLong { len: 4, limit: 3 }));
    assert!(!topics.contains(TOPIC));
    assert!(show(b"123").is_ok());
    assert_eq!(show(b"1234"), Err(SubscribeError::PresenceTooLong { len: 4, limit: 3 }));
    assert_eq!(topics.presence(TOPIC)[0].data, "123");
}

#[test]
fn a_function_decides_who_may_subscribe() {
    let topics = Topics::builder()
        .authorize(|member, topic| match member.data::<&str>() {
            Some(user) if topic.starts_with(user) => Ok(()),
            _ => Err(Denied::new(format!("not your topic: {topic}"))),
        })
        .build()
        .unwrap();
    let peer = Peer::with(&topics, MemberOptions::new().data(Arc::new("ann")), None);
    let denied = peer.member.subscribe("bob:1").unwrap_err();
    assert_eq!(denied, SubscribeError::Denied(Denied::new("not your topic: bob:1")));
    assert_eq!(denied.to_string(), "the subscription was denied");
    assert_eq!(std::error::Error::source(&denied).unwrap().to_string(), "not your topic: bob:1");
    assert!(!topics.contains("bob:1"));
    assert!(peer.member.subscribe("ann:1").is_ok());
}

#[test]
fn a_panic_of_the_deciding_function_denies() {
    let topics = Topics::builder().authorize(|_, _| panic!("in the hook")).build().unwrap();
    let peer = Peer::new(&topics);
    assert!(matches!(peer.member.subscribe(TOPIC), Err(SubscribeError::Denied(_))));
    assert_eq!(topics.topic_count(), 0);
}

#[test]
fn hooks_may_use_the_topics() {
    let shared: Arc<std::sync::OnceLock<Topics>> = Arc::default();
    let (one, two) = (Arc::clone(&shared), Arc::clone(&shared));
    let topics = Topics::builder()
        .authorize(move |member, topic| {
            assert!(member.subscriptions().is_empty());
            let topics = one.get().unwrap();
            assert_eq!(topics.publish(topic, "from a hook").unwrap().members, 1);
            Ok(())
        })
        .options_by_name(move |topic| {
            two.get().unwrap().publish("log", topic.to_owned()).unwrap();
            TopicOptions::new()
        })
        .build()
        .unwrap();
    // `log` and the topic exist already, so the functions do not call themselves.
    let first = Topics::new();
    shared.set(first.clone()).unwrap();
    let mut other = Peer::in_topic(&first);
    other.member.subscribe("log").unwrap();
    let peer = Peer::new(&topics);
    peer.member.subscribe(TOPIC).unwrap();
    assert_eq!(other.texts(), ["from a hook", TOPIC]);
}

#[test]
fn options_come_from_the_name() {
    let topics = Topics::builder()
        .options(TopicOptions::new().history(History::new(1)))
        .options_by_name(|topic| match topic {
            "live" => TopicOptions::new(),
            "log" => TopicOptions::new().history(History::new(5)),
            "bad" => TopicOptions::new().history(History::new(0)),
            _ => panic!("in the hook"),
        })
        .build()
        .unwrap();
    let kept = |topic: &str| {
        let peer = Peer::new(&topics);
        for _ in 0..8 {
            topics.publish(topic, "x").unwrap();
        }
        let newest = topics.position(topic)?;
        let options = SubscribeOptions::new().from(Position { offset: 0, ..newest });
        match peer.member.subscribe_with(topic, options).unwrap().recovered {
            Recovered::Gap { messages, .. } => Some(messages),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kept("live"), None);
    assert_eq!(kept("log"), Some(5));
    assert_eq!(kept("bad"), Some(1), "the default options");
    assert_eq!(kept("other"), Some(1), "the default options");
}

#[test]
fn options_are_asked_for_once_for_each_topic() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let hook = move |_: &str| {
        counter.fetch_add(1, Ordering::SeqCst);
        TopicOptions::new()
    };
    let topics = Topics::builder().options_by_name(hook).build().unwrap();
    let peers = [Peer::in_topic(&topics), Peer::in_topic(&topics)];
    publish(&topics, 0..10);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    drop(peers);
}

#[test]
fn settings_are_checked() {
    let with = |options| Topics::builder().options(options);
    let history = |history| with(TopicOptions::new().history(history));
    let slow = |policy| with(TopicOptions::new().slow(policy));
    let cases = [
        (Topics::builder().max_topics_per_member(0), "max_topics_per_member = 0: must be at least 1"),
        (Topics::builder().max_topic_name(0), "max_topic_name = 0: must be from 1 to 65,536 bytes"),
        (Topics::builder().max_topic_name(65_537), "max_topic_name = 65537: must be from 1 to 65,536 bytes"),
        (
            Topics::builder().max_presence(1_048_577),
            "max_presence = 1048577: must be at most 1,048,576 bytes",
        ),
        (Topics::builder().max_topics(0), "max_topics = 0: must be at least 1"),
        (Topics::builder().max_waiting_bytes(9), "max_waiting_bytes = 9: must be at least 1024 bytes"),
        (with(TopicOptions::new().max_members(0)), "max_members = 0: must be at least 1"),
        (with(TopicOptions::new().deadline(Duration::ZERO)), "deadline = 0ns: must be longer than zero"),
        (
            with(TopicOptions::new().stamp(Stamp::json("a", "b"))),
            "stamp = set: needs a history, because positions come from it",
        ),
        (history(History::new(0)), "history.messages = 0: must be at least 1"),
        (history(History::new(1).max_bytes(9)), "history.max_bytes = 9: must be at least 1024 bytes"),
        (
            history(History::new(1).max_age(Duration::ZERO)),
            "history.max_age = 0ns: must be longer than zero, at most 366 days",
        ),
        (slow(SlowPolicy::disconnect().max_messages(0)), "slow.max_messages = 0: must be at least 1"),
        (slow(SlowPolicy::drop_oldest().max_bytes(0)), "slow.max_bytes = 0: must be at least 1"),
    ];
    for (builder, expected) in cases {
        assert_eq!(builder.build().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_subscription_with_a_bad_policy_uses_the_smallest() {
    let topics = Topics::new();
    let mut peer = Peer::new(&topics);
    let policy = SlowPolicy::drop_newest().max_messages(0).max_bytes(0);
    peer.member.subscribe_with(TOPIC, SubscribeOptions::new().slow(policy)).unwrap();
    publish(&topics, 1..=3);
    assert_eq!(peer.texts(), ["1"]);
}
