//! Limits on connections and handshakes. A client over the limit is refused before the 101.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Event, Script, ServerRunner, close_normally, echo_test_with};
use http::StatusCode;
use std::net::IpAddr;
use ws_server::Server;

async fn expect_503(server: &ServerRunner) {
    expect_refusal(server.connect().await, 503).await;
}

async fn expect_refusal(mut client: RawClient, status: u16) {
    let request = client.request("/").to_bytes();
    let head = client.upgrade_with(request).await;
    assert_eq!((head.status(), head.header("Connection")), (status, Some("close")), "{head:?}");
    client.recv_body(&head).await;
    client.expect_eof().await;
}

async fn expect_echo(client: &mut RawClient) {
    client.send(RawFrame::text("still works")).await;
    client.expect_text("still works").await;
}

#[test]
fn a_full_server_answers_503_and_serves_those_it_has() {
    echo_test_with(
        |builder| builder.max_connections(2),
        async |server| {
            let (mut first, mut second) = (server.open().await, server.open().await);
            for _ in 0..3 {
                expect_503(server).await;
            }
            expect_echo(&mut first).await;
            expect_echo(&mut second).await;
            assert_eq!(server.handle().connections(), 2);
        },
    );
}

#[test]
fn a_place_that_becomes_free_is_used_again() {
    echo_test_with(
        |builder| builder.max_connections(1),
        async |server| {
            for _ in 0..5 {
                let mut client = server.open().await;
                expect_503(server).await;
                expect_echo(&mut client).await;
                close_normally(client).await;
                server.wait_for_connections(0).await;
                drop(server.open().await);
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn a_full_server_does_not_ask_the_application() {
    harness::run(async {
        let mut server = Script::new().start(Server::builder().max_connections(1)).await;
        let client = server.open().await;
        expect_503(&server).await;
        server.expect(Event::Opened).await;
        close_normally(client).await;
        server.expect_closed().await;
        let (_, rest) = server.stop_and_drain().await;
        assert_eq!(rest, []);
    });
}

#[test]
fn of_two_that_race_for_one_place_one_gets_it() {
    echo_test_with(
        |builder| builder.max_connections(1),
        async |server| {
            let mut clients = [server.connect().await, server.connect().await];
            for client in &mut clients {
                let request = client.request("/").to_bytes();
                client.send_bytes(request).await;
            }
            let mut statuses = Vec::new();
            for client in &mut clients {
                statuses.push(client.recv_head().await.status());
                if statuses.last() == Some(&101) {
                    expect_echo(client).await;
                }
            }
            statuses.sort_unstable();
            assert_eq!(statuses, [101, 503]);
        },
    );
}

#[test]
fn a_rejected_request_takes_no_place() {
    harness::run(async {
        let script = Script::new().accept(|request| match request.path() {
            "/no" => Err(StatusCode::FORBIDDEN.into()),
            _ => Ok(()),
        });
        let server = script.start(Server::builder().max_connections(1)).await;
        for _ in 0..5 {
            let mut client = server.connect().await;
            let request = client.request("/no").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 403);
        }
        let mut client = server.open().await;
        client.send(RawFrame::ping("")).await;
        client.expect_pong(b"").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_handshake_too_many_is_503_and_a_place_becomes_free_when_one_ends() {
    echo_test_with(
        |builder| builder.max_handshakes(2),
        async |server| {
            let (silent, mut slow) = (server.connect().await, server.connect().await);
            server.wait_for_handshakes(2).await;
            expect_503(server).await;
            slow.upgrade("/").await;
            server.wait_for_handshakes(1).await;
            // An open connection does not count as a handshake.
            let mut third = server.open().await;
            expect_echo(&mut third).await;
            expect_echo(&mut slow).await;
            server.wait_for_handshakes(1).await;
            drop(silent);
            server.wait_for_handshakes(0).await;
        },
    );
}

#[test]
fn the_counts_are_those_of_all_shards() {
    harness::run(async {
        let server = Script::new().start_sharded(Server::builder().max_connections(3), 2).await;
        let clients = [server.open().await, server.open().await, server.open().await];
        assert_eq!(server.handle().connections(), 3);
        expect_503(&server).await;
        drop(clients);
        server.wait_for_connections(0).await;
        server.expect_alive().await;
        server.stop().await;
    });
}

async fn connect_from(server: &ServerRunner, host: u8) -> RawClient {
    RawClient::connect_from(IpAddr::from([127, 0, 0, host]), server.addr()).await
}

#[test]
fn an_address_has_no_more_than_its_share_of_connections() {
    echo_test_with(
        |builder| builder.max_connections_per_address(2),
        async |server| {
            let mut greedy = [connect_from(server, 2).await, connect_from(server, 2).await];
            for client in &mut greedy {
                client.upgrade("/").await;
            }
            expect_refusal(connect_from(server, 2).await, 429).await;
            let mut modest = connect_from(server, 3).await;
            modest.upgrade("/").await;
            expect_echo(&mut modest).await;
            let [first, mut second] = greedy;
            close_normally(first).await;
            server.wait_for_connections(2).await;
            let mut again = connect_from(server, 2).await;
            again.upgrade("/").await;
            expect_echo(&mut again).await;
            expect_echo(&mut second).await;
        },
    );
}

#[test]
fn an_address_has_no_more_than_its_share_of_handshakes() {
    echo_test_with(
        |builder| builder.max_connections_per_address(2),
        async |server| {
            let silent = [connect_from(server, 2).await, connect_from(server, 2).await];
            server.wait_for_handshakes(2).await;
            expect_refusal(connect_from(server, 2).await, 429).await;
            let mut modest = connect_from(server, 3).await;
            modest.upgrade("/").await;
            expect_echo(&mut modest).await;
            drop(silent);
            server.wait_for_handshakes(0).await;
            let mut again = connect_from(server, 2).await;
            again.upgrade("/").await;
            expect_echo(&mut again).await;
        },
    );
}
