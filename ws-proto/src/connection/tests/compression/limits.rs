//! Limits on what compressed messages cost, and work in steps.

use std::io::ErrorKind;

use flate2::{Compress, Compression, FlushCompress};

use crate::{
    CloseCode, ReceiveBuffer, Role, ValidConfig,
    error::{ConnectionError, LimitExceeded},
};

use super::{
    super::{
        endpoint::{Endpoint, Seen},
        wire::{binary, close, continuation, ping, text},
    },
    HELLO, MIB, both, compressed, deflated, endpoint, noise, with_deflate, with_takeover, without_takeover,
};

fn limited(max_message_size: usize) -> ValidConfig {
    with_deflate(|config, _| config.limits.max_message_size = max_message_size)
}

#[track_caller]
fn is_too_big(end: &Endpoint, limit: usize) {
    let error = end.connection.close_info().and_then(|info| info.error);
    assert_eq!(error, Some(ConnectionError::Limit(LimitExceeded::MessageSize { limit })));
}

#[test]
fn a_message_of_exactly_the_limit_is_delivered_and_one_byte_more_is_not() {
    for limit in [1, 100, 65_535, 65_536, 65_537, 300_000, MIB, 3 * MIB / 2] {
        let config = limited(limit);
        both(&config, |mut end| {
            let exact = vec![b'x'; limit];
            end.receives([compressed(binary(deflated(&exact)))]);
            end.delivers_binary(&exact);
            end.is_open();
        });
        both(&config, |mut end| {
            end.receives([compressed(binary(deflated(&vec![b'x'; limit + 1])))]);
            is_too_big(&end, limit);
            end.fails_with(1009);
        });
        both(&config, |mut end| {
            let exact = noise(limit);
            let half = deflated(&exact);
            let (first, second) = half.split_at(half.len() / 2);
            end.receives([compressed(binary(first).not_final()), continuation(second)]);
            end.delivers_binary(&exact);
        });
    }
}

#[test]
fn a_decompression_bomb_is_stopped_at_the_limit_and_yields() {
    both(&limited(4 * MIB), |mut end| {
        // 512 MiB in 512 KiB.
        let mut raw = Compress::new(Compression::best(), false);
        let (zeros, mut bomb) = (vec![0; MIB], Vec::with_capacity(2 * MIB));
        for _ in 0..512 {
            raw.compress_vec(&zeros, &mut bomb, FlushCompress::None).unwrap();
        }
        end.receives([compressed(binary(&bomb))]);
        is_too_big(&end, 4 * MIB);
        assert!((14..=18).contains(&end.turns), "{} turns", end.turns);
        end.fails_with(1009);
    });
}

#[test]
fn input_without_output_yields_too() {
    both(&limited(2 * MIB), |mut end| {
        let nothing = [0, 0, 0, 0xff, 0xff].repeat(400_000);
        end.receives([compressed(binary(&nothing[..nothing.len() - 4]))]);
        end.delivers_binary("");
        assert!(end.turns >= 28, "{} turns", end.turns);
        end.is_open();
    });
}

#[test]
fn frames_after_a_large_message_wait_and_are_not_lost() {
    both(&without_takeover(), |mut end| {
        // A window that holds everything, so that much follows the first message.
        end.rx = ReceiveBuffer::new(256 * 1024, end.rx.pool().clone());
        let large = vec![b'y'; 3 * MIB];
        end.receives([
            compressed(binary(deflated(&large))),
            ping("p"),
            compressed(text(HELLO)),
            compressed(binary(deflated(&large))),
            text("last").not_final(),
        ]);
        end.receives([continuation("")]);
        end.delivers_binary(&large);
        end.delivers_ping(b"p");
        end.delivers_text("Hello");
        end.delivers_binary(&large);
        end.delivers_text("last");
        end.sent_pong(b"p");
        assert!(end.turns > 20, "{} turns", end.turns);
        end.is_open();
        assert!(end.connection.is_settled());
    });
}

#[test]
fn nothing_is_read_while_a_message_is_inflated() {
    let mut end = endpoint(Role::Server, &without_takeover());
    let frame = compressed(binary(deflated(&vec![b'y'; 3 * MIB]))).encode(true);
    end.connection.read_target(&mut end.rx)[..frame.len()].copy_from_slice(&frame);
    end.connection.handle_received(frame.len(), end.now, &mut end.rx);
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
    assert!(end.connection.wants_turn());
    assert!(!end.connection.wants_read());
    assert!(!end.connection.is_settled());
    end.drive();
    assert!(!end.connection.wants_turn());
    assert!(end.connection.wants_read());
    end.delivers_binary(vec![b'y'; 3 * MIB]);
}

#[test]
fn a_close_during_inflating_drops_the_message() {
    let mut end = endpoint(Role::Server, &without_takeover());
    let mut bytes = compressed(binary(deflated(&vec![b'y'; 3 * MIB]))).encode(true);
    bytes.extend(close(1000, "").encode(true));
    end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
    end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
    assert!(end.connection.wants_turn());
    end.closes(1001, "");
    end.peer_hangs_up();
    end.sent_close(1001);
    let Some(Seen::Closed(info)) = end.seen.pop_front() else { panic!("it is over") };
    assert!(info.is_clean(), "{info:?}");
}

