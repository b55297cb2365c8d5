//! Deadlines with a transport that reports what the peer has acknowledged.

use std::time::Duration;

use crate::{Completion, ConnectionState, Keepalive, SendQueue, ValidConfig, error::TimedOut};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both_with, config},
    timers::timed_out,
    wire::{PING, binary, close, pong},
};

const KILO: u64 = 1000;
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const KEEPALIVE: Keepalive = Keepalive::new(Duration::from_secs(10), Duration::from_secs(4));

/// No other timer is set.
fn with(keepalive: Option<Keepalive>) -> ValidConfig {
    config(|config| {
        config.keepalive = keepalive;
        config.message_timeout = None;
        config.limits.max_held_bytes = 1000;
    })
}

impl Endpoint {
    /// The transport reports its send queue, with `unacknowledged` bytes.
    fn is_watched(&mut self, unacknowledged: u64) {
        self.connection.watch_send_queue();
        let queue = SendQueue { acknowledged: 0, unacknowledged, unanswered: Duration::ZERO };
        self.send_queue = Some(queue);
    }

    fn queue(&mut self) -> &mut SendQueue {
        self.send_queue.as_mut().unwrap()
    }

    fn peer_takes(&mut self, bytes: u64) {
        let queue = self.queue();
        queue.acknowledged += bytes;
        queue.unacknowledged -= bytes;
    }

    /// The peer's system is gone: nothing is acknowledged from now on.
    fn peer_vanishes(&mut self, unacknowledged: u64) {
        self.queue().unacknowledged = unacknowledged;
        self.queue().unanswered = Duration::from_secs(3600);
    }

    /// Pauses until nothing more is read.
    fn pauses_until_full(&mut self) {
        self.pauses();
        self.receives([binary([0; 600]), binary([0; 600])]);
        assert!(!self.connection.wants_read());
    }

    fn is_still_open(&self) {
        assert_eq!(self.connection.state(), ConnectionState::Open);
    }
}

fn blocked(end: &mut Endpoint) {
    end.is_watched(4000 * KILO);
    end.transport_blocks();
    end.sends_owned(vec![0; 100_000]);
}

#[test]
fn a_peer_that_acknowledges_bytes_while_the_transport_is_full_is_kept() {
    for keepalive in [None, Some(KEEPALIVE)] {
        both_with(&with(keepalive), |mut end| {
            blocked(&mut end);
            for _ in 0..1000 {
                end.passes(SECOND);
                end.peer_takes(KILO);
            }
            end.is_still_open();
        });
    }
}

