//! When the destructor of a payload's owner runs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;

use crate::{CloseCode, MessageKind, Notify};

use super::endpoint::{Endpoint, both};

/// Lengths that are copied, masked in one piece, and masked or written in several pieces.
const LENGTHS: [usize; 4] = [0, 100, 20_000, 300_000];

struct Owner {
    bytes: Vec<u8>,
    drops: Arc<AtomicUsize>,
    panics: bool,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        assert!(!self.panics, "on purpose");
    }
}

fn payload(len: usize, drops: &Arc<AtomicUsize>, panics: bool) -> Bytes {
    Bytes::from_owner(Owner { bytes: vec![b'p'; len], drops: Arc::clone(drops), panics })
}

fn send(end: &mut Endpoint, payload: Bytes) {
    end.connection.send_bytes(MessageKind::Binary, payload, Notify::Yes, &mut end.tx).unwrap();
}

#[test]
fn a_payload_is_dropped_once_it_is_written() {
    for len in LENGTHS {
        both(|mut end| {
            let drops = Arc::default();
            send(&mut end, payload(len, &drops, false));
            end.transport_flows();
            assert_eq!(drops.load(SeqCst), 1, "{len}");
        });
    }
}

#[test]
fn a_driver_that_asks_for_it_drops_written_payloads_itself() {
    for len in LENGTHS {
        both(|mut end| {
            let drops = Arc::default();
            end.tx.keep_spent(true);
            send(&mut end, payload(len, &drops, false));
            end.transport_flows();
            assert_eq!(drops.load(SeqCst), 0, "{len}");
            assert!(end.tx.has_spent());
            assert_eq!(end.tx.drain_spent().count(), 1);
            assert_eq!(drops.load(SeqCst), 1, "{len}");
        });
    }
}

#[test]
fn a_driver_that_asks_for_it_drops_discarded_payloads_itself() {
    for len in LENGTHS {
        for end_of_it in 0..3 {
            both(|mut end| {
                let drops = Arc::default();
                end.tx.keep_spent(true);
                end.transport_blocks();
                end.connection.send(MessageKind::Text, b"first", &mut end.tx).unwrap();
                end.drive();
                for _ in 0..3 {
                    send(&mut end, payload(len, &drops, false));
                }
                match end_of_it {
                    0 => end.connection.abort(&mut end.tx),
                    1 => {
                        let kind = std::io::ErrorKind::ConnectionReset;
                        end.connection.handle_transport_error(kind, &mut end.tx);
                    }
                    _ => {
                        let error = crate::error::ConnectionError::Internal;
                        end.connection.fail(error, end.now, &mut end.tx);
                        end.connection.abort(&mut end.tx);
                    }
                }
                assert_eq!(drops.load(SeqCst), 0, "{len}");
                assert_eq!(end.tx.drain_spent().count(), 3, "{len}, {end_of_it}");
                assert_eq!(drops.load(SeqCst), 3);
            });
        }
    }
}

#[test]
fn memory_without_an_owner_is_freed_at_once() {
    both(|mut end| {
        end.tx.keep_spent(true);
        send(&mut end, Bytes::from(vec![0; 100_000]));
        end.transport_flows();
        assert!(!end.tx.has_spent());
    });
}

#[test]
fn a_panic_of_a_destructor_reaches_the_caller_and_leaves_the_connection_consistent() {
    for len in LENGTHS {
        both(|mut end| {
            let drops = Arc::default();
            let sent = catch_unwind(AssertUnwindSafe(|| {
                send(&mut end, payload(len, &drops, true));
                end.transport_flows();
            }));
            assert!(sent.is_err(), "{len}: the panic must reach the caller");
            end.transport_flows();
            assert_eq!(drops.load(SeqCst), 1);
            assert!(end.tx.is_empty(), "{len}");
            end.connection.close(CloseCode::NORMAL, "", end.now, &mut end.tx);
            end.transport_flows();
            assert!(end.tx.is_empty());
        });
    }
}
