//! Streams of messages of equal length: a read ends with a message, whatever the guess of the next length is worth.

use crate::{
    ReceiveBuffer, Role,
    memory::{BufferPool, DEFAULT_RECEIVE_BUFFER},
};

use super::{
    endpoint::{Endpoint, config},
    wire::binary,
};

const ROOM: usize = 4096;

fn room(end: &mut Endpoint) -> usize {
    end.connection.read_target(&mut end.rx).len()
}

fn frame(payload: usize) -> Vec<u8> {
    binary(vec![7; payload]).encode(false)
}

fn paused_client() -> Endpoint {
    let mut end = Endpoint::new(Role::Client);
    end.pauses();
    end
}

#[test]
fn after_messages_of_equal_length_a_read_ends_with_a_message() {
    let mut end = paused_client();
    assert_eq!(room(&mut end), ROOM);
    let frame = frame(300);
    end.receives_bytes(&frame.repeat(3));
    assert_eq!(room(&mut end), ROOM / frame.len() * frame.len());
    // A read is short, and cuts a message in two.
    end.receives_bytes(&frame.repeat(2)[..frame.len() + 100]);
    let missing = frame.len() - 100;
    assert_eq!(room(&mut end), missing + (ROOM - missing) / frame.len() * frame.len());
    end.receives_bytes(&frame[100..]);
    end.receives_bytes(&frame);
    assert_eq!(room(&mut end), ROOM / frame.len() * frame.len());
}

#[test]
fn a_header_that_a_read_cuts_is_part_of_its_message() {
    for cut in 1..4 {
        let mut end = paused_client();
        let frame = frame(300);
        end.receives_bytes(&frame.repeat(3)[..2 * frame.len() + cut]);
        let missing = frame.len() - cut;
        let room = room(&mut end);
        assert_eq!(room, missing + (ROOM - missing) / frame.len() * frame.len());
    }
}

#[test]
fn after_messages_of_other_lengths_a_read_fills_the_window() {
    let mut end = paused_client();
    end.receives_bytes(&frame(300).repeat(3));
    assert_ne!(room(&mut end), ROOM);
    end.receives_bytes(&[frame(300), frame(301)].concat());
    assert_eq!(room(&mut end), ROOM);
    end.receives_bytes(&frame(300));
    assert_eq!(room(&mut end), ROOM, "one message says nothing about the next");
}

#[test]
fn messages_of_half_the_window_leave_it_whole() {
    let mut end = paused_client();
    end.receives_bytes(&frame(1996).repeat(2));
    assert_eq!(room(&mut end), 4000);
    end.receives_bytes(&frame(1996)[..10]);
    assert_eq!(room(&mut end), ROOM, "behind the rest there is room for one message only");
}

/// A deterministic sequence.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn messages_of_equal_and_of_other_lengths_arrive_whole_and_in_order() {
    for seed in 0..24 {
        let mut numbers = Numbers(seed);
        let mut lens = Vec::new();
        while lens.len() < 120 {
            let (len, times) = (numbers.below(40_000), 1 + numbers.below(15));
            lens.extend(std::iter::repeat_n(len, times));
        }
        let payloads: Vec<Vec<u8>> = lens.iter().enumerate().map(|(n, len)| vec![n as u8; *len]).collect();
        let role = if seed % 2 == 0 { Role::Client } else { Role::Server };
        let wire: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| binary(payload.clone()).encode(role == Role::Server))
            .collect();
        let buffer = ReceiveBuffer::new(DEFAULT_RECEIVE_BUFFER, BufferPool::default());
        let mut end = Endpoint::with_buffer(role, &config(|_| ()), buffer);
        end.connection.pause();
        let (mut rest, mut seen) = (&wire[..], Vec::new());
        let mut kept = Vec::new();
        while !rest.is_empty() {
            let target = end.connection.read_target(&mut end.rx);
            let most = if numbers.below(4) == 0 { 1 + numbers.below(target.len()) } else { target.len() };
            let n = most.min(rest.len());
            target[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            end.connection.handle_received(n, end.now, &mut end.rx);
            assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
            if numbers.below(2) == 0 {
                while let Some(mut run) = end.connection.take_held_run() {
                    while let Some(message) = run.next_message() {
                        seen.push(message.as_bytes().to_vec());
                    }
                }
            } else {
                while let Some(message) = end.connection.take_held() {
                    seen.push(message.as_bytes().to_vec());
                    kept.push((seen.len() - 1, message));
                }
            }
        }
        assert!(seen == payloads, "seed {seed}");
        // Later reads do not change what the application still has.
        assert!(kept.iter().all(|(n, message)| message.as_bytes() == payloads[*n]), "seed {seed}");
    }
}
