//! Many threads on one delivery.

use std::{
    sync::{
        Barrier, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64},
    },
    thread,
    time::Duration,
};

use super::{super::HELP_FROM, *};

const THREADS: u64 = 4;
const EACH: u64 = 2000;
/// A test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

fn unlimited() -> SlowPolicy {
    SlowPolicy::drop_newest().max_messages(usize::MAX).max_bytes(usize::MAX)
}

/// The publications of a thread are numbered upwards from the thread's own start.
fn publish_all(delivery: &Delivery, thread: u64) {
    (0..EACH).for_each(|number| delivery.publish_number((thread << 32) | number));
}

/// Each number came once, and those of a thread in order.
fn check(got: &[u64]) {
    assert_eq!(got.len() as u64, THREADS * EACH);
    for thread in 0..THREADS {
        assert!(
            got.iter()
                .filter(|number| **number >> 32 == thread)
                .copied()
                .eq((0..EACH).map(|n| (thread << 32) | n))
        );
    }
}

#[test]
fn no_command_of_a_thread_stays_behind_when_another_one_dispatches() {
    let (counter, waker) = Counter::new();
    let delivery = Delivery::loose(None);
    let slot = delivery.add_member(MemberId(7), MemberWake::Waker(waker), PLENTY);
    delivery.subscribe(slot, TOPIC, unlimited());
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (delivery, start) = (&delivery, &start);
            scope.spawn(move || {
                start.wait();
                publish_all(delivery, thread);
            });
        }
    });
    // No further call executes the inbox.
    assert!(!delivery.inbox.is_pending());
    assert_eq!(counter.get(), 1);
    check(&Peer::new().numbers(&delivery, slot));
}

#[test]
fn a_round_of_single_publications_leaves_none_behind() {
    let delivery = Delivery::loose(None);
    let (_, waker) = Counter::new();
    let slot = delivery.add_member(MemberId(7), MemberWake::Waker(waker), PLENTY);
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_oldest());
    let (start, end) = (Barrier::new(2), Barrier::new(2));
    let publish = |number| {
        start.wait();
        delivery.publish_number(number);
        end.wait();
    };
    let mut left_behind = 0;
    thread::scope(|scope| {
        scope.spawn(|| (0..EACH).for_each(publish));
        for number in 0..EACH {
            publish(number);
            // The next round begins when both threads are here.
            left_behind += u32::from(delivery.inbox.is_pending());
        }
    });
    assert_eq!(left_behind, 0);
}

#[test]
fn a_reactor_and_its_connection_get_all_that_threads_publish() {
    let (sender, woken) = std::sync::mpsc::channel();
    let delivery = Delivery::local(Waker::from(Arc::new(Sender(Mutex::new(sender)))), None);
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, unlimited());
    let (mut peer, mut got) = (Peer::new(), Vec::new());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let delivery = &delivery;
            scope.spawn(move || publish_all(delivery, thread));
        }
        while (got.len() as u64) < THREADS * EACH {
            woken.recv_timeout(DEADLINE).expect("a wake-up");
            // A connection that was not asked takes nothing.
            if delivery.due() == [7] {
                got.extend(peer.numbers(&delivery, slot));
            }
        }
    });
    check(&got);
}

struct Sender(Mutex<std::sync::mpsc::Sender<()>>);

impl Wake for Sender {
    fn wake(self: Arc<Self>) {
        self.0.lock().expect("no panic").send(()).expect("the test listens");
    }
}

#[test]
fn a_thread_that_publishes_and_then_sends_keeps_the_order() {
    let delivery = Delivery::loose(None);
    thread::scope(|scope| {
        for thread in 1..=THREADS {
            let delivery = &delivery;
            scope.spawn(move || {
                let (mut peer, topic) = (Peer::new(), TopicId(thread));
                let slot =
                    delivery.add_member(MemberId(thread), MemberWake::Waker(Waker::noop().clone()), PLENTY);
                delivery.subscribe(slot, topic, unlimited());
                for number in 0..10 * EACH {
                    let publication = Arc::new(numbered(number, 8));
                    delivery.push(Command::Publish { topic, publication, room: RoomShare::default() });
                    delivery.kick();
                    // What the thread has published is there before it sends, even if another thread dispatches.
                    assert_eq!(peer.numbers(delivery, slot), [number]);
                }
                delivery.remove_member(slot);
            });
        }
    });
}

/// A waker that publishes on another thread, once.
struct Publisher(OnceLock<Arc<Delivery>>, AtomicBool);

impl Wake for Publisher {
    fn wake(self: Arc<Self>) {
        if let Some(delivery) = self.0.get()
            && !self.1.swap(true, Ordering::SeqCst)
        {
            thread::scope(|scope| scope.spawn(|| delivery.publish_number(2)).join().expect("no panic"));
        }
    }
}

