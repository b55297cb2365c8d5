//! Foreign code uses the delivery that runs it, and panics.

use std::sync::{OnceLock, Weak};

use super::*;

/// Uses the delivery when it is dropped or woken, and panics then.
#[derive(Default)]
struct Rude {
    delivery: OnceLock<(Weak<Delivery>, Slot)>,
    runs: AtomicUsize,
}

impl Rude {
    fn run(&self) {
        if let Some((delivery, slot)) = self.delivery.get()
            && let Some(delivery) = delivery.upgrade()
        {
            // Deadlocks if the lock is held.
            delivery.waiting(*slot);
            delivery.kick();
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose");
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        self.run();
    }
}

/// A payload with a destructor.
struct Payload(Arc<Rude>);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &[0; 8]
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.run();
    }
}

fn rude(delivery: &Arc<Delivery>, wake: impl FnOnce(Arc<Rude>) -> MemberWake) -> (Arc<Rude>, Slot) {
    let rude = Arc::new(Rude::default());
    let slot = delivery.add_member(MemberId(7), wake(Arc::clone(&rude)), PLENTY);
    assert!(rude.delivery.set((Arc::downgrade(delivery), slot)).is_ok());
    (rude, slot)
}

fn publication(rude: &Arc<Rude>) -> Publication {
    let message = Message::binary(Bytes::from_owner(Payload(Arc::clone(rude))));
    Publication::new(PreparedMessage::new(message), Charge::default())
}

#[test]
fn payloads_may_use_the_delivery_when_they_are_dropped() {
    let delivery = Arc::new(local());
    let (rude, slot) = rude(&delivery, |_| MemberWake::Local(7));
    let mut peer = Peer::new();
    // No member, dropped by the policy, replaced, sent, unsubscribed, left.
    delivery.publish(publication(&rude));
    delivery.due();
    assert_eq!(rude.runs(), 1);
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_oldest().max_messages(1));
    delivery.publish(publication(&rude));
    delivery.publish(publication(&rude));
    delivery.due();
    assert_eq!(rude.runs(), 2);
    delivery.subscribe(slot, TOPIC, SlowPolicy::latest_per_key().max_messages(1));
    delivery.publish(with(publication(&rude), |it| it.key = key("a")));
    delivery.publish(with(publication(&rude), |it| it.key = key("a")));
    delivery.due();
    assert_eq!(rude.runs(), 4);
    assert_eq!(peer.numbers(&delivery, slot), [0]);
    assert_eq!(rude.runs(), 5);
    delivery.publish(publication(&rude));
    delivery.due();
    delivery.push(Command::Unsubscribe { slot, topic: TOPIC });
    delivery.due();
    assert_eq!(rude.runs(), 6);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect().max_messages(1));
    delivery.publish(publication(&rude));
    delivery.publish(publication(&rude));
    delivery.due();
    assert_eq!(rude.runs(), 8);
    delivery.remove_member(slot);
    assert_eq!(rude.runs(), 8);
}

#[test]
fn a_payload_may_use_the_delivery_when_its_member_leaves() {
    let delivery = Arc::new(local());
    let (rude, slot) = rude(&delivery, |_| MemberWake::Local(7));
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.publish(publication(&rude));
    delivery.due();
    delivery.remove_member(slot);
    assert_eq!(rude.runs(), 1);
}

#[test]
fn wakers_may_use_the_delivery_when_they_are_woken() {
    let delivery = Arc::new(Delivery::loose(None));
    let (rude, slot) = rude(&delivery, |rude| MemberWake::Waker(Waker::from(rude)));
    let (counter, waker) = Counter::new();
    let other = delivery.add_member(MemberId(8), MemberWake::Waker(waker), PLENTY);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.subscribe(other, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(1);
    assert_eq!((rude.runs(), counter.get()), (1, 1), "a panic harms no other member");
    delivery.remove_member(slot);
    delivery.publish_number(2);
    assert_eq!(Peer::new().numbers(&delivery, other), [1, 2]);
}

#[test]
fn the_waker_of_a_reactor_may_panic() {
    let rude = Arc::new(Rude::default());
    let delivery = Delivery::local(Waker::from(Arc::clone(&rude)), None);
    delivery.publish_number(1);
    assert_eq!(rude.runs(), 1);
}

/// A waker that uses the delivery when it is dropped.
struct RudeDrop(Arc<Rude>);

impl Wake for RudeDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for RudeDrop {
    fn drop(&mut self) {
        self.0.run();
    }
}

#[test]
fn wakers_may_use_the_delivery_when_they_are_dropped() {
    let delivery = Arc::new(Delivery::loose(None));
    let (rude, slot) = rude(&delivery, |rude| MemberWake::Waker(Waker::from(Arc::new(RudeDrop(rude)))));
    delivery.remove_member(slot);
    assert_eq!(rude.runs(), 1);
}
