//! Large messages that follow one another: each is read into a buffer that it takes with it.

use proptest::prelude::*;

use crate::{
    Event, ReceiveBuffer, Role,
    memory::{BufferPool, BufferPoolConfig, MemoryBudget, PooledBuffer},
};

use super::{
    endpoint::{Endpoint, config},
    wire::{binary, continuation, ping, text},
};

const KIB: usize = 1024;
const WINDOW: usize = 4 * KIB;
const LARGE: usize = 100 * KIB;

/// An endpoint that has received a large message, and its pool.
fn after_a_large_message(role: Role) -> (Endpoint, BufferPool) {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    let mut end = Endpoint::with_buffer(role, &config(|_| ()), ReceiveBuffer::new(WINDOW, pool.clone()));
    end.receives([binary(vec![1; LARGE])]);
    end.delivers_binary(vec![1; LARGE]);
    end.rx.release_assembled();
    assert!(pool.retained() >= LARGE);
    (end, pool)
}

fn both(check: impl Fn(Endpoint, BufferPool)) {
    for role in [Role::Server, Role::Client] {
        let (end, pool) = after_a_large_message(role);
        check(end, pool);
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn the_next_one_is_read_at_once_and_not_copied() {
    both(|mut end, pool| {
        for _ in 0..3 {
            let payload = payload(LARGE);
            let bytes = binary(&payload).encode(end.role() == Role::Server);
            let Endpoint { connection, rx, tx, now, .. } = &mut end;
            let target = connection.read_target(rx);
            assert_eq!(target.len(), bytes.len(), "not a byte of the message behind");
            let read_to = target.as_ptr_range().end;
            target.copy_from_slice(&bytes);
            connection.handle_received(bytes.len(), *now, rx);
            let Some(Event::Message(message)) = connection.poll_event(rx, tx) else { panic!("a message") };
            assert!(message.is_assembled());
            let taken = message.into_bytes();
            assert_eq!(taken, payload);
            assert_eq!(taken.as_ptr_range().end, read_to);
            assert_eq!(pool.retained(), 0);
            assert!(connection.poll_event(rx, tx).is_none());
            assert_eq!(rx.spare_mut().len(), WINDOW, "the standard window is open again");
            drop(taken);
            assert!(pool.retained() >= LARGE);
        }
    });
}

#[test]
fn the_beginning_of_the_next_one_is_not_copied() {
    both(|mut end, _pool| {
        let bytes = binary(payload(LARGE)).encode(end.role() == Role::Server);
        let Endpoint { connection, rx, tx, now, .. } = &mut end;
        let target = connection.read_target(rx);
        let (at, n) = (target.as_ptr(), 70 * KIB);
        target[..n].copy_from_slice(&bytes[..n]);
        connection.handle_received(n, *now, rx);
        assert!(connection.poll_event(rx, tx).is_none());
        let rest = connection.read_target(rx);
        assert_eq!(rest.as_ptr(), at.wrapping_add(n), "the rest goes behind it");
        assert_eq!(rest.len(), bytes.len() - n);
        rest.copy_from_slice(&bytes[n..]);
        connection.handle_received(bytes.len() - n, *now, rx);
        end.drive();
        end.delivers_binary(payload(LARGE));
    });
}

#[test]
fn small_messages_return_the_buffer() {
    both(|mut end, pool| {
        let before = pool.retained();
        end.receives([text("a"), ping("b"), binary(vec![2; 3 * KIB])]);
        end.delivers_text("a");
        end.delivers_ping(b"b");
        end.delivers_binary(vec![2; 3 * KIB]);
        assert_eq!(pool.retained(), before);
        assert_eq!(end.connection.read_target(&mut end.rx).len(), WINDOW);
    });
}

#[test]
fn a_length_that_is_only_announced_holds_no_buffer() {
    both(|mut end, pool| {
        let before = pool.retained();
        end.receives([binary("").announcing(LARGE as u64)]);
        end.receives_bytes(&[0; 1000]);
        assert_eq!(pool.retained(), before);
        let partial = end.connection.partial.as_ref().unwrap();
        assert!(partial.held_bytes() <= 2 * KIB, "{}", partial.held_bytes());
    });
}

#[test]
fn a_read_that_brings_nothing_keeps_no_buffer_behind_the_turn() {
    both(|mut end, pool| {
        let before = pool.retained();
        for _ in 0..2 {
            assert!(end.connection.read_target(&mut end.rx).len() > LARGE);
            assert_eq!(pool.retained(), 0);
        }
        end.rx.release_assembled();
        assert_eq!(pool.retained(), before);
        end.receives([binary(vec![3; LARGE])]);
        end.delivers_binary(vec![3; LARGE]);
    });
}

#[test]
fn without_memory_in_the_budget_or_the_pool_the_standard_window_is_read() {
    let (mut end, pool) = after_a_large_message(Role::Server);
    let mut taken = PooledBuffer::new(pool.clone());
    taken.reserve_total(LARGE, LARGE).unwrap();
    assert_eq!(pool.retained(), 0);
    assert_eq!(end.connection.read_target(&mut end.rx).len(), WINDOW);
    drop(taken);

    let budget = MemoryBudget::new(1024 * KIB);
    let config = config(|config| config.limits.max_message_size = 128 * KIB);
    let config = config.with_memory_budget(budget.clone()).unwrap();
    let mut end = Endpoint::with_buffer(Role::Server, &config, ReceiveBuffer::new(WINDOW, pool));
    end.receives([binary(vec![1; LARGE])]);
    end.delivers_binary(vec![1; LARGE]);
    let mut others = budget.account();
    others.set(1024 * KIB);
    assert_eq!(end.connection.read_target(&mut end.rx).len(), WINDOW);
}

#[test]
fn messages_held_for_a_paused_application_take_their_buffers_with_them() {
    both(|mut end, _pool| {
        end.pauses();
        end.receives([binary(vec![1; LARGE]), text("between"), binary(vec![2; LARGE])]);
        assert!(end.connection.held_bytes() > LARGE);
        end.resumes();
        end.delivers_binary(vec![1; LARGE]);
        end.delivers_text("between");
        end.delivers_binary(vec![2; LARGE]);
    });
}

proptest! {
    #[test]
    fn any_sequence_of_messages_is_received_whatever_the_reads(
        sizes in proptest::collection::vec((0_usize..4, 0_usize..3000, any::<bool>()), 1..20),
        read_size in prop_oneof![1_usize..200, 200_usize..5000],
        is_server: bool,
    ) {
        let pool = BufferPool::new(BufferPoolConfig { buffer_size: 512, preheat: 0, max_retained: 1 << 20 });
        let role = if is_server { Role::Server } else { Role::Client };
        let mut end = Endpoint::with_buffer(role, &config(|_| ()), ReceiveBuffer::new(256, pool));
        end.read_size = read_size;
        let mut expected = Vec::new();
        let mut frames = Vec::new();
        for (kind, size, is_fragmented) in sizes {
            // Many of them have the length of the one before.
            let size = if kind == 0 { expected.last().map_or(size, Vec::len) } else { size };
            let payload: Vec<u8> = (0..size).map(|at| (at + expected.len()) as u8).collect();
            if is_fragmented && kind == 1 {
                let (first, last) = payload.split_at(size / 2);
                frames.extend([binary(first).not_final(), ping("x"), continuation(last)]);
            } else {
                frames.push(binary(&payload));
            }
            expected.push(payload);
        }
        end.receives(frames);
        for payload in expected {
            while matches!(end.seen.front(), Some(super::endpoint::Seen::Ping(_))) {
                end.seen.pop_front();
            }
            end.delivers_binary(payload);
        }
    }
}
