//! A wait list with a bounded queue, and senders that send, poll and are dropped at random.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use ws_proto::memory::MESSAGE_OVERHEAD;

use super::*;

/// Limits of the queue: messages, and bytes with the overhead of each message.
const MOST: (usize, usize) = (8, 4000);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Sender {
    number: usize,
    len: usize,
    place: Option<Place>,
    wakes: Arc<Count>,
    /// The number of its wake-ups at its last poll.
    seen: usize,
}

impl Sender {
    fn was_woken(&self) -> bool {
        self.wakes.0.load(Ordering::Relaxed) > self.seen
    }
}

/// A queue that uses the list as a connection does.
#[derive(Default)]
struct Queue {
    list: WaitList,
    backlog: Backlog,
    messages: VecDeque<usize>,
    /// Numbers of the senders that were served.
    served: Vec<usize>,
    ended: bool,
}

fn fits(len: usize, backlog: &Backlog, promised: &Backlog) -> bool {
    let bytes = backlog.bytes() + promised.bytes();
    backlog.messages() + promised.messages() < MOST.0
        && (bytes == 0 || bytes + MESSAGE_OVERHEAD + len <= MOST.1)
}

impl Queue {
    /// Polls a sender. Returns whether it is done.
    fn poll(&mut self, sender: &mut Sender) -> bool {
        sender.seen = sender.wakes.0.load(Ordering::Relaxed);
        let standing = self.list.enter(&mut sender.place);
        let done = self.ended
            || match standing {
                Standing::Waits => false,
                Standing::Newcomer | Standing::Promised => {
                    let fits = fits(sender.len, &self.backlog, &self.list.promised());
                    assert!(fits || standing == Standing::Newcomer, "a promise is kept");
                    fits
                }
            };
        if !done {
            let waker = Waker::from(Arc::clone(&sender.wakes));
            let clone = &mut Some(waker.clone());
            assert!(self.list.wait(&mut sender.place, standing, sender.len, &waker, clone));
        } else if !self.ended {
            self.backlog.add(sender.len, 0);
            self.messages.push_back(sender.len);
            self.served.push(sender.number);
        }
        done
    }

    fn drop_sender(&mut self, mut sender: Sender) {
        if let Some(place) = sender.place.take() {
            self.list.leave(place);
        }
        self.let_in();
    }

    fn write_one(&mut self) {
        if let Some(len) = self.messages.pop_front() {
            self.backlog.remove(len, 0);
        }
        self.let_in();
    }

    fn let_in(&mut self) {
        let backlog = self.backlog;
        self.list.promise(|len, promised| fits(len, &backlog, promised));
    }

