//! Messages that are lent from the receive buffer that they arrived in.

use proptest::{prelude::*, sample::Index};

use crate::{
    Message, MessageRun, ReceiveBuffer, Role,
    memory::{BufferPool, BufferPoolConfig},
};

use super::{
    endpoint::{Endpoint, Seen, config},
    wire::{Frame, binary, close, continuation, frame, ping, pong, text},
};

const WINDOW: usize = 4096;

fn buffer() -> ReceiveBuffer {
    ReceiveBuffer::new(
        WINDOW,
        BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() }),
    )
}

fn encode(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(|frame| frame.encode(true)).collect()
}

/// One read.
fn read(end: &mut Endpoint, bytes: &[u8]) {
    end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(bytes);
    end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
}

/// Holds what is left of a read.
fn hold_rest(end: &mut Endpoint) {
    end.connection.hold();
    while end.connection.poll_event(&mut end.rx, &mut end.tx).is_some() {}
}

/// Takes the first messages of a read together. They stay in the receive buffer, and the next read gets another one.
fn lend(end: &mut Endpoint, from: usize) -> Option<MessageRun> {
    let messages = end.connection.lend_received(from, &mut end.rx, &mut end.tx)?;
    hold_rest(end);
    Some(MessageRun::in_buffer(messages, Box::new(std::mem::replace(&mut end.rx, buffer()))))
}

/// An endpoint that was lent the messages of these frames.
fn lent(frames: impl IntoIterator<Item = Frame>) -> (Endpoint, MessageRun) {
    let mut end = Endpoint::with_buffer(Role::Server, &config(|_| ()), buffer());
    read(&mut end, &encode(frames));
    let from = end.rx.position();
    let run = lend(&mut end, from).unwrap();
    (end, run)
}

fn put_back(end: &mut Endpoint, mut run: MessageRun) {
    assert!(run.take_buffer().is_some() && run.take_buffer().is_none());
    end.connection.put_back_run(run);
}

#[test]
fn they_are_lent_from_where_they_were_received() {
    let mut end = Endpoint::with_buffer(Role::Server, &config(|_| ()), buffer());
    let window = end.rx.spare_mut().as_ptr_range();
    read(&mut end, &encode([text("a"), binary([7; 300]), text("")]));
    let from = end.rx.position();
    let (first, has_more) = end.connection.poll_first_message(&mut end.rx, &mut end.tx).unwrap();
    assert!(first.as_text() == Some("a") && has_more);
    let mut run = lend(&mut end, from).unwrap();
    assert_eq!(run.next_message().unwrap().as_text(), Some("a"));
    let second = run.next_message().unwrap();
    assert!(second.as_bytes() == [7; 300] && window.contains(&second.as_bytes().as_ptr()));
    assert_eq!(run.take_message().unwrap(), "");
    assert!(run.next_message().is_none());
    put_back(&mut end, run);
    assert!(end.connection.is_settled());
}

#[test]
fn they_count_as_held_until_they_are_taken() {
    let (mut end, mut run) = lent([text("a"), text("b"), ping("p"), text("c")]);
    let held = end.connection.held_bytes();
    assert!(held > 0 && !end.connection.is_settled());
    assert_eq!(run.take_message().unwrap(), "a");
    assert_eq!(end.connection.held_bytes(), held - 7);
    put_back(&mut end, run);
    let left = std::iter::from_fn(|| end.connection.take_held()).collect::<Vec<_>>();
    assert_eq!(left, [Message::text("b"), Message::text("c")]);
    assert_eq!(end.connection.held_bytes(), 0);
}

#[test]
fn a_buffer_that_is_taken_leaves_what_was_not_lent() {
    let (mut end, mut run) = lent([text("a"), text("b"), text("c")]);
    assert_eq!(run.next_message().unwrap().as_text(), Some("a"));
    let rx = run.take_buffer().unwrap();
    assert!(rx.is_empty());
    drop(rx);
    assert_eq!(run.take_message().unwrap(), "b");
    assert_eq!(run.next_message().unwrap().as_text(), Some("c"));
    end.connection.put_back_run(run);
    assert!(end.connection.is_settled());
}

#[test]
fn a_close_behind_owned_messages_waits_until_the_last_one_is_taken_and_no_longer() {
    let (mut end, mut run) = lent([text("a"), text("b")]);
    end.connection.pause();
    assert_eq!(run.take_message().unwrap(), "a");
    read(&mut end, &encode([close(1000, "")]));
    end.drive();
    end.is_open();
    assert_eq!(run.take_message().unwrap(), "b");
    end.drive();
    end.sent_close(1000);
}

#[test]
fn a_close_behind_lent_messages_waits_until_the_application_asks_for_more() {
    let (mut end, mut run) = lent([text("a")]);
    end.connection.pause();
    assert_eq!(run.next_message().unwrap().as_text(), Some("a"));
    read(&mut end, &encode([close(1000, "")]));
    end.drive();
    end.is_open();
    put_back(&mut end, run);
    end.drive();
    end.sent_close(1000);
}

