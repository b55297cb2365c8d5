//! Every send that asked for a report gets exactly one, in the order of the sends, and before `Closed`.

use std::io::ErrorKind;

use crate::{
    Completion::{self, CutOff, Written},
    Event, MessageKind, Notify,
};

use super::{
    endpoint::{Endpoint, SECOND, both, both_with, config},
    wire::{close, text},
};

#[track_caller]
fn reports(end: &mut Endpoint, expected: &[Completion]) {
    assert_eq!(std::mem::take(&mut end.completions), expected);
}

#[test]
fn a_send_is_reported_once_its_last_byte_is_written() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("payload");
        let length = end.tx.len();
        end.transport_takes(length - 1);
        reports(&mut end, &[]);
        end.transport_takes(1);
        reports(&mut end, &[Written]);
        end.transport_flows();
        reports(&mut end, &[]);
    });
}

#[test]
fn an_empty_message_is_reported_too() {
    both(|mut end| {
        end.sends_owned("");
        reports(&mut end, &[Written]);
        end.transport_blocks();
        end.sends_text("stuck");
        end.sends_owned("");
        reports(&mut end, &[]);
        end.transport_flows();
        reports(&mut end, &[Written]);
    });
}

#[test]
fn only_a_send_that_asked_gets_a_report() {
    both(|mut end| {
        end.connection.send_bytes(MessageKind::Text, "silent".into(), Notify::No, &mut end.tx).unwrap();
        end.connection.send_message("silent".into(), Notify::No, &mut end.tx).unwrap();
        end.sends_text("silent");
        end.sends_ping(b"silent");
        reports(&mut end, &[]);
        end.sends_owned("told");
        reports(&mut end, &[Written]);
    });
}

#[test]
fn each_of_many_sends_is_reported() {
    both(|mut end| {
        end.transport_blocks();
        for at in 0..50 {
            end.sends_owned(vec![at; 3000]);
            end.sends_text("unreported");
        }
        for _ in 0..20 {
            end.transport_takes(4000);
        }
        let early = end.completions.len();
        assert!((10..50).contains(&early), "{early}");
        end.transport_flows();
        reports(&mut end, &[Written; 50]);
    });
}

#[test]
fn a_disconnect_cuts_off_what_is_not_written() {
    both(|mut end| {
        end.sends_owned("written");
        end.transport_blocks();
        end.sends_owned(vec![0; 1000]);
        end.sends_owned("waits");
        end.sends_text("waits");
        end.transport_takes(500);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        reports(&mut end, &[Written, CutOff, CutOff]);
        end.is_finished();
    });
}

#[test]
fn the_write_timeout_cuts_off_what_is_not_written() {
    both_with(&config(|config| config.write_timeout = Some(SECOND)), |mut end| {
        end.transport_blocks();
        end.sends_owned("one");
        end.sends_owned("two");
        end.closes(1000, "");
        end.passes(SECOND);
        reports(&mut end, &[CutOff, CutOff]);
        end.is_finished();
    });
}

#[test]
fn our_close_cuts_off_no_message_that_can_still_be_written() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("one");
        end.sends_owned("two");
        end.closes(1000, "");
        end.transport_flows();
        reports(&mut end, &[Written, Written]);
    });
}

#[test]
fn the_peers_close_cuts_off_messages_that_were_not_started() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("begun");
        end.sends_owned("dropped");
        end.sends_owned("dropped");
        end.receives([close(1000, "")]);
        end.transport_flows();
        reports(&mut end, &[Written, CutOff, CutOff]);
        end.peer_hangs_up();
        end.is_finished();
    });
}

#[test]
fn reports_arrive_in_the_order_of_the_sends() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("begun");
        end.sends_owned("dropped");
        end.receives([close(1000, "")]);
        // The second message is lost already, but the first may still be written.
        reports(&mut end, &[]);
        end.transport_flows();
        reports(&mut end, &[Written, CutOff]);
    });
}

#[test]
fn closed_waits_until_every_report_is_taken() {
    both(|mut end| {
        end.transport_blocks();
        end.connection.send_bytes(MessageKind::Text, "x".into(), Notify::Yes, &mut end.tx).unwrap();
        let Endpoint { connection, rx, tx, .. } = &mut end;
        connection.abort(tx);
        assert!(connection.poll_event(rx, tx).is_none());
        assert_eq!(connection.poll_completion(tx), Some(CutOff));
        assert_eq!(connection.poll_completion(tx), None);
        assert!(matches!(connection.poll_event(rx, tx), Some(Event::Closed(_))));
    });
}

#[test]
fn closed_waits_until_every_report_of_a_written_send_is_taken() {
    both(|mut end| {
        end.connection.send_bytes(MessageKind::Text, "x".into(), Notify::Yes, &mut end.tx).unwrap();
        let Endpoint { connection, rx, tx, .. } = &mut end;
        bytes::Buf::advance(tx, tx.len());
        connection.handle_transport_error(ErrorKind::ConnectionReset, tx);
        assert!(connection.poll_event(rx, tx).is_none());
        assert_eq!(connection.poll_completion(tx), Some(Written));
        assert_eq!(connection.poll_completion(tx), None);
        assert!(matches!(connection.poll_event(rx, tx), Some(Event::Closed(_))));
    });
}

#[test]
fn a_report_does_not_wait_for_the_peer() {
    both(|mut end| {
        end.receives([text("unfinished").not_final()]);
        end.sends_owned("x");
        end.sent_binary("x");
        reports(&mut end, &[Written]);
        end.is_open();
    });
}
