use std::{io::IoSlice, time::Instant};

use bytes::{Buf, Bytes};
use proptest::prelude::*;

use super::{BufferPool, BufferPoolConfig, Completion, Notify, PooledBuffer, ReceiveBuffer, TransmitQueue};

fn pool(buffer_size: usize, preheat: usize, max_retained: usize) -> BufferPool {
    BufferPool::new(BufferPoolConfig { buffer_size, preheat, max_retained })
}

#[test]
fn a_preheated_pool_lends_its_buffers_and_grows_beyond_them() {
    let pool = pool(64, 1, 1024);
    assert_eq!(pool.retained(), 64);
    let mut first = PooledBuffer::new(pool.clone());
    first.reserve_total(64, 64).unwrap();
    assert_eq!(pool.retained(), 0);
    let mut second = PooledBuffer::new(pool.clone());
    second.reserve_total(64, 64).unwrap();
    assert!(second.capacity() >= 64);
    drop((first, second));
    assert!(pool.retained() >= 128);
}

#[test]
fn a_released_buffer_is_lent_again() {
    let pool = pool(64, 0, 1024);
    let mut buffer = PooledBuffer::new(pool.clone());
    buffer.reserve_total(64, 64).unwrap();
    let first = buffer.as_ptr();
    drop(buffer);
    let mut again = PooledBuffer::new(pool);
    again.reserve_total(64, 64).unwrap();
    assert_eq!(again.as_ptr(), first);
}

#[test]
fn a_full_pool_frees_returned_buffers() {
    let pool = pool(64, 0, 100);
    for _ in 0..3 {
        let mut buffer = PooledBuffer::new(pool.clone());
        let mut other = PooledBuffer::new(pool.clone());
        buffer.reserve_total(64, 64).unwrap();
        other.reserve_total(64, 64).unwrap();
    }
    assert_eq!(pool.retained(), 64);
}

#[test]
#[cfg_attr(miri, ignore = "65,536 allocations take minutes under Miri")]
fn a_pool_of_absurd_size_does_not_panic() {
    let pool = pool(64, usize::MAX, 1 << 20);
    assert_eq!(pool.retained() / 64, BufferPoolConfig::MAX_PREHEAT);
}

#[test]
fn a_window_of_absurd_size_does_not_panic() {
    let mut rx = ReceiveBuffer::new(usize::MAX, pool(1024, 0, 1 << 20));
    assert!(!rx.spare_mut().is_empty());
}

#[test]
fn trim_frees_unneeded_buffers_and_keeps_the_preheated_ones() {
    let pool = pool(64, 1, 1024);
    let lend = |count: usize| {
        let mut all: Vec<_> = (0..count).map(|_| PooledBuffer::new(pool.clone())).collect();
        all.iter_mut().for_each(|buffer| buffer.reserve_total(64, 64).unwrap());
    };
    lend(4);
    pool.trim();
    assert_eq!(pool.retained(), 256, "all four buffers were needed since the start");
    lend(2);
    pool.trim();
    assert_eq!(pool.retained(), 128);
    pool.trim();
    assert_eq!(pool.retained(), 64);
}

#[test]
fn trim_frees_large_buffers_that_preheated_ones_have_grown_to() {
    let pool = pool(64, 2, 4096);
    let mut buffers = [PooledBuffer::new(pool.clone()), PooledBuffer::new(pool.clone())];
    for buffer in &mut buffers {
        buffer.reserve_total(64, 64).unwrap();
        buffer.reserve_total(1024, 1024).unwrap();
    }
    drop(buffers);
    assert_eq!(pool.retained(), 2048);
    pool.trim();
    pool.trim();
    assert_eq!(pool.retained(), 0);
}

#[test]
fn memory_follows_the_received_length_not_the_announced_one() {
    let mut buffer = PooledBuffer::new(BufferPool::default());
    buffer.reserve_total(10, usize::MAX / 2).unwrap();
    assert!(buffer.capacity() <= 1024);
    buffer.extend_from_slice(&[1; 1000]);
    buffer.reserve_total(1001, 10_000).unwrap();
    assert!(buffer.capacity() <= 2048);
}

