//! A close after which the application still receives messages from the peer (RFC 6455 section 5.5.1).

use crate::{
    CloseCode, ConnectionState,
    close::Initiator,
    error::{ProtocolError, TimedOut},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both, both_with, config},
    wire::{close, continuation, empty_close, frame, ping, text},
};

fn closes_and_receives(end: &mut Endpoint, code: u16) {
    let code = CloseCode::new(code).unwrap();
    end.connection.close_and_receive(code, "ours", end.now, &mut end.tx);
    end.drive();
}

#[test]
fn messages_are_delivered_until_the_peers_close() {
    both(|mut end| {
        end.sends_text("before");
        closes_and_receives(&mut end, 1000);
        end.sent_text("before");
        assert_eq!(end.sent_close(1000), "ours");
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.receives([text("o").not_final(), ping("unanswered"), continuation("ne"), text([b'x'; 100_000])]);
        end.delivers_ping(b"unanswered");
        end.delivers_text("one");
        end.delivers_text(&"x".repeat(100_000));
        end.receives([text("two"), close(1000, "theirs"), text("after it")]);
        end.peer_hangs_up();
        end.delivers_text("two");
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.reason()), (Initiator::Local, "theirs"));
        end.sends_nothing();
    });
}

#[test]
fn messages_are_delivered_after_a_close_without_a_code_too() {
    both(|mut end| {
        end.pauses();
        end.receives([text("one")]);
        end.connection.close_without_code_and_receive(end.now, &mut end.tx);
        end.drive();
        end.sent_empty_close();
        end.receives([text("two"), empty_close()]);
        end.peer_hangs_up();
        end.resumes();
        end.delivers_text("one");
        end.delivers_text("two");
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.code(), info.sent.unwrap().code), (1005, None));
    });
}

#[test]
fn held_messages_are_delivered_and_the_end_does_not_wait_for_them() {
    both(|mut end| {
        end.pauses();
        end.receives([text("one")]);
        closes_and_receives(&mut end, 1000);
        end.sent_close(1000);
        end.receives([text("two"), close(1000, "")]);
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT);
        end.delivers_nothing();
        end.resumes();
        end.delivers_text("one");
        end.delivers_text("two");
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_held_end_takes_effect_and_the_messages_before_it_are_delivered() {
    both(|mut end| {
        end.connection.hold();
        end.receives([text("one"), close(1001, "theirs")]);
        closes_and_receives(&mut end, 1000);
        assert_eq!(end.sent_close(1000), "ours");
        end.peer_hangs_up();
        end.resumes();
        end.delivers_text("one");
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.code()), (Initiator::Local, 1001));
    });
}

#[test]
fn after_close_and_receive_held_messages_are_bounded_and_the_close_timeout_applies() {
    both_with(&config(|config| config.limits.max_held_bytes = 10), |mut end| {
        end.pauses();
        closes_and_receives(&mut end, 1000);
        end.sent_close(1000);
        end.receives([text("more than ten bytes")]);
        assert!(!end.connection.wants_read());
        end.passes(CLOSE_TIMEOUT - SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(SECOND);
        end.resumes();
        end.delivers_text("more than ten bytes");
        assert_eq!(end.is_finished().error, Some(TimedOut::Close.into()));
    });
}

#[test]
fn a_violation_after_close_and_receive_sends_no_second_close() {
    both(|mut end| {
        closes_and_receives(&mut end, 1000);
        end.sent_close(1000);
        end.receives([text("one"), frame(3, b""), text("never")]);
        end.peer_hangs_up();
        end.delivers_text("one");
        let info = end.is_finished();
        assert_eq!(info.error, Some(ProtocolError::ReservedOpcode(3).into()));
        end.sends_nothing();
    });
}

#[test]
fn a_later_close_drops_held_and_later_messages() {
    both(|mut end| {
        end.pauses();
        end.receives([text("one")]);
        closes_and_receives(&mut end, 1000);
        end.sent_close(1000);
        end.closes(4000, "");
        end.sends_nothing();
        end.receives([text("two"), close(1000, "")]);
        end.peer_hangs_up();
        end.resumes();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn close_and_receive_after_a_close_has_no_effect() {
    both(|mut end| {
        end.closes(1000, "");
        end.sent_close(1000);
        closes_and_receives(&mut end, 4000);
        end.sends_nothing();
        end.receives([text("dropped"), close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_message_that_crosses_the_close_of_the_idle_timeout_is_delivered() {
    let config = config(|config| {
        config.idle_timeout = Some(20 * SECOND);
        config.keepalive = None;
    });
    both_with(&config, |mut end| {
        end.passes(20 * SECOND);
        end.sent_close(1001);
        end.receives([text("just now"), close(1001, "")]);
        end.peer_hangs_up();
        end.delivers_text("just now");
        assert!(end.is_finished().is_clean());
    });
}
