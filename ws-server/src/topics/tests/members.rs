//! Members, subscriptions and publications.

use std::sync::Arc;

use super::{super::*, *};

#[test]
fn all_members_of_a_topic_get_a_publication_and_no_others() {
    let topics = Topics::new();
    let mut peers: Vec<_> = (0..20).map(|_| Peer::in_topic(&topics)).collect();
    let mut other = Peer::new(&topics);
    other.member.subscribe("room:2").unwrap();
    let published = topics.publish(TOPIC, "hello").unwrap();
    assert_eq!(published, Published { members: 20, position: None });
    for peer in &mut peers {
        assert_eq!(peer.texts(), ["hello"]);
        assert_eq!(peer.texts(), [""; 0], "once");
    }
    assert_eq!(other.texts(), [""; 0]);
}

#[test]
fn a_member_publishes_to_all_others() {
    let topics = Topics::new();
    let (mut one, mut two) = (Peer::in_topic(&topics), Peer::in_topic(&topics));
    one.member.publish(TOPIC, "hello").unwrap();
    assert_eq!(one.texts(), [""; 0]);
    assert_eq!(two.texts(), ["hello"]);
}

#[test]
fn publications_of_one_publisher_keep_their_order_over_all_topics() {
    let topics = Topics::new();
    let mut peer = Peer::new(&topics);
    let names = ["a", "b", "c"];
    for name in names {
        peer.member.subscribe(name).unwrap();
    }
    for number in 0..300 {
        topics.publish(names[number % 3], number.to_string()).unwrap();
    }
    assert_eq!(peer.texts(), (0..300).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_second_subscription_changes_nothing() {
    let topics = with_history(History::new(10));
    publish(&topics, 1..=3);
    let mut peer = Peer::in_topic(&topics);
    let position = topics.position(TOPIC).unwrap();
    let again = peer.recover(Position { offset: 0, ..position });
    assert_eq!(
        again,
        Subscribed { position: Some(position), recovered: Recovered::NotAsked, members: 1, is_new: false }
    );
    publish(&topics, [4]);
    assert_eq!(peer.texts(), ["4"], "once");
    assert!(peer.member.unsubscribe(TOPIC));
    assert!(!peer.member.unsubscribe(TOPIC), "once");
    assert_eq!(topics.member_count(TOPIC), 0);
}

#[test]
fn what_waits_is_not_delivered_after_unsubscribing() {
    let topics = Topics::new();
    let mut peer = Peer::in_topic(&topics);
    peer.member.subscribe("room:2").unwrap();
    publish(&topics, 1..=3);
    topics.publish("room:2", "stays").unwrap();
    assert_eq!(peer.member.waiting().messages, 4);
    peer.member.unsubscribe(TOPIC);
    assert_eq!(peer.texts(), ["stays"]);
    assert_eq!(peer.member.waiting().messages, 0);
}

#[test]
fn a_member_that_leaves_may_subscribe_again() {
    let topics = Topics::new();
    let mut peer = Peer::in_topic(&topics);
    peer.member.subscribe("room:0").unwrap();
    assert_eq!(peer.member.subscriptions(), [Arc::from("room:0"), Arc::from(TOPIC)]);
    peer.member.leave();
    assert_eq!(peer.member.subscriptions(), [] as [Arc<str>; 0]);
    assert_eq!(topics.topic_count(), 0);
    assert!(peer.member.subscribe(TOPIC).unwrap().is_new);
    publish(&topics, [1]);
    assert_eq!(peer.texts(), ["1"]);
}

#[test]
fn the_end_of_a_connection_ends_its_subscriptions() {
    let topics = Topics::new();
    let (one, mut two) = (Peer::in_topic(&topics), Peer::in_topic(&topics));
    one.end();
    one.end();
    assert_eq!(one.member.subscribe(TOPIC), Err(SubscribeError::Closed));
    assert_eq!(one.member.subscriptions(), [] as [Arc<str>; 0]);
    assert_eq!(one.member.waiting().messages, 0);
    assert_eq!(topics.publish(TOPIC, "hello").unwrap().members, 1);
    assert_eq!(two.texts(), ["hello"]);
}

#[test]
fn the_policy_of_the_subscription_comes_before_that_of_the_member_and_of_the_topic() {
    let policy = |messages| SlowPolicy::drop_newest().max_messages(messages);
    let topics = Topics::builder().options(TopicOptions::new().slow(policy(2))).build().unwrap();
    let in_topic = Peer::in_topic(&topics);
    let in_member = Peer::with(&topics, MemberOptions::new().slow(policy(3)), None);
    in_member.member.subscribe(TOPIC).unwrap();
    let in_subscription = Peer::with(&topics, MemberOptions::new().slow(policy(3)), None);
    in_subscription.member.subscribe_with(TOPIC, SubscribeOptions::new().slow(policy(4))).unwrap();
    publish(&topics, 1..=10);
    for (mut peer, kept) in [(in_topic, 2), (in_member, 3), (in_subscription, 4)] {
        assert_eq!(peer.member.missed(), 10 - kept);
        assert_eq!(peer.member.missed_in(TOPIC), 10 - kept);
        assert_eq!(peer.member.missed_in("room:2"), 0);
        assert_eq!(peer.take().len() as u64, kept);
        peer.end();
        assert_eq!(peer.member.missed(), 10 - kept, "still known");
    }
}

#[test]
fn a_key_replaces_what_waits_with_the_same_key() {
    let options = TopicOptions::new().slow(SlowPolicy::latest_per_key());
    let topics = Topics::builder().options(options).build().unwrap();
    let mut peer = Peer::in_topic(&topics);
    for (key, price) in [("A", 1), ("B", 2), ("A", 3)] {
        let options = PublishOptions::new().key(Bytes::from(key));
        topics.publish_with(TOPIC, format!("{key}{price}"), options).unwrap();
    }
    assert_eq!(peer.texts(), ["A3", "B2"]);
}

#[test]
fn data_of_a_member_is_found_by_its_type() {
    let topics = Topics::new();
    let peer = Peer::with(&topics, MemberOptions::new().data(Arc::new(7_u32)), None);
    assert_eq!(peer.member.data::<u32>(), Some(&7));
    assert_eq!(peer.member.data::<u64>(), None);
    assert_eq!(Peer::new(&topics).member.data::<u32>(), None);
}

#[test]
fn presence_lists_the_members_that_show_themselves() {
    let topics = Topics::new();
    let peers = [Peer::in_topic(&topics), Peer::new(&topics), Peer::new(&topics)];
    let show = |peer: &Peer, data: &'static str| {
        let options = SubscribeOptions::new().presence(Bytes::from(data));
        peer.member.subscribe_with(TOPIC, options).unwrap()
    };
    show(&peers[2], "two");
    show(&peers[1], "one");
    let present =
        |member: &Peer, data: &'static str| Present { member: member.member.id(), data: data.into() };
    assert_eq!(topics.presence(TOPIC), [present(&peers[1], "one"), present(&peers[2], "two")]);
    assert!(!show(&peers[1], "new").is_new);
    peers[2].end();
    assert_eq!(topics.presence(TOPIC), [present(&peers[1], "new")]);
    peers[1].member.unsubscribe(TOPIC);
    assert_eq!(topics.presence(TOPIC), []);
    assert_eq!(topics.presence("room:2"), []);
}

#[test]
fn debug_shows_neither_payloads_nor_data() {
    let topics = Topics::new();
    let secret = || Bytes::from_static(b"secret");
    let peer = Peer::with(&topics, MemberOptions::new().data(Arc::new("secret")), None);
    let mut events = topics.events();
    let subscribe = SubscribeOptions::new().presence(secret());
    peer.member.subscribe_with(TOPIC, subscribe.clone()).unwrap();
    let publication = publication::Publication::of("secret");
    let shown = [
        format!("{topics:?} {:?} {publication:?}", peer.member),
        format!("{subscribe:?} {:?}", PublishOptions::new().key(secret())),
        format!("{:?} {events:?}", topics.presence(TOPIC)),
        format!("{:?} {:?}", events.try_recv(), events.try_recv()),
        format!("{:?} {:?}", MemberOptions::new().data(Arc::new("secret")), Topics::builder()),
    ]
    .concat();
    assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
}
