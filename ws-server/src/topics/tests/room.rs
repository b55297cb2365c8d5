//! What waits in front of the shards.

use std::{
    collections::VecDeque,
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use super::{super::*, *};

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Topics with room for four small publications, a member on a shard that does not look, and the shard's delivery.
fn busy() -> (Topics, Peer, Arc<Delivery>) {
    let topics = Topics::builder().max_waiting_bytes(1024).build().unwrap();
    let delivery = topics.add_shard(3, Waker::noop().clone());
    let peer = Peer::with(&topics, MemberOptions::new(), Some(Home { shard: 3, id: 5 }));
    peer.member.subscribe(TOPIC).unwrap();
    (topics, peer, delivery)
}

#[test]
fn publishing_is_refused_while_too_much_waits_for_a_shard() {
    let (topics, mut peer, delivery) = busy();
    publish(&topics, 1..=4);
    let full = topics.publish(TOPIC, "5").unwrap_err();
    assert_eq!(full, PublishError::Full { waiting: 4 * 257, limit: 1024 });
    let mut due = VecDeque::new();
    delivery.dispatch(&mut due);
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [5]);
    publish(&topics, [6]);
    assert_eq!(peer.texts(), ["1", "2", "3", "4", "6"]);
}

#[test]
fn a_publication_that_is_refused_takes_no_number() {
    let options = TopicOptions::new().history(History::new(100));
    let topics = Topics::builder().max_waiting_bytes(1024).options(options).build().unwrap();
    let delivery = topics.add_shard(3, Waker::noop().clone());
    let peer = Peer::with(&topics, MemberOptions::new(), Some(Home { shard: 3, id: 5 }));
    peer.member.subscribe(TOPIC).unwrap();
    publish(&topics, 1..=4);
    topics.publish(TOPIC, "refused").unwrap_err();
    let at = Position { epoch: 1, offset: 1 };
    let error = topics.append(TOPIC, at, None, "refused", PublishOptions::new()).unwrap_err();
    assert!(matches!(error, AppendError::Publish(PublishError::Full { .. })), "{error:?}");
    assert_eq!(topics.position(TOPIC).unwrap().offset, 4);
    delivery.dispatch(&mut VecDeque::new());
    assert_eq!(topics.publish(TOPIC, "5").unwrap().position.unwrap().offset, 5);
}

#[test]
fn ready_waits_for_half_of_the_room() {
    let (topics, _peer, delivery) = busy();
    let counters: [Arc<Counter>; 3] = Default::default();
    let wakers = counters.clone().map(Waker::from);
    let [mut one, mut two, mut three] = [pin!(topics.ready()), pin!(topics.ready()), pin!(topics.ready())];
    assert!(one.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_ready(), "nothing waits");
    let mut one = pin!(topics.ready());
    publish(&topics, 1..=3);
    assert!(one.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    assert!(two.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
    {
        let mut dropped = Box::pin(topics.ready());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(&wakers[2])).is_pending());
    }
    assert!(one.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    delivery.dispatch(&mut VecDeque::new());
    let woken = counters.map(|counter| counter.0.load(Ordering::SeqCst));
    assert_eq!(woken, [1, 1, 0]);
    assert!(one.poll(&mut Context::from_waker(&wakers[0])).is_ready());
    assert!(two.poll(&mut Context::from_waker(&wakers[1])).is_ready());
    assert!(three.as_mut().poll(&mut Context::from_waker(&wakers[2])).is_ready());
}

#[tokio::test]
async fn a_publisher_that_waits_for_room_publishes_everything() {
    let (topics, mut peer, delivery) = busy();
    let publisher = tokio::spawn({
        let topics = topics.clone();
        async move {
            for number in 0..100 {
                while let Err(PublishError::Full { .. }) = topics.publish(TOPIC, number.to_string()) {
                    topics.ready().await;
                }
            }
        }
    });
    let mut got = Vec::new();
    while got.len() < 100 {
        tokio::task::yield_now().await;
        delivery.dispatch(&mut VecDeque::new());
        got.extend(peer.texts());
    }
    publisher.await.unwrap();
    assert_eq!(got, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_shard_that_has_ended_gets_no_new_members() {
    let (topics, peer, _delivery) = busy();
    topics.remove_shard(3);
    let mut late = Peer::with(&topics, MemberOptions::new(), Some(Home { shard: 3, id: 6 }));
    late.member.subscribe(TOPIC).unwrap();
    publish(&topics, [1]);
    assert_eq!(late.texts(), ["1"]);
    peer.end();
}
