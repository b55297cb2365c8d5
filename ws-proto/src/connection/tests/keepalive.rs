//! Detection of vanished peers, and only of those (RFC 6455 section 5.5.2).

use std::time::Duration;

use crate::{ConnectionState, Keepalive, Role, error::TimedOut};

use super::{
    endpoint::{CLOSE_TIMEOUT, SECOND, both_with, config},
    timers::{keepalive, timed_out},
    wire::{PING, binary, pong, text},
};

#[test]
fn a_silent_peer_is_pinged() {
    both_with(&keepalive(|_| ()), |mut end| {
        end.passes(9 * SECOND);
        end.is_open();
        end.passes(SECOND);
        end.sent_ping(b"");
        end.is_open();
    });
}

#[test]
fn a_peer_that_answers_is_kept() {
    both_with(&keepalive(|_| ()), |mut end| {
        for _ in 0..20 {
            end.passes(10 * SECOND);
            end.sent_ping(b"");
            end.passes(3 * SECOND);
            end.receives([pong("")]);
            end.delivers_pong(b"");
            end.is_open();
        }
    });
}

#[test]
fn any_received_byte_counts_as_a_sign_of_life() {
    both_with(&keepalive(|_| ()), |mut end| {
        let bytes = binary([0; 40]).encode(end.role() == Role::Server);
        for byte in bytes {
            end.receives_bytes(&[byte]);
            end.passes(9 * SECOND);
        }
        end.delivers_binary([0; 40]);
        end.is_open();
    });
}

#[test]
fn a_peer_that_stays_silent_after_the_ping_is_dropped() {
    both_with(&keepalive(|_| ()), |mut end| {
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        end.passes(4 * SECOND);
        end.sent_close(1011);
        end.passes(CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn a_connection_that_only_sends_is_kept_while_its_pings_are_answered() {
    both_with(&keepalive(|config| config.idle_timeout = Some(15 * SECOND)), |mut end| {
        for second in 1..100 {
            end.passes(SECOND);
            if second % 10 == 0 {
                end.sent_ping(b"");
                end.receives([pong("")]);
                end.delivers_pong(b"");
            }
            end.sends_text("tick");
            end.sent_text("tick");
            end.is_open();
        }
    });
}

#[test]
fn a_peer_is_kept_while_the_ping_waits_to_be_written() {
    both_with(&keepalive(|_| ()), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 100_000]);
        for _ in 0..30 {
            // The peer reads slowly and has not received the ping.
            end.passes(3 * SECOND);
            end.transport_takes(1000);
        }
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.transport_flows();
        end.sent_binary(vec![0; 100_000]);
        end.sent_ping(b"");
        end.passes(4 * SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
    });
}

#[test]
fn a_peer_that_neither_reads_nor_sends_is_dropped() {
    both_with(&keepalive(|config| config.write_timeout = None), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 100_000]);
        end.passes(14 * SECOND + CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn a_full_control_queue_does_not_lose_the_keepalive_ping() {
    both_with(&keepalive(|_| ()), |mut end| {
        end.transport_blocks();
        end.sends_text("stuck");
        end.sends_ping(&[1; 125]);
        end.sends_ping(&[2; 125]);
        end.sends_ping(b"");
        end.passes(13 * SECOND);
        end.transport_flows();
        let pings = std::iter::from_fn(|| end.outbound.pop()).filter(|sent| sent.opcode == PING);
        assert_eq!(pings.count(), 4);
        end.passes(3 * SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Open);
    });
}

#[test]
fn without_timeouts_no_timer_is_due() {
    let without = config(|config| {
        config.keepalive = None;
        config.message_timeout = None;
    });
    both_with(&without, |mut end| {
        assert_eq!(end.connection.poll_timeout(&end.tx), None);
        end.receives([text("x"), text("y").not_final()]);
        end.sends_text("z");
        assert_eq!(end.connection.poll_timeout(&end.tx), None);
        end.seen.clear();
        end.passes(Duration::from_secs(100_000));
        end.sent_text("z");
        end.is_open();
    });
}

#[test]
fn a_timeout_longer_than_the_interval_does_not_delay_the_next_ping() {
    let config = config(|config| {
        config.keepalive = Some(Keepalive::new(SECOND, 10 * SECOND + SECOND / 2));
    });
    both_with(&config, |mut end| {
        for _ in 0..10 {
            end.passes(SECOND);
            end.sent_ping(b"");
            // A driver that uses this timer is in time for the next ping.
            let kept = end.connection.poll_timeout(&end.tx);
            end.passes(SECOND / 10);
            end.receives([pong("")]);
            end.delivers_pong(b"");
            assert!(kept <= end.connection.poll_timeout(&end.tx));
            end.is_open();
        }
        end.passes(SECOND);
        end.sent_ping(b"");
        end.passes(10 * SECOND);
        end.is_open();
        end.passes(SECOND / 2);
        end.sent_close(1011);
        end.passes(CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn an_answer_never_makes_the_timer_earlier() {
    const MILLI: Duration = Duration::from_millis(1);
    let timeouts = [MILLI, SECOND / 3, SECOND - MILLI, SECOND, SECOND + MILLI / 2, 1000 * SECOND / 17];
    for timeout in timeouts {
        let config = config(|config| {
            config.keepalive = Some(Keepalive::new(SECOND, timeout));
        });
        both_with(&config, |mut end| {
            for _ in 0..3 {
                end.passes(SECOND + Duration::from_nanos(1));
                end.sent_ping(b"");
                let kept = end.connection.poll_timeout(&end.tx);
                end.passes(timeout.min(SECOND) / 2);
                end.receives([pong("")]);
                end.delivers_pong(b"");
                assert!(kept <= end.connection.poll_timeout(&end.tx), "{timeout:?}");
            }
        });
    }
}
