//! The closing handshake (RFC 6455 sections 5.5.1, 7.1 and 7.4).

use crate::{
    CloseCode, ConnectionState, MessageKind, Notify, Role, TransportAction,
    close::Initiator,
    error::{CloseError, ControlError, ProtocolError, SendError},
};

use super::{
    endpoint::{Endpoint, both},
    wire::{CLOSE, close, continuation, empty_close, frame, ping, text},
};

const fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[test]
fn the_peers_close_is_echoed_once_with_its_code_and_reason() {
    for (code, reason) in
        [(1000, ""), (1000, "bye"), (3500, "custom close"), (4999, "private close"), (1014, "ü")]
    {
        both(|mut end| {
            end.receives([close(code, reason)]);
            assert_eq!(end.sent_close(code), reason);
            assert_eq!(end.connection.state(), ConnectionState::Closing);
            end.delivers_nothing();
            end.peer_hangs_up();
            let info = end.is_finished();
            assert!(info.is_clean());
            assert_eq!((info.initiator, info.error), (Initiator::Remote, None));
            assert_eq!((info.code(), info.reason()), (code, reason));
            assert_eq!(info.sent, info.received);
        });
    }
}

#[test]
fn an_empty_close_is_answered_with_an_empty_close() {
    both(|mut end| {
        end.receives([empty_close()]);
        end.sent_empty_close();
        end.sends_nothing();
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!(info.code(), 1005);
    });
}

#[test]
fn the_longest_reason_is_echoed_in_full() {
    let reason = "r".repeat(123);
    both(|mut end| {
        end.receives([close(1000, &reason)]);
        assert_eq!(end.sent_close(1000), reason);
    });
}

#[test]
fn every_code_that_may_be_sent_is_echoed_and_every_other_is_answered_with_1002() {
    for code in 0..=u16::MAX {
        let role = if code % 2 == 0 { Role::Server } else { Role::Client };
        let mut end = Endpoint::new(role);
        end.receives([close(code, "")]);
        end.sent_close(if is_valid(code) { code } else { 1002 });
        assert_eq!(end.connection.close_info().unwrap().received.is_some(), is_valid(code));
    }
}

#[test]
fn an_invalid_close_frame_is_answered_by_its_first_fault() {
    let one_byte = frame(CLOSE, &[3]);
    for (bad, reply, fault) in [
        (one_byte, 1002, ProtocolError::ClosePayloadTooShort),
        (close(1005, ""), 1002, ProtocolError::InvalidCloseCode(1005)),
        (close(0, b"\xff"), 1002, ProtocolError::InvalidCloseCode(0)),
        (close(1000, b"\xfe\xff"), 1007, ProtocolError::InvalidCloseReason),
    ] {
        both(|mut end| {
            end.receives([bad.clone()]);
            assert_eq!(end.connection.close_info().unwrap().error, Some(fault.into()));
            end.fails_with(reply);
        });
    }
}

#[test]
fn a_ping_and_a_close_in_one_segment_are_both_answered() {
    both(|mut end| {
        end.receives([ping("last"), close(1000, "")]);
        end.delivers_ping(b"last");
        end.sent_pong(b"last");
        end.sent_close(1000);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn everything_after_a_close_is_ignored() {
    for behind in [text("late"), ping("late"), close(1001, "two"), frame(3, b""), text("x").masked_wrongly()]
    {
        both(|mut end| {
            end.receives([close(1000, "one"), behind.clone()]);
            assert_eq!(end.sent_close(1000), "one");
            end.receives([behind.clone()]);
            end.delivers_nothing();
            end.sends_nothing();
            end.peer_hangs_up();
            let info = end.is_finished();
            assert!(info.is_clean());
            assert_eq!(info.reason(), "one");
        });
    }
}

#[test]
fn after_our_close_the_connection_waits_for_the_peers_close() {
    both(|mut end| {
        end.closes(4000, "enough");
        assert_eq!(end.sent_close(4000), "enough");
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        assert_eq!(end.transport_action(), TransportAction::Continue);
        assert!(end.connection.wants_read());
        end.delivers_nothing();
        end.receives([close(4000, "enough")]);
        end.sends_nothing();
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.error), (Initiator::Local, None));
        assert_eq!(info.sent, info.received);
    });
}

#[test]
fn the_answer_to_our_close_may_have_another_code() {
    both(|mut end| {
        end.closes(1000, "mine");
        end.receives([close(1001, "yours")]);
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.code(), info.reason()), (1001, "yours"));
        assert_eq!(info.sent.unwrap().reason.as_ref(), "mine");
        assert_eq!(end.sent_close(1000), "mine");
    });
}