    fn check(&self, waiting: &[Sender]) {
        assert!(self.backlog.messages() <= MOST.0);
        let first = waiting.iter().find(|sender| self.list.is_first(sender.place.as_ref()));
        assert_eq!(first.is_some(), self.list.has_waiting());
        if let Some(first) = first {
            assert!(
                !fits(first.len, &self.backlog, &self.list.promised()),
                "there is room for a sender that was not woken"
            );
        }
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

fn sender(number: usize, dice: &mut Dice) -> Sender {
    // The last length is larger than the whole queue.
    let len = [0, 1, 100, 1000, 3900, 10_000][dice.below(6)];
    Sender { number, len, place: None, wakes: Arc::default(), seen: 0 }
}

#[test]
fn senders_are_served_in_order_with_a_constant_number_of_wakeups_each() {
    for seed in 0..300 {
        let (mut dice, mut queue) = (Dice(seed), Queue::default());
        let (mut waiting, mut arrived, mut wakes, mut done) = (Vec::<Sender>::new(), 0, 0, 0);
        for _ in 0..400 {
            match dice.below(6) {
                0 | 1 => {
                    let mut newcomer = sender(arrived, &mut dice);
                    arrived += 1;
                    if queue.poll(&mut newcomer) { done += 1 } else { waiting.push(newcomer) }
                }
                // Polls a sender, woken or not.
                2 | 3 if !waiting.is_empty() => {
                    let mut one = waiting.remove(dice.below(waiting.len()));
                    if queue.poll(&mut one) {
                        wakes += one.wakes.0.load(Ordering::Relaxed);
                        done += 1;
                    } else {
                        waiting.push(one);
                    }
                }
                4 if !waiting.is_empty() => {
                    let one = waiting.remove(dice.below(waiting.len()));
                    wakes += one.wakes.0.load(Ordering::Relaxed);
                    done += 1;
                    queue.drop_sender(one);
                }
                _ => queue.write_one(),
            }
            queue.check(&waiting);
        }
        while !waiting.is_empty() {
            queue.write_one();
            while let Some(at) = waiting.iter().position(Sender::was_woken) {
                let mut woken = waiting.remove(at);
                assert!(queue.poll(&mut woken), "a woken sender is served");
                wakes += woken.wakes.0.load(Ordering::Relaxed);
                done += 1;
                queue.check(&waiting);
            }
        }
        assert_eq!(done, arrived);
        assert!(wakes <= arrived, "{wakes} wake-ups for {arrived} senders");
        assert!(queue.list.0.is_none(), "nothing is left behind");
    }
}

#[test]
fn waiting_senders_are_served_in_the_order_of_their_arrival() {
    let (mut queue, mut dice) = (Queue::default(), Dice(1));
    let mut waiting: Vec<Sender> = (0..1000).map(|number| sender(number, &mut dice)).collect();
    waiting.retain_mut(|sender| !queue.poll(sender));
    while !waiting.is_empty() {
        queue.write_one();
        waiting.retain_mut(|sender| !sender.was_woken() || !queue.poll(sender));
    }
    assert_eq!(queue.served, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_newcomer_takes_neither_promised_room_nor_room_while_others_wait() {
    let (mut queue, mut dice) = (Queue::default(), Dice(2));
    let mut with_len = |len| Sender { len, ..sender(0, &mut dice) };
    assert!(queue.poll(&mut with_len(3900)));
    let (mut large, mut small) = (with_len(3900), with_len(1));
    assert!(!queue.poll(&mut large));
    assert!(!queue.poll(&mut small), "there is room, but another sender came first");
    queue.write_one();
    assert!(large.was_woken() && !small.was_woken());
    assert!(!queue.poll(&mut with_len(3900)), "it is promised");
    assert!(queue.poll(&mut large));
}

#[test]
fn at_the_end_all_senders_are_woken_once_and_leave() {
    let (mut queue, mut dice) = (Queue::default(), Dice(3));
    let mut waiting: Vec<Sender> = (0..100).map(|number| sender(number, &mut dice)).collect();
    waiting.retain_mut(|sender| !queue.poll(sender));
    queue.write_one();
    queue.ended = true;
    queue.list.end();
    for mut sender in waiting {
        assert_eq!(sender.wakes.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll(&mut sender));
    }
    assert!(queue.list.0.is_none());
}

#[test]
fn the_owner_may_pass_waiting_senders_once_and_is_woken_when_it_may_again() {
    let (mut queue, mut dice) = (Queue::default(), Dice(4));
    let mut with_len = |len| Sender { len, ..sender(0, &mut dice) };
    assert!(queue.list.owner_may_pass() && queue.list.owner_may_pass(), "no sender waits");
    assert!(queue.poll(&mut with_len(3900)));
    let mut large = with_len(3900);
    assert!(!queue.poll(&mut large));
    assert!(queue.list.owner_may_pass());
    assert!(!queue.list.owner_may_pass(), "a stream of small messages must not starve a large one");
    queue.list.wait_as_owner();
    assert!(!queue.list.take_owner_wake());
    queue.write_one();
    assert!(queue.list.take_owner_wake() && !queue.list.take_owner_wake());
    assert!(queue.list.owner_may_pass());
    queue.list.wait_as_owner();
    queue.drop_sender(large);
    assert!(queue.list.take_owner_wake());
    assert!(queue.list.0.is_none());
}