#[test]
fn a_thread_that_dispatches_also_executes_what_comes_while_it_wakes_members() {
    let publisher = Arc::new(Publisher(OnceLock::new(), AtomicBool::new(false)));
    let delivery = Arc::new(Delivery::loose(None));
    assert!(publisher.0.set(Arc::clone(&delivery)).is_ok());
    let waker = MemberWake::Waker(Waker::from(publisher));
    let slot = delivery.add_member(MemberId(7), waker, PLENTY);
    delivery.subscribe(slot, TOPIC, unlimited());
    delivery.publish_number(1);
    assert!(!delivery.inbox.is_pending(), "the other thread has left it to this one");
    assert_eq!(Peer::new().numbers(&delivery, slot), [1, 2]);
    // The waker has the delivery.
    delivery.remove_member(slot);
}

#[test]
fn a_connection_gets_what_another_thread_is_executing() {
    let delivery = local();
    let slots: Vec<Slot> = (0..50_000).map(|id| join(&delivery, id)).collect();
    slots.iter().for_each(|slot| delivery.subscribe(*slot, TOPIC, unlimited()));
    delivery.due();
    let last = slots[slots.len() - 1];
    delivery.publish_number(1);
    let numbers = thread::scope(|scope| {
        scope.spawn(|| delivery.due());
        while delivery.inbox.is_pending() {
            std::hint::spin_loop();
        }
        // The command is taken, and the walk has only begun.
        Peer::new().numbers(&delivery, last)
    });
    assert_eq!(numbers, [1]);
}

/// A waker that subscribes and unsubscribes many times, once. Notes how many commands wait at most.
struct Storm(OnceLock<(Arc<Delivery>, Slot)>, AtomicU64);

impl Wake for Storm {
    fn wake(self: Arc<Self>) {
        let Some((delivery, slot)) = self.0.get() else { return };
        for _ in 0..10 * HELP_FROM {
            delivery.subscribe(*slot, TopicId(2), unlimited());
            delivery.push(Command::Unsubscribe { slot: *slot, topic: TopicId(2) });
            delivery.kick();
            self.1.fetch_max(delivery.inbox.len(), Ordering::SeqCst);
        }
    }
}

#[test]
fn commands_do_not_pile_up_while_the_thread_that_dispatches_is_late() {
    let storm = Arc::new(Storm(OnceLock::new(), AtomicU64::new(0)));
    let delivery = Arc::new(Delivery::loose(None));
    let waker = MemberWake::Waker(Waker::from(Arc::clone(&storm)));
    let slot = delivery.add_member(MemberId(7), waker, PLENTY);
    assert!(storm.0.set((Arc::clone(&delivery), slot)).is_ok());
    delivery.subscribe(slot, TOPIC, unlimited());
    delivery.publish_number(1);
    let most = storm.1.load(Ordering::SeqCst);
    assert!((1..=HELP_FROM).contains(&most), "{most} commands");
    delivery.remove_member(slot);
}

/// Takes what waits and has another thread publish, each time it is woken on the thread that dispatches.
struct Endless {
    delivery: OnceLock<(Arc<Delivery>, Slot)>,
    dispatches: thread::ThreadId,
    woken: AtomicU64,
}

impl Wake for Endless {
    fn wake(self: Arc<Self>) {
        let Some((delivery, slot)) = self.delivery.get() else { return };
        if thread::current().id() != self.dispatches || self.woken.fetch_add(1, Ordering::SeqCst) >= 1000 {
            return;
        }
        let next = || {
            Peer::new().numbers(delivery, *slot);
            delivery.publish_number(2);
        };
        thread::scope(|scope| scope.spawn(next).join().expect("no panic"));
    }
}

#[test]
fn a_thread_does_not_publish_for_others_without_an_end() {
    let (delivery, dispatches) = (OnceLock::new(), thread::current().id());
    let endless = Arc::new(Endless { delivery, dispatches, woken: AtomicU64::new(0) });
    let delivery = Arc::new(Delivery::loose(None));
    let waker = MemberWake::Waker(Waker::from(Arc::clone(&endless)));
    let slot = delivery.add_member(MemberId(7), waker, PLENTY);
    assert!(endless.delivery.set((Arc::clone(&delivery), slot)).is_ok());
    delivery.subscribe(slot, TOPIC, unlimited());
    delivery.publish_number(1);
    let woken = endless.woken.load(Ordering::SeqCst);
    assert!((2..100).contains(&woken), "{woken}");
    assert!(!delivery.inbox.is_pending(), "the others execute what they publish");
    assert_eq!(Peer::new().numbers(&delivery, slot), [2]);
    delivery.remove_member(slot);
}