#[test]
fn after_our_close_messages_are_discarded_until_the_peers_close() {
    both(|mut end| {
        end.closes(1000, "");
        end.receives([text("late"), text("la").not_final(), continuation("ter")]);
        end.receives([text([b'x'; 100_000])]);
        end.delivers_nothing();
        end.receives([text("half").not_final(), close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
        end.sent_close(1000);
    });
}

#[test]
fn our_close_is_sent_after_earlier_messages() {
    both(|mut end| {
        end.connection.send(MessageKind::Text, b"data", &mut end.tx).unwrap();
        end.connection.ping(b"ping", &mut end.tx).unwrap();
        end.closes(1000, "");
        end.sent_text("data");
        end.sent_ping(b"ping");
        end.sent_close(1000);
    });
}

#[test]
fn a_close_without_code_is_empty() {
    both(|mut end| {
        end.connection.close_without_code(end.now, &mut end.tx);
        end.drive();
        end.sent_empty_close();
        end.receives([empty_close()]);
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!(info.sent.unwrap().code, None);
    });
}

#[test]
fn crossing_closes_complete_the_handshake() {
    both(|mut end| {
        end.closes(1000, "ours");
        end.receives([close(3000, "theirs")]);
        assert_eq!(end.sent_close(1000), "ours");
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!(info.code(), 3000);
    });
}

#[test]
fn a_violation_after_our_close_sends_no_second_close() {
    for bad in [frame(3, b""), continuation("x"), text(b"\xff"), close(1005, ""), ping("x").not_final()] {
        both(|mut end| {
            end.closes(1000, "");
            end.receives([bad.clone()]);
            end.sent_close(1000);
            end.peer_hangs_up();
            end.sends_nothing();
            let info = end.is_finished();
            assert!(!info.is_clean());
            assert_eq!(info.initiator, Initiator::Local);
        });
    }
}

#[test]
fn a_second_close_has_no_effect() {
    both(|mut end| {
        end.closes(1000, "first");
        end.closes(1001, "second");
        assert_eq!(end.sent_close(1000), "first");
    });
    both(|mut end| {
        end.receives([close(1000, "theirs")]);
        end.closes(1001, "too late");
        assert_eq!(end.sent_close(1000), "theirs");
        end.peer_hangs_up();
        assert_eq!(end.is_finished().initiator, Initiator::Remote);
        end.closes(1001, "much too late");
        end.sends_nothing();
    });
}

#[test]
fn nothing_can_be_sent_once_a_close_was_sent_or_received() {
    fn refuses_everything(end: &mut Endpoint) {
        let Endpoint { connection, tx, .. } = end;
        let refused = Err(SendError::Closed(()));
        assert_eq!(connection.send(MessageKind::Text, b"x", tx), refused);
        let refused = connection.send_bytes(MessageKind::Binary, "kept".into(), Notify::Yes, tx).unwrap_err();
        assert_eq!(refused, SendError::Closed("kept".into()));
        let refused = connection.send_message("kept".into(), Notify::No, tx).unwrap_err();
        assert_eq!(refused.into_payload().as_text(), Some("kept"));
        assert_eq!(connection.ping(b"x", tx), Err(ControlError::Closed));
        assert_eq!(connection.pong(b"x", tx), Err(ControlError::Closed));
        end.drive();
        end.sends_nothing();
        assert_eq!(end.completions, []);
    }
    both(|mut end| {
        end.closes(1000, "");
        end.sent_close(1000);
        refuses_everything(&mut end);
        end.receives([close(1000, "")]);
        refuses_everything(&mut end);
        end.peer_hangs_up();
        refuses_everything(&mut end);
    });
    both(|mut end| {
        end.receives([empty_close()]);
        end.sent_empty_close();
        refuses_everything(&mut end);
    });
    both(|mut end| {
        end.receives([frame(3, b"")]);
        end.sent_close(1002);
        refuses_everything(&mut end);
    });
}

#[test]
fn exactly_the_valid_close_codes_can_be_sent() {
    for code in 0..=u16::MAX {
        match CloseCode::new(code) {
            Ok(_) => assert!(is_valid(code), "{code}"),
            Err(error) => assert!(error == CloseError::InvalidCode(code) && !is_valid(code), "{code}"),
        }
    }
    for code in [1000, 1003, 1007, 1014, 3000, 4000, 4999] {
        both(|mut end| {
            end.closes(code, "why");
            assert_eq!(end.sent_close(code), "why");
        });
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    both(|mut end| {
        end.closes(1000, &"€".repeat(67));
        assert_eq!(end.sent_close(1000), "€".repeat(41));
    });
    both(|mut end| {
        end.closes(1000, &["a", &"€".repeat(67)].concat());
        assert_eq!(end.sent_close(1000), ["a", &"€".repeat(40)].concat());
    });
}

#[test]
fn the_server_closes_the_transport_first() {
    let mut server = Endpoint::new(Role::Server);
    server.receives([close(1000, "")]);
    assert_eq!(server.transport_action(), TransportAction::ShutDownWrite);
    assert!(server.connection.wants_read(), "it must read the rest");

    let mut client = Endpoint::new(Role::Client);
    client.receives([close(1000, "")]);
    assert_eq!(
        client.transport_action(),
        TransportAction::Continue,
        "the client must wait for the server's FIN"
    );
    client.peer_hangs_up();
    client.is_finished();
}

#[test]
fn the_server_closes_the_transport_first_if_either_side_starts_the_close() {
    let mut server = Endpoint::new(Role::Server);
    server.closes(1000, "");
    assert_eq!(server.transport_action(), TransportAction::Continue);
    server.receives([close(1000, "")]);
    assert_eq!(server.transport_action(), TransportAction::ShutDownWrite);

    let mut client = Endpoint::new(Role::Client);
    client.closes(1000, "");
    client.receives([close(1000, "")]);
    assert_eq!(client.transport_action(), TransportAction::Continue);
}

#[test]
fn after_a_violation_either_side_shuts_down_its_write_half_and_keeps_reading() {
    both(|mut end| {
        end.receives([frame(3, b"")]);
        assert_eq!(end.transport_action(), TransportAction::ShutDownWrite);
        assert!(end.connection.wants_read());
    });
}

#[test]
fn the_write_half_stays_open_until_the_close_is_written() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([frame(3, b"")]);
        assert_eq!(end.transport_action(), TransportAction::Continue);
        end.transport_takes(3);
        assert_eq!(end.transport_action(), TransportAction::Continue);
        end.transport_flows();
        end.sent_close(1002);
        assert_eq!(end.transport_action(), TransportAction::ShutDownWrite);
    });
}
