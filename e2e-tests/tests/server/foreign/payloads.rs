//! Payloads with a destructor of the application.

use super::{Make, WAYS, Way, expect_echo, expect_payload, explode, in_every_way, payload, run, start};
use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, close_normally};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use ws_server::Server;

#[test]
fn a_payload_whose_destructor_panics_once_it_is_written_harms_no_other_connection() {
    run(in_every_way(async |api, way, len| {
        let make: Make = Arc::new(move |_| payload(len, explode));
        let server = start(api, Server::builder(), way, make).await;
        let (mut client, mut other) = (server.open().await, server.open().await);
        for _ in 0..3 {
            client.send(RawFrame::text("go")).await;
            if way == Way::Prepared {
                // The application drops the last owner in the callback, so the connection ends with 1011.
                break;
            }
            expect_payload(&mut client, len).await;
        }
        expect_echo(&mut other).await;
        if way == Way::Prepared {
            drop(client);
        } else {
            expect_echo(&mut client).await;
            close_normally(client).await;
        }
        close_normally(other).await;
        server.expect_alive().await;
        server.stop().await;
    }));
}

#[test]
fn payloads_whose_destructors_panic_when_they_are_cut_off_harm_no_other_connection() {
    run(async {
        for api in Api::ALL {
            for way in [Way::Send, Way::Sender] {
                let make: Make = Arc::new(move |_| payload(100_000, explode));
                let server = start(
                    api,
                    Server::builder().write_queue_messages(100).write_queue_bytes(10_000_000),
                    way,
                    make,
                )
                .await;
                let mut other = server.open().await;
                for shuts_down in [false, true] {
                    let mut client = server.open_slow().await;
                    for _ in 0..10 {
                        client.send(RawFrame::text("go")).await;
                    }
                    // They wait behind earlier messages.
                    client.send(RawFrame::ping("")).await;
                    expect_echo(&mut other).await;
                    if !shuts_down {
                        client.into_connection().reset();
                        server.wait_for_connections(1).await;
                        expect_echo(&mut other).await;
                        continue;
                    }
                    let handle = server.handle().clone();
                    let report = tokio::join!(handle.shutdown(Duration::ZERO), async {
                        while other.try_recv_frame().await.is_ok() {}
                        client.into_connection().reset();
                    });
                    assert!(report.0.forced);
                    break;
                }
                server.stop_within(Duration::ZERO).await;
            }
        }
    });
}

/// Checks a payload whose destructor sends "dropped" on its own connection.
fn sends(len: usize) -> Make {
    Arc::new(move |sender| {
        let own = sender.clone();
        payload(len, move || {
            assert!(own.is_open());
            own.try_send("dropped").unwrap();
        })
    })
}

#[test]
fn a_payload_may_use_its_own_connection_when_it_is_dropped() {
    harness::run(in_every_way(async |api, way, len| {
        let server = start(api, Server::builder(), way, sends(len)).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        let mut frames = [client.recv_frame().await.payload, client.recv_frame().await.payload];
        // The application drops the payload of a prepared message.
        frames.sort();
        let mut expected = [b"dropped".to_vec(), vec![b'p'; len]];
        expected.sort();
        assert_eq!(frames, expected);
        expect_echo(&mut client).await;
        close_normally(client).await;
        server.stop().await;
    }));
}

#[test]
fn a_payload_that_is_cut_off_may_use_its_own_connection_when_it_is_dropped() {
    harness::run(async {
        for api in Api::ALL {
            for way in WAYS {
                let dropped = Arc::new(AtomicUsize::new(0));
                let counted = Arc::clone(&dropped);
                let make: Make = Arc::new(move |sender| {
                    let (own, dropped) = (sender.clone(), Arc::clone(&counted));
                    payload(1_000_000, move || {
                        let _ = own.is_open();
                        let _ = own.try_send("dropped");
                        dropped.fetch_add(1, SeqCst);
                    })
                });
                let server = start(
                    api,
                    Server::builder().write_queue_messages(100).write_queue_bytes(100_000_000),
                    way,
                    make,
                )
                .await;
                let mut client = server.open_slow().await;
                for _ in 0..20 {
                    client.send(RawFrame::text("go")).await;
                }
                client.send(RawFrame::ping("")).await;
                let mut other = server.open().await;
                expect_echo(&mut other).await;
                client.into_connection().reset();
                server.wait_for_connections(1).await;
                expect_echo(&mut other).await;
                close_normally(other).await;
                server.stop().await;
                assert!(dropped.load(SeqCst) > 0);
            }
        }
    });
}
