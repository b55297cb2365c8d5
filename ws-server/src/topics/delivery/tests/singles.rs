//! Publications that members take without a turn.

use std::time::Duration;

use super::*;

/// What a reactor does with the members that are due: the numbers that connections get at once, and the ids of those
/// that get a turn.
fn take(
    delivery: &Delivery,
    due: &mut VecDeque<Due>,
    takes: impl FnMut(u32) -> bool,
) -> (Vec<(u32, u64)>, VecDeque<u32>) {
    let (mut singles, mut others) = (Singles::default(), VecDeque::new());
    delivery.take_singles(due.drain(..), Instant::now(), takes, &mut singles, &mut others);
    let sends = singles.sends().map(|(id, message)| (id, number_of(message))).collect();
    singles.clear();
    (sends, others)
}

fn dispatched(delivery: &Delivery) -> VecDeque<Due> {
    let mut due = VecDeque::new();
    delivery.dispatch(&mut due);
    due
}

#[test]
fn each_member_takes_the_publication_of_its_topic() {
    let delivery = local();
    let slots: Vec<Slot> = (0..6).map(|id| join(&delivery, id)).collect();
    for (slot, topic) in slots.iter().zip([1, 2].into_iter().cycle()) {
        delivery.subscribe(*slot, TopicId(topic), SlowPolicy::disconnect());
    }
    for (topic, number) in [(2, 20), (1, 10)] {
        let publication = Arc::new(numbered(number, 8));
        delivery.push(Command::Publish { topic: TopicId(topic), publication, room: RoomShare::default() });
    }
    let (sends, others) = take(&delivery, &mut dispatched(&delivery), |_| true);
    assert_eq!(sends, [(1, 20), (3, 20), (5, 20), (0, 10), (2, 10), (4, 10)]);
    assert_eq!(others, []);
    assert_eq!(
        slots.iter().map(|slot| delivery.waiting(*slot)).max_by_key(|it| it.messages).unwrap().messages,
        0
    );
    let members = delivery.lock_executed();
    assert_eq!((members.store.nodes.len(), members.store.held.len()), (0, 0), "nothing is kept");
    assert!(members.store.is_quiet());
}

#[test]
fn a_member_that_does_not_take_it_or_has_more_gets_a_turn() {
    let delivery = local();
    let slots: Vec<Slot> = (0..4).map(|id| join(&delivery, id)).collect();
    slots[..3].iter().for_each(|slot| delivery.subscribe(*slot, TOPIC, SlowPolicy::disconnect()));
    delivery.push(Command::Subscribe {
        slot: slots[3],
        topic: TOPIC,
        slow: SlowPolicy::disconnect(),
        recovered: vec![Arc::new(numbered(1, 8))],
    });
    let mut due = dispatched(&delivery);
    assert_eq!(take(&delivery, &mut due, |_| true), (vec![], [3].into()), "what is recovered takes a turn");
    delivery.publish_number(2);
    let mut due = dispatched(&delivery);
    let asked = due.iter().map(|due| due.id).collect::<Vec<_>>();
    assert_eq!(asked, [0, 1, 2]);
    delivery.publish(with(numbered(3, 8), |it| it.except = Some(MemberId(1))));
    assert!(dispatched(&delivery).is_empty(), "they are on the reactor's list already");
    assert_eq!(take(&delivery, &mut due, |id| id == 1), (vec![(1, 2)], [0, 2].into()));
    assert_eq!(Peer::new().numbers(&delivery, slots[0]), [2, 3]);
    assert_eq!(Peer::new().numbers(&delivery, slots[1]), []);
    delivery.publish_number(4);
    assert_eq!(take(&delivery, &mut dispatched(&delivery), |_| true).0, [(0, 4), (1, 4)]);
    assert_eq!(Peer::new().numbers(&delivery, slots[2]), [2, 3, 4]);
    assert_eq!(Peer::new().numbers(&delivery, slots[3]), [1, 2, 3, 4]);
}

#[test]
fn a_publication_past_its_deadline_is_not_taken() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    let past = Instant::now();
    delivery.publish(with(numbered(1, 8), |it| it.deadline = Some(past)));
    assert_eq!(take(&delivery, &mut dispatched(&delivery), |_| true), (vec![], [7].into()));
    peer.now = Instant::now();
    assert_eq!(peer.numbers(&delivery, slot), []);
    assert_eq!(delivery.missed(slot), 1);
    delivery.publish(with(numbered(2, 8), |it| it.deadline = Some(past + Duration::from_secs(3600))));
    assert_eq!(take(&delivery, &mut dispatched(&delivery), |_| true).0, [(7, 2)]);
}

#[test]
fn a_member_that_has_left_or_has_nothing_any_more_is_passed_over() {
    let delivery = local();
    let slots = [join(&delivery, 7), join(&delivery, 8)];
    slots.iter().for_each(|slot| delivery.subscribe(*slot, TOPIC, SlowPolicy::disconnect()));
    delivery.publish_number(1);
    let mut due = dispatched(&delivery);
    delivery.remove_member(slots[0]);
    // Its record is used again, for another connection with its id.
    let next = join(&delivery, 7);
    delivery.subscribe(next, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(2);
    assert_eq!(Peer::new().numbers(&delivery, slots[1]), [1, 2]);
    assert_eq!(take(&delivery, &mut due, |_| true), (vec![], VecDeque::new()));
    assert_eq!(take(&delivery, &mut dispatched(&delivery), |_| true).0, [(7, 2)]);
}
