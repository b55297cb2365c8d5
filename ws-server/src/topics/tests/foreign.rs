//! Code of the application that runs inside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{super::*, *};

/// A payload whose destructor uses the topics, and panics if it is told to.
struct Payload {
    topics: Topics,
    member: Member,
    dropped: Arc<AtomicUsize>,
    panics: bool,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        b"payload"
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.topics.publish(TOPIC, "from a destructor").unwrap();
        assert!(self.topics.topic_names().len() <= 1);
        assert!(self.topics.presence(TOPIC).len() <= 1);
        self.member.subscribe("other").unwrap();
        self.member.unsubscribe("other");
        assert!(self.member.missed() < u64::MAX);
        self.dropped.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "in a destructor");
    }
}

struct Scene {
    topics: Topics,
    /// A member of no topic, which the destructors use.
    idle: Peer,
    dropped: Arc<AtomicUsize>,
    panics: bool,
}

impl Scene {
    fn new(topics: &Topics, panics: bool) -> Self {
        Self { topics: topics.clone(), idle: Peer::new(topics), dropped: Arc::default(), panics }
    }

    fn payload(&self) -> Message {
        Message::binary(Bytes::from_owner(Payload {
            topics: self.topics.clone(),
            member: self.idle.member.clone(),
            dropped: Arc::clone(&self.dropped),
            panics: self.panics,
        }))
    }

    fn dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::SeqCst)
    }
}

/// Runs `f` with payloads whose destructors panic, and with others.
fn with_both(options: &TopicOptions, f: impl Fn(&Topics, &Scene)) {
    for panics in [false, true] {
        let topics = Topics::builder().options(options.clone()).build().unwrap();
        let scene = Scene::new(&topics, panics);
        f(&topics, &scene);
    }
}

#[test]
fn destructors_of_payloads_that_are_refused_or_reach_no_member() {
    with_both(&TopicOptions::new(), |topics, scene| {
        topics.publish(TOPIC, scene.payload()).unwrap();
        assert_eq!(scene.dropped(), 1);
        topics.publish("", scene.payload()).unwrap_err();
        assert_eq!(scene.dropped(), 1);
    });
}

#[test]
fn destructors_of_payloads_that_a_history_forgets() {
    let history = History::new(1).max_age(Duration::from_secs(1));
    with_both(&TopicOptions::new().history(history), |topics, scene| {
        topics.publish(TOPIC, scene.payload()).unwrap();
        assert_eq!(scene.dropped(), 0);
        topics.publish(TOPIC, "next").unwrap();
        assert_eq!(scene.dropped(), 1, "by the next publication");
        topics.publish(TOPIC, scene.payload()).unwrap();
        topics.reset(TOPIC, Position { epoch: 1, offset: 1 });
        assert_eq!(scene.dropped(), 1, "by a reset");
    });
}

#[tokio::test(start_paused = true)]
async fn destructors_of_payloads_that_are_too_old() {
    let history = History::new(5).max_age(Duration::from_secs(10));
    for panics in [false, true] {
        let topics = with_history(history);
        let scene = Scene::new(&topics, panics);
        topics.publish(TOPIC, scene.payload()).unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!topics.contains(TOPIC));
        assert_eq!(scene.dropped(), 1);
    }
}

#[test]
fn destructors_of_payloads_that_members_have_taken_or_missed() {
    let options = TopicOptions::new().slow(SlowPolicy::drop_oldest().max_messages(1));
    with_both(&options, |topics, scene| {
        let mut peer = Peer::in_topic(topics);
        topics.publish(TOPIC, scene.payload()).unwrap();
        assert_eq!(scene.dropped(), 0);
        peer.take();
        assert_eq!(scene.dropped(), 1, "taken");
        peer.take();
        topics.publish(TOPIC, scene.payload()).unwrap();
        topics.publish(TOPIC, "next").unwrap();
        assert_eq!(scene.dropped(), 1, "missed");
        peer.take();
        topics.publish(TOPIC, scene.payload()).unwrap();
        peer.member.unsubscribe(TOPIC);
        assert_eq!(scene.dropped(), 1, "unsubscribed");
        peer.member.subscribe(TOPIC).unwrap();
        topics.publish(TOPIC, scene.payload()).unwrap();
        peer.end();
        assert_eq!(scene.dropped(), 1, "over");
    });
}

#[test]
fn destructors_of_payloads_that_are_stamped() {
    let options = TopicOptions::new().history(History::new(5)).stamp(Stamp::json("at", "data"));
    with_both(&options, |topics, scene| {
        let mut peer = Peer::in_topic(topics);
        topics.publish(TOPIC, scene.payload()).unwrap();
        assert_eq!(scene.dropped(), 1, "the stamp has copied it");
        assert_eq!(peer.take()[0].len(), 16 + "payload".len());
    });
}

#[test]
fn keys_and_presence_data_are_copied() {
    let topics = Topics::new();
    let scene = Scene::new(&topics, false);
    let mut peer = Peer::new(&topics);
    let bytes = || scene.payload().into_bytes();
    peer.member.subscribe_with(TOPIC, SubscribeOptions::new().presence(bytes())).unwrap();
    assert_eq!(scene.dropped(), 1);
    topics.publish_with(TOPIC, "keyed", PublishOptions::new().key(bytes())).unwrap();
    assert_eq!(scene.dropped(), 1);
    peer.take();
    peer.end();
}

/// Data of a member whose destructor uses the topics.
struct Data(Topics);

impl Drop for Data {
    fn drop(&mut self) {
        assert_eq!(self.0.member_count(TOPIC), 0);
        self.0.publish(TOPIC, "from a destructor").unwrap();
        panic!("in a destructor");
    }
}

#[test]
fn the_destructor_of_a_members_data_may_use_the_topics_and_panic() {
    let topics = Topics::new();
    let options = MemberOptions::new().data(Arc::new(Data(topics.clone())));
    let peer = Peer::with(&topics, options, None);
    peer.member.subscribe(TOPIC).unwrap();
    peer.end();
    drop(peer);
    assert_eq!(topics.topic_count(), 0);
}