#[test]
fn nothing_is_lent_if_the_rest_may_take_the_window_along() {
    for (len, is_lent) in [(WINDOW / 2 - 100, true), (WINDOW / 2, false)] {
        let pool = BufferPool::new(BufferPoolConfig {
            preheat: 0,
            buffer_size: WINDOW,
            ..BufferPoolConfig::default()
        });
        let mut end = Endpoint::with_buffer(Role::Server, &config(|_| ()), ReceiveBuffer::new(WINDOW, pool));
        read(&mut end, &encode([text("a"), ping("p"), binary(vec![7; len])]));
        let from = end.rx.position();
        let run = lend(&mut end, from);
        assert_eq!(run.is_some(), is_lent);
        if let Some(run) = run {
            put_back(&mut end, run);
        } else {
            hold_rest(&mut end);
        }
        assert_eq!(end.connection.take_held().unwrap(), "a");
        assert_eq!(end.connection.take_held().unwrap().len(), len);
    }
}

#[test]
fn they_end_when_the_connection_drops_what_it_holds() {
    let (mut end, mut run) = lent([text("a"), text("b")]);
    end.connection.abort(&mut end.tx);
    assert!(run.is_dropped() && run.take_message().is_none());
    put_back(&mut end, run);
    assert!(end.connection.take_held().is_none());
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let payload = prop::sample::select(vec![0, 1, 5, 63, 64, 125, 126, 130, 300]);
    prop_oneof![
        12 => payload.clone().prop_map(|len| vec![text("x".repeat(len))]),
        6 => payload.clone().prop_map(|len| vec![text("é".repeat(len))]),
        8 => payload.prop_map(|len| vec![binary(vec![7; len])]),
        2 => Just(vec![ping("ping")]),
        1 => Just(vec![pong("pong")]),
        2 => Just(vec![text("in two").not_final(), continuation(" parts")]),
        1 => prop_oneof![
            Just(vec![text(b"\xff")]),
            Just(vec![close(1000, "")]),
            Just(vec![frame(3, b"reserved")]),
            Just(vec![binary("unmasked").masked_wrongly()]),
            Just(vec![binary("long").length_in_64_bits()]),
        ],
    ]
}

/// How the messages of a read are taken: a digit each.
type Ways = Vec<u8>;

/// Takes messages of a run, and puts the rest back.
fn take_some(end: &mut Endpoint, mut run: MessageRun, ways: &[u8], taken: &mut Vec<Message>) {
    for way in ways {
        match way {
            0 => taken.extend(run.next_message().map(|message| message.into_message())),
            1..=3 => taken.extend(run.take_message()),
            _ => break,
        }
    }
    put_back(end, run);
}

/// What the application gets of these reads, what is sent, and how the connection ends.
fn outcome(reads: &[(Vec<u8>, Ways)], lends: bool) -> (Vec<Message>, Vec<u8>, Vec<Seen>) {
    let mut end = Endpoint::with_buffer(Role::Server, &config(|_| ()), buffer());
    let mut taken = Vec::new();
    for (bytes, ways) in reads {
        end.connection.resume();
        if !end.connection.wants_read() {
            break;
        }
        let is_plain = end.connection.is_plain();
        read(&mut end, bytes);
        let from = end.rx.position();
        if lends && is_plain && end.rx.may_lend() {
            let with_first = ways.first().is_none_or(|way| way % 2 == 0);
            let first = end.connection.poll_first_message(&mut end.rx, &mut end.tx);
            let first = first.map(|(message, _)| message.into_message());
            let from = if with_first || first.is_none() { from } else { end.rx.position() };
            taken.extend(first.filter(|_| !with_first));
            if let Some(run) = lend(&mut end, from) {
                take_some(&mut end, run, ways, &mut taken);
            }
        }
        hold_rest(&mut end);
        taken.extend(std::iter::from_fn(|| end.connection.take_held()));
        assert_eq!(end.connection.held_bytes(), 0);
    }
    end.connection.resume();
    end.drive();
    let sent = end.outbound.bytes.clone();
    (taken, sent, end.seen.into_iter().collect())
}

proptest! {
    #[test]
    fn they_are_those_that_are_held(
        batches in prop::collection::vec((prop::collection::vec(frames(), 0..12), prop::collection::vec(0..6_u8, 0..10)), 1..6),
        cut in any::<Index>(),
    ) {
        let mut reads: Vec<(Vec<u8>, Ways)> = Vec::new();
        for (frames, ways) in batches {
            let bytes = encode(frames.concat());
            reads.extend(bytes.chunks(WINDOW).map(|part| (part.to_vec(), ways.clone())));
        }
        // One read ends within a frame.
        if !reads.is_empty() {
            let at = cut.index(reads.len());
            let (bytes, ways) = reads[at].clone();
            let (head, tail) = bytes.split_at(cut.index(bytes.len()));
            reads.splice(at..=at, [(head.to_vec(), ways.clone()), (tail.to_vec(), ways)]);
            reads.retain(|(bytes, _)| !bytes.is_empty());
        }
        prop_assert_eq!(outcome(&reads, true), outcome(&reads, false));
    }
}
