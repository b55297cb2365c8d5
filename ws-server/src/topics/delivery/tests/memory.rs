//! What memberships and waiting publications take.

use super::{
    super::store::{Held, Member, Node, Subscription},
    *,
};

#[test]
fn the_records_are_small() {
    assert!(size_of::<Subscription>() <= 40, "{}", size_of::<Subscription>());
    assert!(size_of::<Node>() <= 32, "{}", size_of::<Node>());
    assert!(size_of::<Held>() <= 16, "{}", size_of::<Held>());
    assert!(size_of::<Member>() <= 112, "{}", size_of::<Member>());
    assert!(size_of::<Command>() <= 80, "{}", size_of::<Command>());
}

#[test]
fn a_membership_takes_at_most_50_bytes() {
    const MEMBERS: u32 = 10_000;
    const TOPICS: u64 = 20;
    let delivery = local();
    for id in 0..MEMBERS {
        let slot = join(&delivery, id);
        for topic in 0..TOPICS {
            delivery.subscribe(slot, TopicId(topic), SlowPolicy::disconnect());
        }
    }
    let members = delivery.lock_executed();
    let records = members.store.subscriptions.capacity() * size_of::<Subscription>();
    let lists: usize = (0..TOPICS).map(|topic| members.subscribers.capacity_of(TopicId(topic)) * 4).sum();
    let each = (records + lists) as f64 / (f64::from(MEMBERS) * TOPICS as f64);
    assert!(each <= 50.0, "{each}");
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let delivery = local();
    let slots: Vec<Slot> = (0..1000).map(|id| join(&delivery, id)).collect();
    for slot in &slots {
        delivery.subscribe(*slot, TOPIC, SlowPolicy::drop_newest());
    }
    (0..200).for_each(|number| delivery.publish_number(number));
    for slot in slots {
        assert_eq!(Peer::new().numbers(&delivery, slot).len(), 200);
        delivery.remove_member(slot);
    }
    let members = delivery.lock_executed();
    assert!(members.store.nodes.capacity() <= 8 * 1024, "{}", members.store.nodes.capacity());
    assert!(members.store.subscriptions.capacity() <= 1024);
    assert!(members.store.held.capacity() <= 1024);
}
