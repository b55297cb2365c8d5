//! Prepared messages.

use crate::{Completion, Notify, PreparedMessage, Role, error::SendError};

use super::{
    super::endpoint::Endpoint, Reader, both, endpoint, noise, prose, with_takeover, without_takeover,
};

#[test]
fn a_prepared_message_is_compressed_once() {
    let config = without_takeover();
    for len in [1000, 100_000] {
        let prepared = PreparedMessage::new(String::from_utf8(prose(len)).unwrap());
        let mut wires = Vec::new();
        for _ in 0..2 {
            let mut end = endpoint(Role::Server, &config);
            end.connection.send_prepared(&prepared, Notify::Yes, &mut end.tx).unwrap();
            end.drive();
            wires.push(end.outbound.bytes.clone());
            assert_eq!(Reader::new(&config).read(&mut end).0, prose(len));
            assert_eq!(end.completions, [Completion::Written]);
        }
        assert_eq!(wires[0], wires[1]);
    }
}

#[test]
fn a_prepared_message_can_be_sent_on_every_connection() {
    let message = String::from_utf8(prose(5000)).unwrap();
    let prepared = PreparedMessage::new(message.as_str());
    let send = |end: &mut Endpoint| {
        end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
        end.drive();
    };
    // Both roles with takeover, without takeover, and without compression.
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            let mut reader = Reader::new(&config);
            for _ in 0..2 {
                send(&mut end);
                assert_eq!(reader.read(&mut end).0, prose(5000));
            }
        });
    }
    super::super::endpoint::both(|mut end| {
        send(&mut end);
        end.sent_text(&message);
        end.transport_blocks();
        send(&mut end);
        end.transport_flows();
        end.sent_text(&message);
    });
    let config = without_takeover();
    both(&config, |mut end| {
        end.connection.set_compression(false);
        send(&mut end);
        end.sent_text(&message);
        end.connection.set_compression(true);
        end.transport_blocks();
        send(&mut end);
        end.transport_flows();
        assert_eq!(Reader::new(&config).read(&mut end).0, prose(5000));
    });
}

#[test]
fn a_prepared_message_may_stay_uncompressed() {
    both(&without_takeover(), |mut end| {
        for payload in [prose(1000), prose(100_000)] {
            let prepared = PreparedMessage::uncompressed(payload.clone());
            end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
            end.drive();
            end.sent_binary(payload);
        }
        let noise = PreparedMessage::new(noise(1000));
        end.connection.send_prepared(&noise, Notify::No, &mut end.tx).unwrap();
        end.drive();
        end.sent_binary(noise.payload());
    });
}

#[test]
fn a_prepared_message_is_refused_like_any_other() {
    both(&without_takeover(), |mut end| {
        end.closes(1000, "");
        let prepared = PreparedMessage::new("late");
        let error = end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap_err();
        assert_eq!(error, SendError::Closed(()));
    });
}