#[test]
fn a_peer_that_stops_acknowledging_is_dropped_at_most_a_sixteenth_late() {
    both_with(&with(None), |mut end| {
        blocked(&mut end);
        for _ in 0..300 {
            end.passes(SECOND);
            end.peer_takes(KILO);
        }
        end.passes(WRITE_TIMEOUT - Duration::from_nanos(1));
        end.is_still_open();
        end.passes(WRITE_TIMEOUT / 16 + Duration::from_nanos(1));
        assert_eq!(end.completions, [Completion::CutOff]);
        end.completions.clear();
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn a_peer_that_never_acknowledges_is_dropped_at_most_a_sixteenth_late() {
    both_with(&with(None), |mut end| {
        blocked(&mut end);
        end.passes(WRITE_TIMEOUT - SECOND);
        end.is_still_open();
        end.passes(SECOND + WRITE_TIMEOUT / 16);
        end.completions.clear();
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn a_transport_without_a_report_changes_nothing() {
    both_with(&with(None), |mut end| {
        blocked(&mut end);
        end.send_queue = None;
        end.passes(WRITE_TIMEOUT - Duration::from_nanos(1));
        end.is_still_open();
        end.passes(Duration::from_nanos(1));
        end.completions.clear();
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn a_pong_may_be_late_while_the_peer_has_not_acknowledged_the_ping() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(1000 * KILO);
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        for _ in 0..100 {
            end.passes(3 * SECOND);
            end.peer_takes(KILO);
        }
        end.is_still_open();
        end.passes(8 * SECOND);
        end.sent_close(1011);
    });
}

#[test]
fn a_peer_that_acknowledged_the_ping_and_does_not_answer_is_dropped_in_time() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(0);
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        end.passes(4 * SECOND - Duration::from_millis(1));
        end.is_still_open();
        end.passes(Duration::from_millis(1));
        end.sent_close(1011);
        end.passes(CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn a_peer_whose_system_acknowledges_nothing_is_dropped_in_time() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(0);
        end.peer_vanishes(6);
        end.passes(14 * SECOND);
        end.sent_ping(b"");
        end.sent_close(1011);
        end.passes(CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn a_silent_peer_that_acknowledges_nothing_is_dropped_in_time() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        blocked(&mut end);
        end.passes(14 * SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
    });
}

// While reading is paused.

#[test]
fn a_vanished_peer_is_dropped_within_the_keepalive_time_while_nothing_is_read() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(0);
        end.pauses_until_full();
        end.peer_vanishes(6);
        end.passes(14 * SECOND - Duration::from_millis(1));
        end.is_still_open();
        end.passes(Duration::from_millis(1));
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(CLOSE_TIMEOUT);
        end.resumes();
        end.delivers_binary([0; 600]);
        end.delivers_binary([0; 600]);
        end.sent_ping(b"");
        end.sent_close(1011);
        timed_out(&mut end, TimedOut::Keepalive);
    });
}

#[test]
fn a_live_peer_is_kept_while_nothing_is_read() {
    // The peer takes everything or, if it is paused itself, nothing.
    for unacknowledged in [0, 1000 * KILO] {
        both_with(&with(Some(KEEPALIVE)), |mut end| {
            end.is_watched(unacknowledged);
            end.pauses_until_full();
            end.passes(10_000 * SECOND);
            end.is_still_open();
            let pings = std::iter::from_fn(|| end.outbound.pop()).filter(|sent| sent.opcode == PING).count();
            assert!((2000..=2500).contains(&pings), "{pings} pings");
            end.resumes();
            end.receives([pong("")]);
            end.is_still_open();
        });
    }
}

#[test]
fn a_peer_has_the_full_time_to_answer_once_reading_continues() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(0);
        end.pauses_until_full();
        end.passes(13 * SECOND);
        end.resumes();
        end.passes(4 * SECOND);
        end.is_still_open();
        end.passes(4 * SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
    });
}

#[test]
fn an_idle_deadline_at_the_same_time_takes_nothing_from_the_time_to_answer() {
    let config = config(|config| {
        config.keepalive = Some(KEEPALIVE);
        config.message_timeout = None;
        config.idle_timeout = Some(14 * SECOND);
        config.limits.max_held_bytes = 1000;
    });
    both_with(&config, |mut end| {
        end.is_watched(0);
        end.pauses_until_full();
        end.connection.note_stall();
        end.passes(13 * SECOND);
        // Nothing shows that the messages of a run are taken.
        let mut run = end.connection.take_held_run().unwrap();
        while run.take_message().is_some() {}
        assert!(end.connection.wants_read());
        end.passes(4 * SECOND);
        end.is_still_open();
    });
}

#[test]
fn a_vanished_peer_is_noticed_although_the_application_resumes_now_and_then() {
    both_with(&with(Some(KEEPALIVE)), |mut end| {
        end.is_watched(0);
        end.pauses_until_full();
        end.peer_vanishes(100);
        for _ in 0..10 {
            end.connection.resume();
            end.connection.pause();
            end.passes(3 * SECOND);
        }
        assert_ne!(end.connection.state(), ConnectionState::Open);
    });
}

#[test]
fn without_a_report_of_the_transport_a_peer_is_kept_while_nothing_is_read() {
    for watched in [false, true] {
        both_with(&with(Some(KEEPALIVE)), |mut end| {
            if watched {
                end.connection.watch_send_queue();
            }
            end.pauses_until_full();
            end.passes(10_000 * SECOND);
            end.is_still_open();
        });
    }
}

// After our Close.

#[test]
fn the_close_deadline_is_extended_while_the_peer_acknowledges_bytes() {
    both_with(&with(None), |mut end| {
        end.is_watched(4000 * KILO);
        end.closes(1000, "");
        end.sent_close(1000);
        for _ in 0..100 {
            end.passes(CLOSE_TIMEOUT - SECOND);
            end.peer_takes(KILO);
        }
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_peer_that_stops_acknowledging_after_our_close_has_at_most_two_close_timeouts() {
    both_with(&with(None), |mut end| {
        end.is_watched(4000 * KILO);
        end.closes(1000, "");
        end.sent_close(1000);
        end.passes(2 * CLOSE_TIMEOUT);
        timed_out(&mut end, TimedOut::Close);
    });
}

#[test]
fn a_peer_that_acknowledged_our_close_or_vanished_has_one_close_timeout() {
    for unacknowledged in [0, 1000] {
        both_with(&with(None), |mut end| {
            end.is_watched(0);
            if unacknowledged > 0 {
                end.peer_vanishes(unacknowledged);
            }
            end.closes(1000, "");
            end.sent_close(1000);
            end.passes(CLOSE_TIMEOUT);
            timed_out(&mut end, TimedOut::Close);
        });
    }
}

#[test]
fn a_peer_that_acknowledges_bytes_after_our_close_is_kept() {
    both_with(&with(None), |mut end| {
        blocked(&mut end);
        end.closes(1000, "");
        for _ in 0..1000 {
            end.passes(SECOND);
            end.peer_takes(KILO);
        }
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(WRITE_TIMEOUT * 17 / 16);
        end.completions.clear();
        timed_out(&mut end, TimedOut::Write);
    });
}