#[test]
fn growth_stops_at_the_announced_length() {
    let mut buffer = PooledBuffer::new(pool(1 << 20, 0, 0));
    buffer.reserve_total(900, 1100).unwrap();
    buffer.extend_from_slice(&[1; 1000]);
    buffer.reserve_total(1100, 1100).unwrap();
    assert_eq!(buffer.capacity(), 1100);
}

#[test]
fn growing_into_a_pooled_buffer_keeps_the_bytes() {
    let pool = pool(4096, 2, 1 << 20);
    let mut buffer = PooledBuffer::new(pool.clone());
    buffer.reserve_total(5, 10_000).unwrap();
    buffer.extend_from_slice(b"hello");
    buffer.reserve_total(4096, 10_000).unwrap();
    assert_eq!(&buffer[..], b"hello");
    assert!(buffer.capacity() >= 4096);
}

#[test]
fn a_small_payload_does_not_pin_a_large_buffer() {
    let pool = pool(4096, 1, 1 << 20);
    let mut buffer = PooledBuffer::new(pool.clone());
    buffer.reserve_total(4096, 4096).unwrap();
    buffer.extend_from_slice(b"twenty bytes of text");
    let kept = buffer.into_bytes();
    assert_eq!(pool.retained(), 4096, "the buffer is back in the pool while the payload is alive");
    assert_eq!(kept, "twenty bytes of text");
}

#[test]
fn a_large_payload_is_not_copied_and_its_buffer_returns_when_it_is_dropped() {
    let pool = pool(4096, 1, 1 << 20);
    let mut buffer = PooledBuffer::new(pool.clone());
    buffer.reserve_total(4096, 4096).unwrap();
    buffer.extend_from_slice(&[1; 4000]);
    let at = buffer.as_ptr();
    let bytes = buffer.into_bytes();
    assert_eq!(bytes.as_ptr(), at);
    assert_eq!(pool.retained(), 0);
    drop(bytes);
    assert_eq!(pool.retained(), 4096);
}

/// The offset of the bytes within their page.
fn page_offset(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr() % 4096
}

#[test]
fn large_payloads_and_windows_begin_in_the_middle_of_a_page() {
    const LARGE: usize = 64 * 1024;
    const HALF_A_PAGE: usize = 2048;
    for preheat in [0, 1] {
        let mut buffer = PooledBuffer::new(pool(LARGE, preheat, 1 << 30));
        let mut length = 10;
        buffer.reserve_total(length, usize::MAX).unwrap();
        buffer.extend_from_slice(&[7; 10]);
        // Miri is slow.
        while length < if cfg!(miri) { LARGE } else { 100 * LARGE } {
            length *= 3;
            buffer.reserve_total(length, usize::MAX).unwrap();
            buffer.extend_from_slice(&vec![7; length - buffer.len()]);
            assert!(length < LARGE || page_offset(&buffer) == HALF_A_PAGE, "{length}");
            assert!(buffer.capacity() >= length && buffer.iter().all(|byte| *byte == 7), "{length}");
        }
        assert_eq!(page_offset(&buffer.into_bytes()), HALF_A_PAGE);
    }
    for size in [256, 4096, LARGE, 100_000] {
        let mut rx = ReceiveBuffer::new(size, pool(64, 0, 0));
        assert_eq!(rx.spare_mut().len(), size);
        assert!(size < LARGE || page_offset(rx.spare_mut()) == HALF_A_PAGE);
    }
}

