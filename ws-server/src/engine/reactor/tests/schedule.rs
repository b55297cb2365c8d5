//! Who has a turn in which poll of the reactor.

use std::{io::Write as _, net::TcpListener, pin::pin, task::Waker};

use tokio::task::coop::consume_budget;
use ws_tokio::internal::ReceiveLease;

use super::*;

const MANY: u32 = 10_000;

/// The seats that had a turn, in order.
type Log = Rc<RefCell<Vec<u32>>>;

/// A connection that only has turns.
struct Stub {
    id: u32,
    log: Log,
    kind: Kind,
    is_due: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Each turn asks for another one.
    Eager,
    /// Each turn takes of the task's budget, as an async function does that waits for a channel.
    Budgeted,
}

impl ReactorConn for Stub {
    fn note(&mut self, _events: EventFlags) {}

    fn is_due(&mut self) -> &mut bool {
        &mut self.is_due
    }

    fn poll_turn(&mut self, again: &Waker, _rx: &mut Option<ReceiveLease>) -> Poll<()> {
        self.log.borrow_mut().push(self.id);
        match self.kind {
            Kind::Plain => {}
            Kind::Eager => again.wake_by_ref(),
            Kind::Budgeted => {
                assert!(pin!(consume_budget()).poll(&mut Context::from_waker(again)).is_ready())
            }
        }
        Poll::Pending
    }
}

struct Bench {
    shared: Shared<Doubles<Stub>>,
    turns: Schedule,
    log: Log,
}

impl Bench {
    /// A reactor with so many connections of a kind.
    fn new(count: u32, kind: Kind) -> Self {
        let bench = Self { shared: shared(&server()), turns: Schedule::new(), log: Log::default() };
        for id in 0..count {
            bench.id(id, kind);
        }
        bench
    }

    fn id(&self, id: u32, kind: Kind) {
        let stub = Stub { id, log: Rc::clone(&self.log), kind, is_due: false };
        assert!(self.shared.connections.borrow_mut().insert(id, stub).is_none());
    }

    fn call_all(&self, count: u32) {
        self.shared.wake_queue.push(&(0..count).collect::<Vec<_>>());
    }

    /// A poll of a task's; gives the seats that had turns.
    async fn poll(&mut self) -> Vec<u32> {
        // Another poll of the task, and a budget that is full.
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(self.shared.poll(cx, &mut self.turns).is_pending());
            Poll::Ready(())
        })
        .await;
        self.log.take()
    }

    fn rests(&self) -> bool {
        self.turns.called.is_empty() && self.turns.next.is_empty()
    }
}

#[tokio::test]
async fn those_who_are_called_have_their_turns_so_many_at_a_time() {
    let mut bench = Bench::new(MANY, Kind::Plain);
    bench.call_all(MANY);
    let (mut seen, mut polls) = (Vec::new(), 0);
    while seen.len() < MANY as usize {
        let turns = bench.poll().await;
        assert!(turns.len() <= CALLS, "{} in one poll", turns.len());
        seen.extend(turns);
        polls += 1;
    }
    assert_eq!(seen, (0..MANY).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(polls, MANY.div_ceil(CALLS as u32));
    assert!(bench.rests());
}

#[tokio::test]
async fn a_broadcast_keeps_a_connection_with_an_event_waiting_for_one_poll() {
    for kind in [Kind::Plain, Kind::Budgeted] {
        let mut bench = Bench::new(MANY, kind);
        bench.id(MANY, kind);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        let stream = listener.accept().unwrap().0;
        let arrived = stream.try_clone().unwrap();
        let _socket = bench.shared.register(stream, MANY).unwrap();
        // It is writable, which is an event too.
        while !bench.poll().await.contains(&MANY) {}
        bench.call_all(MANY);
        bench.poll().await;
        let mut polls = 0;
        while !bench.turns.called.is_empty() {
            peer.write_all(b"x").unwrap();
            polls += 1;
            while arrived.peek(&mut [0; 1000]).unwrap() < polls {}
            let served = bench.poll().await.contains(&MANY) || bench.poll().await.contains(&MANY);
            assert!(served, "behind {} others", bench.turns.called.len());
        }
        assert!(polls > 10, "there was a broadcast all the while");
    }
}

#[tokio::test]
async fn those_who_want_turn_after_turn_have_them_so_many_at_a_time_and_keep_nobody_out() {
    const EAGER: u32 = 1000;
    let mut bench = Bench::new(EAGER, Kind::Eager);
    bench.call_all(EAGER);
    for _ in 0..EAGER.div_ceil(CALLS as u32) {
        bench.poll().await;
    }
    let mut turns = vec![0; EAGER as usize + 1];
    bench.id(EAGER, Kind::Plain);
    for poll in 0..160 {
        bench.shared.wake_queue.push(&[EAGER]);
        let served = bench.poll().await;
        assert!(served.len() <= CALLS + 1, "{} in poll {poll}", served.len());
        served.into_iter().for_each(|id| turns[id as usize] += 1);
    }
    assert_eq!(turns.pop(), Some(160), "one that is called does not wait behind them");
    let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
    assert!(*least >= 10 && most - least <= 1, "{least} to {most}");
}

#[tokio::test]
async fn those_who_are_called_are_not_starved_by_others_who_use_the_budget_up() {
    const BUSY: u32 = 2000;
    let mut bench = Bench::new(BUSY, Kind::Budgeted);
    bench.id(BUSY, Kind::Budgeted);
    for id in 0..BUSY {
        *bench.shared.connections.borrow_mut().get_mut(id).unwrap().is_due() = true;
        bench.turns.next.push_back(id);
    }
    bench.shared.wake_queue.push(&[BUSY]);
    assert!(bench.poll().await.contains(&BUSY));
}

#[test]
fn a_wait_that_a_signal_interrupts_is_made_again() {
    let mut answers = [Err(rustix::io::Errno::INTR), Err(rustix::io::Errno::INTR), Ok(3)].into_iter();
    assert_eq!(again_if_interrupted(|| answers.next().unwrap()).unwrap(), 3);
    let failed = again_if_interrupted(|| Err(rustix::io::Errno::BADF)).unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
}
