//! Compressed messages whose blocks are missing, truncated, or marked as last (RFC 7692 section 7.2.3).

use flate2::{Compress, Compression, FlushCompress};

use crate::{Notify, PreparedMessage, ReceiveBuffer, Role, error::ConnectionError, memory::MemoryBudget};

use super::{
    compression::{
        HELLO, Reader, both, compressed, deflated, endpoint, prose, with_deflate, with_takeover,
        without_takeover,
    },
    wire::{binary, continuation, text},
};

/// [`HELLO`] in a last block, as in section 7.2.3.4.
const LAST_HELLO: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
/// Refers to the five bytes before it.
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

#[test]
fn an_empty_compressed_message_is_answered_with_1007() {
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            end.receives([compressed(text(HELLO)), compressed(text("")), compressed(text(HELLO))]);
            end.delivers_text("Hello");
            end.fails_with(1007);
        });
        both(&config, |mut end| {
            end.receives([
                compressed(binary("")).not_final(),
                continuation("").not_final(),
                continuation(""),
            ]);
            end.fails_with(1007);
        });
    }
}

#[test]
fn an_empty_fragment_of_a_compressed_message_is_accepted() {
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            end.receives([
                compressed(text("")).not_final(),
                continuation(&HELLO[..3]).not_final(),
                continuation("").not_final(),
                continuation(&HELLO[3..]).not_final(),
                continuation(""),
            ]);
            end.delivers_text("Hello");
            end.receives([compressed(text([0x00])), compressed(text(HELLO))]);
            end.delivers_text("");
            end.delivers_text("Hello");
            end.is_open();
        });
    }
}

#[test]
fn a_truncated_compressed_message_is_answered_with_1007() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0x00];
    let prose = deflated(&prose(2000));
    for whole in [&HELLO[..], &stored, &prose] {
        for config in [with_takeover(), without_takeover()] {
            both(&config, |mut end| {
                end.receives([compressed(binary(&whole[..whole.len() - 1])), compressed(binary(whole))]);
                end.fails_with(1007);
            });
        }
    }
}

#[test]
fn a_last_block_does_not_end_the_context() {
    both(&with_takeover(), |mut end| {
        for last in [&LAST_HELLO[..], &LAST_HELLO[..7]] {
            end.receives([compressed(text(last)), compressed(text(AGAIN))]);
            end.delivers_text("Hello");
            end.delivers_text("Hello");
        }
        // After it in the same message, and twice in one message.
        let both_in_one = [&LAST_HELLO[..7], &AGAIN].concat();
        end.receives([compressed(text(both_in_one))]);
        end.delivers_text("HelloHello");
        let twice = [&LAST_HELLO[..7], &[0x03, 0x00], &AGAIN].concat();
        end.receives([compressed(text(twice))]);
        end.delivers_text("HelloHello");
        end.is_open();
    });
    both(&without_takeover(), |mut end| {
        end.receives([compressed(text(LAST_HELLO)), compressed(text(HELLO)), compressed(text(AGAIN))]);
        end.delivers_text("Hello");
        end.delivers_text("Hello");
        end.fails_with(1007);
    });
}

/// One stream per message, with the latest bytes of the messages before as its dictionary.
fn finished(before: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut raw = Compress::new(Compression::best(), false);
    raw.set_dictionary(&before[before.len().saturating_sub(32 * 1024)..]).unwrap();
    let mut out = Vec::with_capacity(payload.len() + 1024);
    raw.compress_vec(payload, &mut out, FlushCompress::Finish).unwrap();
    assert_eq!(raw.total_in() as usize, payload.len());
    out.push(0);
    out
}

#[test]
fn messages_in_separate_streams_may_refer_to_earlier_ones_within_the_window() {
    both(&with_takeover(), |mut end| {
        let book = super::compression::noise(100_000);
        let mut before = Vec::new();
        for (from, to) in
            [(0, 5), (0, 9000), (5, 40_000), (30_000, 30_100), (10_000, 99_000), (70_000, 99_500)]
        {
            let payload = &book[from..to];
            end.receives([compressed(binary(finished(&before, payload)))]);
            end.delivers_binary(payload);
            before.extend(payload);
        }
        let last = &book[75_000..99_500];
        let small = finished(&before, last);
        assert!(small.len() < last.len() / 50, "it must refer to the messages before: {}", small.len());
        end.receives([compressed(binary(small))]);
        end.delivers_binary(last);
        end.is_open();
    });
}

#[test]
fn a_long_series_of_last_blocks_yields() {
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
            end.receives([compressed(text(HELLO))]);
            end.delivers_text("Hello");
            let before = end.turns;
            end.receives([compressed(binary([0x03, 0x00].repeat(32_000)))]);
            end.delivers_binary("");
            assert!(end.turns - before >= 400, "{} turns", end.turns - before);
            // The same in many messages of one read.
            let before = end.turns;
            let few = compressed(binary([0x03, 0x00].repeat(50)));
            end.receives(vec![few; 1000]);
            for _ in 0..1000 {
                end.delivers_binary("");
            }
            assert!(end.turns - before >= 400, "{} turns", end.turns - before);
            end.is_open();
        });
    }
}

#[test]
fn a_message_that_is_being_inflated_is_charged_for_its_inflater() {
    let budget = MemoryBudget::new(1 << 30);
    // The buffer of the message is left out: its size depends on its address.
    let held_beside_buffers = |takeover: bool| {
        let config = with_deflate(|_, deflate| deflate.receive_takeover = takeover);
        let config = config.with_memory_budget(budget.clone()).expect("large enough");
        let mut end = endpoint(Role::Server, &config);
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        let bytes = compressed(binary(deflated(&vec![0; 600_000]))).encode(true);
        end.connection.pause();
        end.rx.extend(&bytes);
        assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
        assert!(end.connection.wants_turn(), "the message is being inflated");
        let held = end.connection.memory_in_use(&end.tx);
        assert_eq!(budget.used(), held.next_multiple_of(1024));
        let set_aside = end.connection.partial.as_ref().and_then(|partial| partial.set_aside.as_ref());
        held - set_aside.unwrap().capacity()
    };
    let (borrowed, own) = (held_beside_buffers(false), held_beside_buffers(true));
    // An inflater with context is not charged: it belongs to the connection and has a budget of its own.
    assert!(borrowed >= own + 32 * 1024, "{borrowed} and {own}");
    assert_eq!(budget.used(), 0);
}

#[test]
fn an_inflater_is_refused_like_other_memory() {
    let budget = MemoryBudget::new(8 * 100_000);
    let config = with_deflate(|config, _| config.limits.max_message_size = 100_000);
    let config = config.with_memory_budget(budget.clone()).expect("large enough");
    let mut other = budget.account();
    other.set(budget.limit() - 40 * 1024);
    let mut end = endpoint(Role::Server, &config);
    end.receives([compressed(binary(deflated(&[0; 70_000])))]);
    end.sent_close(1013);
    assert_eq!(end.connection.close_info().and_then(|info| info.error), Some(ConnectionError::MemoryBudget));
}

#[test]
fn an_empty_prepared_message_arrives() {
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            let mut reader = Reader::new(&config);
            for _ in 0..3 {
                let prepared = PreparedMessage::new("");
                end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
                end.drive();
                if end.connection.deflate_params().is_some_and(|agreed| !agreed.server_no_context_takeover) {
                    assert_eq!(reader.read(&mut end).0, b"");
                } else {
                    // An empty message has no byte to compress.
                    end.sent_text("");
                }
            }
        });
    }
}
