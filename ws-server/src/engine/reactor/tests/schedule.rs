//! Which connections get a turn in which poll of the reactor.

use std::{io::Write as _, net::TcpListener, pin::pin, task::Waker};

use tokio::task::coop::consume_budget;
use ws_tokio::internal::ThreadReceiveBuffer;

use super::*;
use crate::engine::reactor::schedule::{SWEEP_PER_POLL, TURNS_PER_POLL};

const MANY: u32 = 10_000;

/// The ids of the connections that had turns, in order.
type Log = Rc<RefCell<Vec<u32>>>;

/// A connection that logs its turns.
struct Stub {
    id: u32,
    log: Log,
    kind: Kind,
    wants_turn: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Each turn asks for another one.
    Eager,
    /// Each turn uses tokio's budget, as an async function does that reads from a channel.
    Budgeted,
}

impl ReactorConn for Stub {
    fn note_events(&mut self, _events: EventFlags) {}

    fn wants_turn(&mut self) -> &mut bool {
        &mut self.wants_turn
    }

    fn turn(&mut self, waker: &Waker, _rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        self.log.borrow_mut().push(self.id);
        match self.kind {
            Kind::Plain => {}
            Kind::Eager => waker.wake_by_ref(),
            Kind::Budgeted => {
                assert!(pin!(consume_budget()).poll(&mut Context::from_waker(waker)).is_ready())
            }
        }
        Poll::Pending
    }

    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn on_panic(&mut self) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A reactor, polled by the test.
struct Fixture {
    reactor: ReactorState<TestApp<Stub>>,
    schedule: Schedule,
    log: Log,
}

impl Fixture {
    /// A reactor with `count` connections of a kind.
    fn new(count: u32, kind: Kind) -> Self {
        let fixture = Self { reactor: reactor(&server()), schedule: Schedule::new(), log: Log::default() };
        for id in 0..count {
            fixture.insert(id, kind);
        }
        fixture
    }

    fn insert(&self, id: u32, kind: Kind) {
        let stub = Stub { id, log: Rc::clone(&self.log), kind, wants_turn: false };
        assert!(self.reactor.connections.borrow_mut().insert(id, stub).is_none());
    }

    fn wake(&self, count: u32) {
        self.reactor.wake_queue.push(&(0..count).collect::<Vec<_>>());
    }

    /// Polls as a task. Returns the ids of the connections that had turns.
    async fn poll(&mut self) -> Vec<u32> {
        // The next poll of the task, with a full budget.
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(self.reactor.poll(cx, &mut self.schedule).is_pending());
            Poll::Ready(())
        })
        .await;
        self.log.take()
    }

    fn is_idle(&self) -> bool {
        !self.schedule.has_turns()
    }
}

