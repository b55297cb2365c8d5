use std::collections::VecDeque;

use proptest::prelude::*;

use super::{ControlQueue, Full};
use crate::frame::OpCode;

fn pop(queue: &mut ControlQueue) -> Option<(OpCode, Vec<u8>)> {
    queue.pop().map(|frame| (frame.opcode(), frame.payload().to_vec()))
}

#[test]
fn a_pushed_ping_is_popped() {
    let mut queue = ControlQueue::default();
    queue.push(OpCode::Ping, b"hello").unwrap();
    assert_eq!(pop(&mut queue), Some((OpCode::Ping, b"hello".to_vec())));
    assert!(queue.is_empty());
    assert_eq!(pop(&mut queue), None);
}

#[test]
fn frames_come_out_in_the_order_they_went_in() {
    let mut queue = ControlQueue::default();
    for opcode in [OpCode::Ping, OpCode::Pong, OpCode::Close] {
        queue.push(opcode, b"x").unwrap();
    }
    for opcode in [OpCode::Ping, OpCode::Pong, OpCode::Close] {
        assert_eq!(pop(&mut queue).unwrap().0, opcode);
    }
}

#[test]
fn an_entry_that_wraps_around_the_end_stays_intact() {
    let mut queue = ControlQueue::default();
    queue.push(OpCode::Ping, &[1; 120]).unwrap();
    queue.push(OpCode::Pong, &[2; 120]).unwrap();
    assert_eq!(pop(&mut queue).unwrap().1, [1; 120]);
    queue.push(OpCode::Ping, b"twelve bytes").unwrap();
    assert_eq!(pop(&mut queue).unwrap().1, [2; 120]);
    assert_eq!(pop(&mut queue).unwrap().1, b"twelve bytes");
}

#[test]
fn two_largest_frames_and_an_empty_one_fill_the_queue() {
    let mut queue = ControlQueue::default();
    queue.push(OpCode::Ping, &[0; 125]).unwrap();
    queue.push(OpCode::Ping, &[0; 125]).unwrap();
    queue.push(OpCode::Pong, &[]).unwrap();
    assert_eq!(queue.free(), 0);
    assert_eq!(queue.push(OpCode::Pong, &[]), Err(Full));
}

#[test]
fn a_payload_over_125_bytes_never_fits() {
    assert_eq!(ControlQueue::default().push(OpCode::Ping, &[0; 126]), Err(Full));
}

#[test]
fn free_space_is_counted_with_entry_headers() {
    let mut queue = ControlQueue::default();
    assert_eq!(queue.free(), 256);
    queue.push(OpCode::Ping, b"abc").unwrap();
    assert_eq!(queue.free(), 251);
    queue.push(OpCode::Ping, b"").unwrap();
    assert_eq!(queue.free(), 249);
    queue.pop();
    assert_eq!(queue.free(), 254);
}

#[test]
fn peek_keeps_the_frame_and_clear_removes_all() {
    let mut queue = ControlQueue::default();
    assert_eq!(queue.peek(), None);
    queue.push(OpCode::Close, &[3, 232]).unwrap();
    assert_eq!(queue.peek(), queue.peek());
    assert_eq!(queue.peek().unwrap().opcode(), OpCode::Close);
    queue.clear();
    assert!(queue.is_empty());
    assert_eq!(queue.free(), 256);
}

proptest! {
    #[test]
    fn behaves_like_a_deque(ops in proptest::collection::vec(proptest::option::of(0_usize..=125), 0..200)) {
        let mut queue = ControlQueue::default();
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        for (i, op) in ops.into_iter().enumerate() {
            match op {
                Some(len) => {
                    let payload = vec![i as u8; len];
                    let used: usize = model.iter().map(|p| p.len() + 2).sum();
                    prop_assert_eq!(queue.push(OpCode::Ping, &payload).is_ok(), used + len + 2 <= 256);
                    if used + len + 2 <= 256 {
                        model.push_back(payload);
                    }
                }
                None => prop_assert_eq!(pop(&mut queue).map(|f| f.1), model.pop_front()),
            }
        }
    }
}
