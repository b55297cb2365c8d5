//! What a server has now: connections, handshakes, and memory. And the handshakes that its shutdown ends.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, close_normally, echo_test, echo_test_with, start_echo};
use ws_server::{
    Server, ServerBuilder,
    proxy::{Networks, ProxyProtocol},
    stats::{HandshakeFailures, ServerStats},
};

const KIB: usize = 1024;

#[test]
fn open_connections_and_handshakes_in_progress_are_those_of_this_moment() {
    let now = |stats: &ServerStats| (stats.connections, stats.handshakes.active);
    echo_test(async |server| {
        assert_eq!(now(&server.stats()), (0, 0));
        let (mut first, second) = (server.connect().await, server.connect().await);
        server.wait_for_stats(|stats| now(stats) == (0, 2)).await;
        first.upgrade("/").await;
        server.wait_for_stats(|stats| now(stats) == (1, 1)).await;
        drop(second);
        server.wait_for_stats(|stats| now(stats) == (1, 0)).await;
        close_normally(first).await;
        let stats = server.wait_for_stats(|stats| now(stats) == (0, 0)).await;
        assert_eq!((stats.handshakes.accepted, stats.handshakes.failed.transport), (1, 1));
    });
}

async fn begin_message(client: &mut RawClient, len: usize) {
    client.send(RawFrame::binary(vec![0; len]).not_final()).await;
}

#[test]
fn memory_is_what_connections_hold_and_nothing_once_they_have_ended() {
    let budgeted =
        |builder: ServerBuilder| builder.max_message_size(1024 * KIB).memory_budget(Some(8 * 1024 * KIB));
    echo_test_with(budgeted, async |server| {
        assert_eq!(server.stats().memory_used, 0);
        let mut clients = [server.open().await, server.open().await];
        let mut before = 0;
        for (number, client) in clients.iter_mut().enumerate() {
            begin_message(client, 800 * KIB).await;
            // All of it has arrived, and memory for the rest of the message may be reserved already.
            let (least, most) = ((number + 1) * 800 * KIB, (number + 1) * 1600 * KIB);
            let range = least as u64..=most as u64;
            let stats = server.wait_for_stats(|stats| range.contains(&stats.memory_used)).await;
            assert!(stats.memory_used > before);
            before = stats.memory_used;
        }
        assert_eq!(server.stats().memory_used, server.handle().memory_used() as u64);
        let [first, second] = clients;
        drop(first);
        server.wait_for_stats(|stats| stats.memory_used < before && stats.memory_used > 0).await;
        drop(second);
        server.wait_for_connections(0).await;
        server.wait_for_stats(|stats| stats.memory_used == 0).await;
    });
    let unlimited = |builder: ServerBuilder| builder.memory_budget(None);
    echo_test_with(unlimited, async |server| {
        let mut client = server.open().await;
        begin_message(&mut client, 800 * KIB).await;
        let received = |stats: &ServerStats| stats.received.wire_bytes > 800 * KIB as u64;
        assert_eq!(server.wait_for_stats(received).await.memory_used, 0);
    });
}

fn failed(failures: HandshakeFailures) -> [u64; 6] {
    let HandshakeFailures { timed_out, transport, tls, proxy, overload, shutdown, .. } = failures;
    [timed_out, transport, tls, proxy, overload, shutdown]
}

#[test]
fn a_bad_header_of_the_proxy_protocol_is_counted() {
    let behind_proxy = |builder: ServerBuilder| {
        builder.proxy_protocol(ProxyProtocol::from_proxies("127.0.0.0/8".parse::<Networks>().unwrap()))
    };
    echo_test_with(behind_proxy, async |server| {
        for number in 1..=2 {
            let mut client = server.connect().await;
            client.send_bytes("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
            client.expect_end().await;
            let stats = server.wait_for_stats(|stats| stats.handshakes.failed.total() == number).await;
            assert_eq!(failed(stats.handshakes.failed), [0, 0, 0, number, 0, 0]);
        }
    });
}

#[test]
fn handshakes_that_a_shutdown_ends_are_counted() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut silent = [server.connect().await, server.connect().await];
            silent[1].send_bytes("GET / HTTP/1.1\r\n").await;
            server.wait_for_handshakes(2).await;
            let stats = server.stats_handle();
            server.stop().await;
            let stats = stats.snapshot();
            assert_eq!((failed(stats.handshakes.failed), stats.handshakes.active), ([0, 0, 0, 0, 0, 2], 0));
            assert_eq!((stats.handshakes.accepted, stats.connections), (0, 0));
            drop(silent);
        }
    });
}
