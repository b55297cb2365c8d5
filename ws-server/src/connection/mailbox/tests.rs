use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use ws_proto::{
    Config, Message, MessageKind, PreparedMessage,
    frame::{FrameHeader, OpCode},
};
use ws_tokio::internal::{Outlet, PingOutlet as _, guarded};

use super::*;

mod control;
mod ending;
mod feed;

/// A mailbox and the connection that it belongs to.
struct Endpoint {
    mailbox: Mailbox,
    wakes: Arc<Wakes>,
    connection: Connection,
    tx: TransmitQueue,
    now: Instant,
}

#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Endpoint {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::with(config.validate().unwrap())
    }

    /// With 1024 bytes as the largest message.
    fn with_budget(budget: &MemoryBudget, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.limits.max_message_size = 1024;
        change(&mut config);
        Self::with(config.validate().unwrap().with_memory_budget(budget.clone()).unwrap())
    }

    fn with(config: ValidConfig) -> Self {
        let (wakes, now) = (Arc::<Wakes>::default(), Instant::now());
        let waker = ConnWaker::Task(Waker::from(Arc::clone(&wakes)));
        let mailbox = Mailbox::new(&config, waker, Arc::default());
        Self { mailbox, wakes, connection: Connection::server(config, now), tx: TransmitQueue::new(), now }
    }

    fn try_send(&self, len: usize) -> Result<(), SendError<()>> {
        self.mailbox.try_send(message(len)).map_err(|error| error.map(drop))
    }

    fn transfer(&mut self) -> bool {
        self.mailbox.transfer(&mut self.connection, &mut self.tx, self.now)
    }

    /// The frames that the connection has to write. The peer takes all of them.
    fn written(&mut self) -> Vec<(OpCode, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.connection.pump(&mut self.tx);
        while !self.tx.is_written() {
            bytes.extend(self.tx.copy_to_bytes(self.tx.len()));
            self.connection.handle_written(self.now);
            self.connection.pump(&mut self.tx);
        }
        let (mut frames, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some(header) = FrameHeader::parse(rest).unwrap() {
            let header_len = header.encoded_len();
            let end = header_len + header.payload_len as usize;
            frames.push((header.opcode, rest[header_len..end].to_vec()));
            rest = &rest[end..];
        }
        frames
    }

    /// The peer takes nothing more for now.
    fn block(&mut self) {
        self.tx.set_blocked(self.now);
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

fn numbered(number: usize) -> Message {
    Message::Binary(Bytes::from(vec![number as u8]))
}

fn message(len: usize) -> Message {
    Message::Binary(Bytes::from(vec![0; len]))
}

fn opcodes(frames: &[(OpCode, Vec<u8>)]) -> Vec<OpCode> {
    frames.iter().map(|(opcode, _)| *opcode).collect()
}

#[test]
fn messages_of_both_kinds_are_sent_in_order() {
    let mut endpoint = Endpoint::new(|_| ());
    for number in 0..10 {
        if number % 3 == 0 {
            endpoint.mailbox.try_send_prepared(&PreparedMessage::new(numbered(number))).unwrap();
        } else {
            endpoint.mailbox.try_send(numbered(number)).unwrap();
        }
    }
    assert!(!endpoint.transfer());
    let expected: Vec<_> = (0..10).map(|number| (OpCode::Binary, vec![number])).collect();
    assert_eq!(endpoint.written(), expected);
}

#[test]
fn the_connection_is_woken_once_until_it_looks() {
    let mut endpoint = Endpoint::new(|_| ());
    assert!(!endpoint.mailbox.take_woken());
    for _ in 0..3 {
        endpoint.try_send(1).unwrap();
    }
    assert_eq!(endpoint.wakes(), 1);
    assert!(endpoint.mailbox.take_woken() && !endpoint.mailbox.take_woken());
    endpoint.transfer();
    endpoint.try_send(1).unwrap();
    assert_eq!(endpoint.wakes(), 2);
}

#[test]
fn the_limits_of_the_write_queue_hold() {
    let endpoint = Endpoint::new(|config| config.write_queue_messages = 3);
    for _ in 0..3 {
        endpoint.try_send(1).unwrap();
    }
    assert_eq!(endpoint.try_send(1), Err(SendError::Full(())));
    let mut endpoint = Endpoint::new(|config| config.write_queue_bytes = 1000);
    endpoint.try_send(2000).unwrap();
    assert_eq!(endpoint.try_send(0), Err(SendError::Full(())), "a first message has room at any size");
    assert!(!endpoint.transfer());
    endpoint.try_send(0).unwrap();
}

#[test]
fn what_a_full_connection_does_not_take_stays_in_order() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 2);
    endpoint.block();
    for number in 0..2 {
        endpoint.mailbox.try_send(numbered(number)).unwrap();
    }
    assert!(!endpoint.transfer());
    for number in 2..4 {
        endpoint.mailbox.try_send(numbered(number)).unwrap();
    }
    assert!(endpoint.transfer(), "two are left");
    assert_eq!(endpoint.try_send(1), Err(SendError::Full(())), "what is given back counts again");
    assert_eq!(endpoint.written(), [(OpCode::Binary, vec![0]), (OpCode::Binary, vec![1])]);
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written(), [(OpCode::Binary, vec![2]), (OpCode::Binary, vec![3])]);
}

#[test]
fn most_of_what_waits_stays_in_the_mailbox() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.block();
    for _ in 0..100 {
        endpoint.try_send(8 * 1024).unwrap();
    }
    assert!(endpoint.transfer());
    assert!(endpoint.connection.queued(&endpoint.tx).bytes <= 72 * 1024);
}

#[test]
fn a_large_message_behind_a_small_one_needs_a_share_of_the_memory_budget() {
    let budget = MemoryBudget::new(64 * 1024);
    let mut endpoint = Endpoint::with_budget(&budget, |_| ());
    let mut others = budget.account();
    others.set(48 * 1024);
    endpoint.try_send(1).unwrap();
    assert_eq!(endpoint.try_send(32 * 1024), Err(SendError::Full(())));
    endpoint.mailbox.try_send_prepared(&PreparedMessage::new(message(32 * 1024))).unwrap();
    assert!(!endpoint.transfer());
    endpoint.try_send(32 * 1024).unwrap();
    assert!(budget.used() >= 80 * 1024, "a first message is accepted, and counts");
    drop(others);
}

#[test]
fn a_message_that_the_connection_refuses_stays_and_still_counts() {
    let budget = MemoryBudget::new(1024 * 1024);
    let mut endpoint = Endpoint::with_budget(&budget, |config| config.write_queue_messages = 1);
    endpoint.connection.send(MessageKind::Binary, b"x", &mut endpoint.tx).unwrap();
    endpoint.block();
    endpoint.try_send(100 * 1024).unwrap();
    let used = budget.used();
    assert!(used >= 100 * 1024, "{used}");
    assert!(endpoint.transfer(), "it waits");
    assert_eq!(budget.used(), used);
}
