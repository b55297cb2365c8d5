use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use ws_proto::{
    Config, Message, PreparedMessage,
    frame::{FrameHeader, OpCode},
};
use ws_tokio::internal::{Outlet, PingOutlet as _};

use super::*;

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
fn a_ping_behind_a_full_control_queue_is_sent_later() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.block();
    while endpoint.connection.ping(&[1; 100], &mut endpoint.tx).is_ok() {}
    endpoint.mailbox.ping(&[2; 100]).unwrap();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "");
    assert!(endpoint.transfer(), "the ping is left, and the close behind it");
    let first = endpoint.written();
    assert!(first.iter().all(|frame| *frame == (OpCode::Ping, vec![1; 100])), "{first:?}");
    assert!(!endpoint.transfer());
    let last = endpoint.written();
    assert_eq!((opcodes(&last), &last[0].1), (vec![OpCode::Ping, OpCode::Close], &vec![2; 100]));
}

#[test]
fn pings_are_refused_as_the_connection_refuses_them() {
    let endpoint = Endpoint::new(|_| ());
    assert_eq!(endpoint.mailbox.ping(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
    while endpoint.mailbox.ping(&[0; 100]).is_ok() {}
    assert_eq!(endpoint.mailbox.ping(&[0; 100]), Err(ControlError::Full));
    endpoint.mailbox.end(ConnectionState::Closing);
    assert_eq!(endpoint.mailbox.ping(&[]), Err(ControlError::Closed));
}

#[test]
fn a_close_goes_behind_the_messages_and_the_first_one_counts() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 1);
    endpoint.block();
    endpoint.try_send(1).unwrap();
    assert!(!endpoint.transfer());
    endpoint.try_send(2).unwrap();
    endpoint.mailbox.close(Some(CloseCode::GOING_AWAY), "first");
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "second");
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())), "nothing goes behind a close");
    assert_eq!(endpoint.mailbox.ping(&[]), Err(ControlError::Closed));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
    assert!(endpoint.transfer());
    assert_eq!(opcodes(&endpoint.written()), [OpCode::Binary]);
    assert!(!endpoint.transfer());
    let last = endpoint.written();
    assert_eq!(opcodes(&last), [OpCode::Binary, OpCode::Close]);
    assert!(last[1].1.ends_with(b"first"));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
}

#[test]
fn the_end_of_the_connection_drops_what_waits_and_wakes_the_senders() {
    let budget = MemoryBudget::new(1024 * 1024);
    let endpoint = Endpoint::with_budget(&budget, |config| config.write_queue_messages = 1);
    endpoint.try_send(100 * 1024).unwrap();
    assert!(budget.used() >= 100 * 1024);
    let (sender, mut place) = (Arc::<Wakes>::default(), None);
    let waker = Waker::from(Arc::clone(&sender));
    let mut waits =
        |message: &mut _| endpoint.mailbox.poll_send(&mut Context::from_waker(&waker), message, &mut place);
    let mut next = Some(message(1));
    assert!(waits(&mut next).is_pending());
    endpoint.mailbox.end(ConnectionState::Closed);
    assert_eq!(budget.used(), 0);
    assert_eq!(sender.0.load(Ordering::Relaxed), 1);
    assert_eq!(waits(&mut next), Poll::Ready(Err(SendError::Closed(message(1)))));
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())));
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
fn pings_and_pongs_of_senders_go_out_in_their_order() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.mailbox.pong(b"1").unwrap();
    endpoint.mailbox.ping(b"2").unwrap();
    endpoint.mailbox.pong(b"3").unwrap();
    endpoint.transfer();
    let expected = [(OpCode::Pong, b"1"), (OpCode::Ping, b"2"), (OpCode::Pong, b"3")];
    assert_eq!(endpoint.written(), expected.map(|(opcode, payload)| (opcode, payload.to_vec())));
}

#[test]
fn a_pong_has_the_limits_of_a_ping() {
    let endpoint = Endpoint::new(|_| ());
    assert_eq!(endpoint.mailbox.pong(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
    endpoint.mailbox.pong(&[1; 125]).unwrap();
    endpoint.mailbox.pong(&[2; 125]).unwrap();
    assert_eq!(endpoint.mailbox.pong(&[3; 125]), Err(ControlError::Full));
    endpoint.mailbox.end(ConnectionState::Closed);
    assert_eq!(endpoint.mailbox.pong(b""), Err(ControlError::Closed));
}

/// Polls a timed ping once.
fn poll_ping(mailbox: &Mailbox, number: &mut Option<u64>) -> Poll<Result<Duration, ws_tokio::Error>> {
    mailbox.poll_ping(&mut Context::from_waker(Waker::noop()), number)
}

#[test]
fn a_timed_ping_is_sent_once_and_answered_by_its_pong() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    assert_eq!(endpoint.wakes(), 1);
    assert!(!endpoint.transfer(), "nothing is left to send, so the connection does not ask for turns");
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    assert_eq!(endpoint.wakes(), 1, "nothing new to send");
    let frames = endpoint.written();
    let [(OpCode::Ping, payload)] = &frames[..] else { panic!("one ping: {frames:?}") };
    endpoint.mailbox.on_pong(b"another");
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.mailbox.on_pong(payload);
    assert!(matches!(poll_ping(&endpoint.mailbox, &mut number), Poll::Ready(Ok(_))));
    endpoint.mailbox.forget_ping(number.unwrap());
    assert!(endpoint.mailbox.lock().uncommon.is_none(), "nothing is left behind");
}

#[test]
fn a_timed_ping_that_is_dropped_leaves_nothing_behind() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.transfer();
    endpoint.mailbox.forget_ping(number.unwrap());
    assert!(endpoint.mailbox.lock().uncommon.is_none());
}

