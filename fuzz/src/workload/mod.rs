//! Two `WebSocket`s over a transport that stalls, wakes tasks without reason, moves single bytes and fails. They are
//! used through futures that are dropped after some polls. No message is lost, duplicated or out of order, no task
//! misses a wake-up, and there is one end.

mod ledger;
mod operation;
mod other_task;
mod side;
mod transport;
mod woken;

use std::{cell::OnceCell, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, advance},
};
use ws_proto::{Config, Connection, Message, Role, deflate::DeflateConfig, handshake::Extensions};

use crate::{inflate::agreement, input::Input, machine::Keys};
use side::Side;
use transport::{Fault, Link};

/// More than the deadline of any closing handshake.
const LATE: Duration = Duration::from_secs(60);

/// Two sides and what the test may expect of them.
struct Pair {
    sides: [Side; 2],
    link: Link,
    /// Whether the write queues have room for all messages.
    roomy: bool,
    /// Whether the transport failed or a handle was dropped, so that messages may be lost.
    failed: bool,
    /// Whether the transport has changed bytes.
    garbled: bool,
}

pub fn workload(data: &[u8]) {
    thread_local! {
        // A clock that stands still until the test advances it.
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let new =
            || Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.get_or_init(new).block_on(run(data));
    });
}

async fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new(&mut input);
    for _ in 0..100 {
        if input.is_empty() {
            break;
        }
        pair.operate(&mut input);
    }
    pair.settle(None).await;
    if !pair.failed && pair.sides.iter().all(Side::is_open) {
        for (from, to) in [(0, 1), (1, 0)] {
            assert!(pair.sides[from].other_task.is_none(), "{from} waits for room that there is");
            assert!(pair.is_delivered(from, to), "{from} sent what does not arrive at {to}");
        }
    }
    pair.end().await;
}

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let roomy = choice & 1 == 0;
        let deflate = choice & 2 != 0;
        let served = choice & 4 != 0;
        let length = input.below(16);
        let pattern = (0..length).map(|_| input.byte()).collect();
        let (link, [one, other]) = Link::new(pattern, choice & 8 != 0);
        let mut config = Config::default();
        (config.keepalive, config.write_timeout) = (None, None);
        config.limits.max_held_bytes = if choice & 16 == 0 { 200 } else { 64 * 1024 };
        if !roomy {
            config.write_queue_messages = 1 + input.below(4);
            config.write_queue_bytes = 1 + input.number() % 2000;
        }
        config.deflate = deflate.then(|| {
            let mut deflate = DeflateConfig::server();
            deflate.threshold = 0;
            deflate
        });
        let config = config.validate().expect("valid");
        let now = Instant::now().into_std();
        let extensions = |role| if deflate { agreement(role, &config) } else { Extensions::default() };
        let client = Connection::client(config.clone(), Box::new(Keys::default()), now)
            .with_extensions(extensions(Role::Client));
        let server = Connection::server(config.clone(), now).with_extensions(extensions(Role::Server));
        let sides = [
            Side::new(0, one, client, link.clone(), false),
            Side::new(1, other, server, link.clone(), served),
        ];
        Self { sides, link, roomy, failed: false, garbled: false }
    }

    fn fail(&mut self, side: usize, fault: Fault) {
        self.link.fail(side, fault);
        self.failed = true;
        self.garbled |= fault == Fault::TakesTooMuch;
    }

    /// Records a message that `side` received.
    fn arrive(&mut self, side: usize, message: &Message) {
        let sent = &mut self.sides[1 - side].sent;
        let known = self.garbled || sent.iter_mut().any(|ledger| ledger.arrive(message));
        assert!(known, "{message:?} was not sent");
    }

    fn is_delivered(&self, from: usize, to: usize) -> bool {
        self.sides[to].stopped || self.sides[from].sent.iter().all(ledger::Ledger::is_settled)
    }

    /// Polls the sides that were woken until neither is. The side `closing` closes.
    async fn settle(&mut self, closing: Option<usize>) {
        self.sides.iter().for_each(Side::wake);
        loop {
            // The runtime wakes a task that has yielded after its own turn.
            tokio::task::yield_now().await;
            let mut idle = true;
            for side in 0..2 {
                idle &= !self.sides[side].poll_other_task();
                while self.sides[side].take_wake() && !self.sides[side].over {
                    idle = false;
                    if let Some(message) = self.sides[side].step(closing == Some(side)) {
                        self.arrive(side, &message);
                    }
                }
            }
            if idle && !self.link.release() {
                return;
            }
        }
    }

    /// Closes one side and waits until both have ended. If nothing failed, they end before any deadline.
    async fn end(&mut self) {
        let orderly = !self.failed;
        self.sides[0].stopped = true;
        self.settle(Some(0)).await;
        if orderly {
            for (number, side) in self.sides.iter().enumerate() {
                assert!(side.over, "side {number} does not end");
                assert_eq!(side.errors, 0);
                let info = side.close_info().expect("it is over");
                assert!(info.is_clean(), "{number}: {info:?}");
            }
            assert!(self.is_delivered(0, 1), "0 sent what does not arrive at 1");
            assert!(self.is_delivered(1, 0), "1 sent what does not arrive at 0");
        }
        for _ in 0..4 {
            advance(LATE).await;
            self.settle(Some(0)).await;
        }
        for side in &mut self.sides {
            assert!(side.over && side.errors <= 1, "one end and at most one error");
            assert!(!side.is_open() && side.other_task.is_none(), "who waits for room is told");
            assert_eq!(side.run(1, async |ws| ws.recv().await), side.has_handle().then_some(None));
        }
    }
}