#[test]
fn a_message_being_inflated_is_delivered_after_a_failed_write_and_after_close_and_receive() {
    for fails in [true, false] {
        both(&with_takeover(), |mut end| {
            let large = vec![b'y'; 3 * MIB];
            let frames = [binary(deflated(&large)), binary(deflated(b"small"))].map(compressed);
            let masked = end.role() == Role::Server;
            let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(masked)).collect();
            bytes.extend(close(1000, "").encode(masked));
            end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
            end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
            assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
            assert!(end.connection.wants_turn());
            if fails {
                end.connection.handle_write_error(ErrorKind::BrokenPipe, end.now, &mut end.tx);
            } else {
                end.connection.close_and_receive(CloseCode::NORMAL, "", end.now, &mut end.tx);
            }
            end.drive();
            end.delivers_binary(&large);
            end.delivers_binary("small");
            end.peer_hangs_up();
            assert_eq!(end.is_finished().code(), 1000);
        });
    }
}

#[test]
fn the_end_of_the_stream_waits_for_the_message_being_inflated() {
    both(&without_takeover(), |mut end| {
        let large = vec![b'y'; 3 * MIB];
        let bytes = compressed(binary(deflated(&large))).encode(end.role() == Role::Server);
        end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
        end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
        assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
        end.connection.handle_eof(end.now);
        end.drive();
        end.delivers_binary(&large);
        assert!(matches!(end.seen.pop_front(), Some(Seen::Closed(_))));
    });
}

#[test]
fn inflating_stops_while_the_application_is_paused() {
    let config = with_deflate(|config, _| config.limits.max_held_bytes = 100_000);
    both(&config, |mut end| {
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        let payload = vec![b'z'; 60_000];
        let frame = compressed(binary(deflated(&payload)));
        end.pauses();
        end.receives(vec![frame; 500]);
        end.delivers_nothing();
        assert!(!end.connection.wants_turn(), "it must wait for the application");
        assert!(!end.connection.wants_read());
        assert_eq!(end.seen.len(), 0);
        let held = end.connection.inbox.as_ref().map_or(0, |inbox| inbox.bytes());
        assert!((100_000..=180_000).contains(&held), "{held} bytes held");
        end.resumes();
        for _ in 0..500 {
            end.delivers_binary(&payload);
        }
        end.delivers_nothing();
        end.is_open();
    });
}

#[test]
fn many_small_bombs_in_one_read_yield_too() {
    both(&without_takeover(), |mut end| {
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        let payload = vec![0; 60_000];
        let bytes: Vec<u8> = (0..500)
            .flat_map(|_| compressed(binary(deflated(&payload))).encode(end.role() == Role::Server))
            .collect();
        assert!(bytes.len() < 128 * 1024, "everything must fit in one read");
        end.receives_bytes(&bytes);
        assert_eq!(end.seen.len(), 500);
        assert!((95..=125).contains(&end.turns), "{} turns for 30 MB", end.turns);
        while let Some(seen) = end.seen.pop_front() {
            assert!(seen == Seen::Binary(payload.clone()));
        }
        end.is_open();
        assert!(end.connection.is_settled());
    });
}

#[test]
fn a_message_in_two_parts_leaves_the_connection_settled() {
    both(&without_takeover(), |mut end| {
        end.receives([compressed(text(&HELLO[..3]).not_final()), continuation(&HELLO[3..])]);
        end.delivers_text("Hello");
        assert!(end.connection.is_settled());
        for half in compressed(text(HELLO)).encode(end.role() == Role::Server).chunks(5) {
            end.receives_bytes(half);
        }
        end.delivers_text("Hello");
        assert!(end.connection.is_settled());
    });
}

#[test]
fn waiting_bytes_continue_in_a_smaller_buffer() {
    let config = with_deflate(|config, _| config.limits.max_held_bytes = 100_000);
    both(&config, |mut end| {
        end.rx = ReceiveBuffer::new(64 * 1024, end.rx.pool().clone());
        let payload = vec![b'z'; 60_000];
        end.pauses();
        let bytes: Vec<u8> = (0..300)
            .flat_map(|_| compressed(binary(deflated(&payload))).encode(end.role() == Role::Server))
            .collect();
        end.receives_bytes(&bytes);
        end.delivers_nothing();
        // The buffer of another thread.
        end.rx = ReceiveBuffer::new(1024, end.rx.pool().clone());
        end.resumes();
        for _ in 0..300 {
            end.delivers_binary(&payload);
        }
        end.is_open();
    });
}

#[test]
fn memory_stays_bounded_while_messages_arrive_and_are_delivered() {
    both(&without_takeover(), |mut end| {
        let payload = vec![b'q'; 40_000];
        let frame = compressed(binary(deflated(&payload))).encode(end.role() == Role::Server);
        end.pauses();
        for _ in 0..2 {
            end.receives_bytes(&frame);
        }
        let mut most = 0;
        for _ in 0..200 {
            assert_eq!(end.connection.take_held().unwrap().len(), 40_000);
            end.receives_bytes(&frame);
            most = most.max(end.connection.inbox.as_ref().map_or(0, |inbox| inbox.capacity()));
        }
        assert!(most < 400_000, "{most} bytes for two messages of 40,000");
    });
}