#[tokio::test]
async fn woken_connections_get_their_turns_in_order_and_a_limited_number_per_poll() {
    let mut fixture = Fixture::new(MANY, Kind::Plain);
    fixture.wake(MANY);
    let (mut seen, mut polls) = (Vec::new(), 0);
    while seen.len() < MANY as usize {
        let turns = fixture.poll().await;
        assert!(turns.len() <= TURNS_PER_POLL, "{} in one poll", turns.len());
        seen.extend(turns);
        polls += 1;
    }
    assert_eq!(seen, (0..MANY).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(polls, MANY.div_ceil(TURNS_PER_POLL as u32));
    assert!(fixture.is_idle());
}

#[tokio::test]
async fn a_broadcast_keeps_a_connection_with_an_event_waiting_for_one_poll() {
    for kind in [Kind::Plain, Kind::Budgeted] {
        let mut fixture = Fixture::new(MANY, kind);
        fixture.insert(MANY, kind);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        let stream = listener.accept().unwrap().0;
        let arrived = stream.try_clone().unwrap();
        fixture.reactor.watch(&stream, MANY).unwrap();
        // The socket is writable, which is an event too.
        while !fixture.poll().await.contains(&MANY) {}
        fixture.wake(MANY);
        fixture.poll().await;
        let mut polls = 0;
        while !fixture.schedule.woken.is_empty() {
            peer.write_all(b"x").unwrap();
            polls += 1;
            while arrived.peek(&mut [0; 1000]).unwrap() < polls {}
            let served = fixture.poll().await.contains(&MANY) || fixture.poll().await.contains(&MANY);
            assert!(served, "behind {} others", fixture.schedule.woken.len());
        }
        assert!(polls > 10, "the broadcast lasts");
    }
}

#[tokio::test]
async fn connections_that_always_want_another_turn_share_the_turns_and_delay_no_woken_one() {
    const EAGER: u32 = 1000;
    let mut fixture = Fixture::new(EAGER, Kind::Eager);
    fixture.wake(EAGER);
    for _ in 0..EAGER.div_ceil(TURNS_PER_POLL as u32) {
        fixture.poll().await;
    }
    let mut turns = vec![0; EAGER as usize + 1];
    fixture.insert(EAGER, Kind::Plain);
    for poll in 0..160 {
        fixture.reactor.wake_queue.push(&[EAGER]);
        let served = fixture.poll().await;
        assert!(served.len() <= TURNS_PER_POLL + 1, "{} in poll {poll}", served.len());
        served.into_iter().for_each(|id| turns[id as usize] += 1);
    }
    assert_eq!(turns.pop(), Some(160), "a woken connection does not wait behind them");
    let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
    assert!(*least >= 10 && most - least <= 1, "{least} to {most}");
}

#[tokio::test]
async fn a_woken_connection_is_not_starved_by_others_that_use_up_the_budget() {
    const BUSY: u32 = 2000;
    let mut fixture = Fixture::new(BUSY, Kind::Budgeted);
    fixture.insert(BUSY, Kind::Budgeted);
    for id in 0..BUSY {
        *fixture.reactor.connections.borrow_mut().get_mut(id).unwrap().wants_turn() = true;
        fixture.schedule.want_turn.push_back(id);
    }
    fixture.reactor.wake_queue.push(&[BUSY]);
    assert!(fixture.poll().await.contains(&BUSY));
}

#[test]
fn a_wait_that_a_signal_interrupts_is_repeated() {
    let mut answers = [Err(rustix::io::Errno::INTR), Err(rustix::io::Errno::INTR), Ok(3)].into_iter();
    assert_eq!(retry_if_interrupted(|| answers.next().unwrap()).unwrap(), 3);
    let failed = retry_if_interrupted(|| Err(rustix::io::Errno::BADF)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
}

#[tokio::test]
async fn a_sweep_gives_each_connection_one_turn_in_portions() {
    const COUNT: u32 = 1000;
    let mut fixture = Fixture::new(COUNT, Kind::Plain);
    fixture.reactor.wake_queue.push_all();
    let (mut seen, mut polls) = (Vec::new(), 0);
    while polls == 0 || fixture.schedule.sweep.is_some() {
        let turns = fixture.poll().await;
        assert!(turns.len() <= SWEEP_PER_POLL as usize, "{} in one poll", turns.len());
        seen.extend(turns);
        polls += 1;
    }
    assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    assert_eq!(polls, COUNT.next_multiple_of(64).div_ceil(SWEEP_PER_POLL));
    assert!(fixture.poll().await.is_empty());
}

#[tokio::test]
async fn a_connection_that_wants_another_turn_is_queued_once_however_often_it_is_woken() {
    let mut fixture = Fixture::new(1, Kind::Eager);
    fixture.wake(1);
    assert_eq!(fixture.poll().await, [0]);
    for _ in 0..10 {
        fixture.reactor.wake_queue.push(&[0, 0, 0]);
        assert_eq!(fixture.poll().await, [0]);
    }
    assert_eq!((fixture.schedule.want_turn.len(), fixture.schedule.woken.len()), (1, 0));
}

#[tokio::test]
async fn a_wake_up_of_a_connection_that_has_ended_does_nothing() {
    let mut fixture = Fixture::new(2, Kind::Plain);
    fixture.reactor.connections.borrow_mut().remove(0);
    fixture.reactor.wake_queue.push(&[0, 1, 5000]);
    assert_eq!(fixture.poll().await, [1]);
    assert!(fixture.is_idle());
}