#[test]
fn the_receive_buffer_can_be_filled_and_emptied() {
    let mut rx = ReceiveBuffer::new(256, pool(64, 0, 0));
    assert_eq!(rx.extend(b"abc"), 3);
    rx.spare_mut()[0] = b'd';
    rx.commit(1);
    assert_eq!(rx.unprocessed(), b"abcd");
    rx.consume(2);
    assert_eq!(rx.unprocessed(), b"cd");
    rx.consume(2);
    rx.rewind();
    assert!(rx.is_empty());
    assert_eq!(rx.spare_mut().len(), 256);
    assert_eq!(rx.extend(&[0; 300]), 256);
    assert!(rx.spare_mut().is_empty());
    rx.commit(usize::MAX);
    assert_eq!(rx.unprocessed().len(), 256);
}

#[test]
fn sends_complete_in_order_once_their_last_byte_is_written() {
    let mut tx = TransmitQueue::new();
    tx.push_slice(b"first");
    tx.end_send(Notify::Yes);
    tx.push_slice(b"quiet");
    tx.end_send(Notify::No);
    tx.push_bytes(Bytes::from_static(b"large"));
    tx.end_send(Notify::Yes);
    tx.advance(4);
    assert_eq!(tx.poll_completion(), None);
    tx.advance(1);
    assert_eq!(tx.poll_completion(), Some(Completion::Written));
    assert_eq!(tx.poll_completion(), None);
    tx.advance(9);
    assert_eq!((tx.poll_completion(), tx.pending_sends()), (None, 1));
    tx.advance(1);
    assert_eq!((tx.poll_completion(), tx.pending_sends()), (Some(Completion::Written), 0));
    assert!(tx.is_empty());
}

#[test]
fn abort_counts_the_sends_it_cut_off() {
    let mut tx = TransmitQueue::new();
    for notify in [Notify::Yes, Notify::No, Notify::Yes] {
        tx.push_slice(b"payload");
        tx.end_send(notify);
    }
    tx.advance(8);
    assert_eq!(tx.abort(), 1);
    assert_eq!(tx.poll_completion(), Some(Completion::Written));
    assert!(tx.is_empty());
    assert_eq!(tx.remaining(), 0);
}

#[test]
fn a_write_ends_the_blocked_state() {
    let mut tx = TransmitQueue::new();
    let now = Instant::now();
    tx.push_slice(b"ab");
    tx.set_blocked(now);
    assert_eq!(tx.blocked_since(), Some(now));
    tx.advance(1);
    assert_eq!(tx.blocked_since(), None);
}

proptest! {
    #[test]
    fn the_stream_is_unchanged_for_any_mix_of_pieces_and_steps(
        pieces in proptest::collection::vec((any::<bool>(), 0_usize..40), 0..30),
        steps in proptest::collection::vec(1_usize..50, 1..60),
        vectored in any::<bool>(),
    ) {
        let mut tx = TransmitQueue::new();
        let mut expected = Vec::new();
        for (i, (large, len)) in pieces.iter().enumerate() {
            let piece = vec![i as u8; *len];
            expected.extend_from_slice(&piece);
            if *large { tx.push_bytes(piece.into()) } else { tx.push_slice(&piece) }
        }
        prop_assert_eq!(tx.len(), expected.len());
        let mut written = Vec::new();
        for step in steps.iter().cycle() {
            if tx.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); 4];
            let offered: Vec<u8> = if vectored {
                let n = tx.chunks_vectored(&mut slices);
                slices[..n].iter().flat_map(|slice| slice.iter().copied()).collect()
            } else {
                tx.chunk().to_vec()
            };
            prop_assert!(!offered.is_empty());
            let n = offered.len().min(*step);
            written.extend_from_slice(&offered[..n]);
            tx.advance(n);
        }
        prop_assert_eq!(written, expected);
    }
}

#[test]
fn a_burst_of_payloads_that_are_done_with_leaves_no_memory_behind() {
    for kept in [false, true] {
        let mut tx = TransmitQueue::new();
        tx.keep_spent(true);
        for _ in 0..10_000 {
            tx.spend(Bytes::from_static(b"not freed at once"));
        }
        if kept {
            assert_eq!(tx.drain_spent().count(), 10_000);
        } else {
            tx.keep_spent(false);
        }
        assert!(tx.spent.capacity() <= 64, "{}", tx.spent.capacity());
    }
}