#[test]
fn an_answer_that_came_before_the_end_is_not_lost() {
    let mut endpoint = Endpoint::new(|_| ());
    let (mut answered, mut unanswered) = (None, None);
    assert!(poll_ping(&endpoint.mailbox, &mut answered).is_pending());
    endpoint.transfer();
    let payload = endpoint.written().remove(0).1;
    assert!(poll_ping(&endpoint.mailbox, &mut unanswered).is_pending());
    endpoint.mailbox.on_pong(&payload);
    endpoint.mailbox.end(ConnectionState::Closed);
    assert!(matches!(poll_ping(&endpoint.mailbox, &mut answered), Poll::Ready(Ok(_))));
    let closed = Poll::Ready(Err(ws_tokio::Error::Closed));
    assert_eq!(poll_ping(&endpoint.mailbox, &mut unanswered), closed);
    assert_eq!(poll_ping(&endpoint.mailbox, &mut None), closed);
    [answered, unanswered].into_iter().flatten().for_each(|number| endpoint.mailbox.forget_ping(number));
    assert!(endpoint.mailbox.lock().uncommon.is_none());
}

#[test]
fn a_close_goes_out_while_a_timed_ping_waits_for_its_pong() {
    let mut endpoint = Endpoint::new(|_| ());
    let mut number = None;
    assert!(poll_ping(&endpoint.mailbox, &mut number).is_pending());
    endpoint.transfer();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "");
    assert!(!endpoint.transfer());
    assert_eq!(opcodes(&endpoint.written()), [OpCode::Ping, OpCode::Close]);
    assert_eq!(poll_ping(&endpoint.mailbox, &mut number), Poll::Ready(Err(ws_tokio::Error::Closed)));
}

#[test]
fn a_close_without_a_code_is_an_empty_close_frame_behind_the_messages() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.try_send(1).unwrap();
    endpoint.mailbox.close(None, "");
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written(), [(OpCode::Binary, vec![0]), (OpCode::Close, vec![])]);
}

#[test]
fn an_abort_drops_what_waits_and_ends_the_connection_in_its_next_turn() {
    let budget = MemoryBudget::new(1024 * 1024);
    let mut endpoint = Endpoint::with_budget(&budget, |_| ());
    endpoint.try_send(100 * 1024).unwrap();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "never sent");
    endpoint.mailbox.abort();
    assert_eq!((budget.used(), endpoint.wakes()), (0, 1));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())));
    assert!(endpoint.mailbox.take_woken() && !endpoint.transfer());
    assert_eq!(endpoint.written(), []);
    assert_eq!(endpoint.connection.state(), ConnectionState::Closed);
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closed);
}

#[test]
fn an_abort_of_a_connection_that_is_closing_is_not_lost() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.connection.close(CloseCode::NORMAL, "", endpoint.now, &mut endpoint.tx);
    endpoint.mailbox.end(ConnectionState::Closing);
    endpoint.mailbox.abort();
    // The end of the turn that was running.
    endpoint.mailbox.end(ConnectionState::Closing);
    assert!(endpoint.mailbox.take_woken());
    endpoint.transfer();
    assert_eq!(endpoint.connection.state(), ConnectionState::Closed);
}

#[test]
fn tasks_that_wait_for_the_end_are_woken_by_each_way_to_it() {
    let ends: [fn(&Mailbox); 4] = [
        |mailbox| mailbox.end(ConnectionState::Closing),
        |mailbox| mailbox.end(ConnectionState::Closed),
        |mailbox| mailbox.close(Some(CloseCode::NORMAL), ""),
        |mailbox| mailbox.abort(),
    ];
    for end in ends {
        let endpoint = Endpoint::new(|_| ());
        let tasks = [(); 3].map(|()| Arc::<Wakes>::default());
        let mut places = [const { None }; 3];
        let poll = |task: usize, place: &mut _| {
            let waker = Waker::from(Arc::clone(&tasks[task]));
            endpoint.mailbox.poll_closed(&mut Context::from_waker(&waker), place)
        };
        for (task, place) in places.iter_mut().enumerate() {
            assert!(poll(task, place).is_pending());
        }
        endpoint.mailbox.cancelled_closed(places[1].take().unwrap());
        end(&endpoint.mailbox);
        assert_eq!(tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed)), [1, 0, 1]);
        for (task, place) in places.iter_mut().enumerate() {
            assert!(poll(task, place).is_ready());
        }
        assert!(endpoint.mailbox.lock().closed_waiters.is_empty());
    }
}
