//! Events.

use std::{
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use super::{super::*, *};

fn shown(peer: &Peer, data: &'static str) {
    peer.member.subscribe_with(TOPIC, SubscribeOptions::new().presence(Bytes::from(data))).unwrap();
}

fn all(events: &mut TopicEvents) -> Vec<TopicEvent> {
    std::iter::from_fn(|| events.try_recv()).collect()
}

#[test]
fn events_tell_who_comes_and_goes() {
    let topics = Topics::new();
    let silent = Peer::in_topic(&topics);
    let mut events = topics.events();
    let peer = Peer::new(&topics);
    shown(&peer, "a");
    shown(&peer, "a");
    shown(&peer, "b");
    let hidden = Peer::in_topic(&topics);
    peer.end();
    hidden.member.unsubscribe(TOPIC);
    silent.member.leave();
    Peer::in_topic(&topics).member.leave();
    let topic: Arc<str> = Arc::from(TOPIC);
    let member = peer.member.id();
    let joined = |data: &'static str| TopicEvent::Joined {
        topic: Arc::clone(&topic),
        member,
        presence: Bytes::from(data),
    };
    assert_eq!(
        all(&mut events),
        [
            joined("a"),
            joined("b"),
            TopicEvent::Left { topic: Arc::clone(&topic), member },
            TopicEvent::Emptied { topic: Arc::clone(&topic) },
            TopicEvent::Opened { topic: Arc::clone(&topic) },
            TopicEvent::Emptied { topic: Arc::clone(&topic) },
        ]
    );
}

#[test]
fn each_receiver_gets_all_events() {
    let topics = Topics::new();
    let mut receivers = [topics.events(), topics.events()];
    let peer = Peer::in_topic(&topics);
    for events in &mut receivers {
        assert_eq!(all(events).len(), 1);
    }
    let [one, mut two] = receivers;
    drop(one);
    peer.end();
    assert_eq!(all(&mut two).len(), 1);
    assert_eq!(all(&mut topics.events()), [], "from now on only");
}

#[test]
fn a_slow_receiver_learns_how_many_events_it_missed() {
    let topics = Topics::new();
    let mut events = topics.events();
    let peer = Peer::new(&topics);
    let toggle = |times: usize| {
        for _ in 0..times {
            peer.member.subscribe(TOPIC).unwrap();
            peer.member.unsubscribe(TOPIC);
        }
    };
    toggle(600);
    for _ in 0..24 {
        events.try_recv().unwrap();
    }
    peer.member.subscribe(TOPIC).unwrap();
    let got = all(&mut events);
    assert_eq!(got.len(), 1000 + 2);
    assert_eq!(got[1000], TopicEvent::Lagged(176));
    assert!(matches!(got[1001], TopicEvent::Opened { .. }), "{:?}", got[1001]);
    peer.member.unsubscribe(TOPIC);
    all(&mut events);
    toggle(513);
    let got = all(&mut events);
    assert_eq!(got.len(), 1024 + 1);
    assert_eq!(got[1024], TopicEvent::Lagged(2), "also if nothing follows");
    toggle(1);
    assert_eq!(all(&mut events).len(), 2);
}

/// A waker that uses the topics.
struct Curious {
    topics: Topics,
    wakes: AtomicUsize,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.topics.topic_names().len(), 1);
        self.topics.publish(TOPIC, "from a waker").unwrap();
        let peer = Peer::in_topic(&self.topics);
        peer.end();
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waiting_receiver_is_woken_with_no_lock_held() {
    let topics = Topics::new();
    let mut events = topics.events();
    let curious = Arc::new(Curious { topics: topics.clone(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&curious));
    {
        let mut recv = pin!(events.recv());
        assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let peer = Peer::in_topic(&topics);
        assert_eq!(curious.wakes.load(Ordering::SeqCst), 1);
        let Poll::Ready(Some(TopicEvent::Opened { .. })) = recv.poll(&mut Context::from_waker(&waker)) else {
            panic!("an event")
        };
        peer.end();
    }
    all(&mut events);
}

#[tokio::test]
async fn events_end_with_the_topics() {
    let topics = Topics::new();
    let mut events = topics.events();
    let peer = Peer::in_topic(&topics);
    let waiting = tokio::spawn(async move {
        let mut got = Vec::new();
        while let Some(event) = events.recv().await {
            got.push(event);
        }
        got
    });
    drop(topics);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "a member is a handle to the topics");
    peer.end();
    drop(peer);
    assert_eq!(waiting.await.unwrap().len(), 2);
}

#[test]
fn events_of_a_topic_come_in_their_order() {
    let topics = Topics::new();
    let mut events = topics.events();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..60 {
                    let peer = Peer::new(&topics);
                    shown(&peer, "here");
                    peer.end();
                }
            });
        }
    });
    let (mut is_open, mut present) = (false, Vec::new());
    for event in all(&mut events) {
        match event {
            TopicEvent::Opened { .. } => assert!(!std::mem::replace(&mut is_open, true)),
            TopicEvent::Emptied { .. } => {
                assert!(std::mem::replace(&mut is_open, false));
                assert!(present.is_empty());
            }
            TopicEvent::Joined { member, .. } => {
                assert!(is_open && !present.contains(&member));
                present.push(member);
            }
            TopicEvent::Left { member, .. } => {
                assert!(is_open && present.contains(&member));
                present.retain(|other| *other != member);
            }
            TopicEvent::Lagged(_) => panic!("too many events"),
        }
    }
    assert!(!is_open);
}
