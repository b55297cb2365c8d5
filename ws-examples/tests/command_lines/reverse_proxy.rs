//! `reverse-proxy`: messages, subprotocols, refusals, and each way in which a connection ends.

use std::net::SocketAddr;

use e2e_tests::{
    harness,
    raw_peer::{RawAcceptor, RawClient, RawFrame, RawServer},
};

use crate::program::{Program, REVERSE_PROXY, run};

fn start(upstream: &str) -> (Program, SocketAddr) {
    let (proxy, addr) = Program::server(REVERSE_PROXY, &[upstream, "127.0.0.1:0"], "listening on ws://");
    (proxy, addr.parse().expect("an address"))
}

/// A client, the proxy, and the upstream server behind it.
async fn connected() -> (Program, RawClient, RawServer) {
    let acceptor = RawAcceptor::bind();
    let (proxy, addr) = start(&acceptor.url(""));
    let (client, server) = tokio::join!(RawClient::open(addr, "/"), acceptor.accept_upgraded());
    (proxy, client, server)
}

#[test]
fn messages_and_a_close_pass_in_both_directions() {
    harness::run(async {
        let (_proxy, mut client, mut server) = connected().await;
        client.send(RawFrame::text("to upstream")).await;
        server.expect_text("to upstream").await;
        server.send(RawFrame::binary([0xFF; 100_000])).await;
        client.expect_binary(&[0xFF; 100_000]).await;
        client.send(RawFrame::ping("p")).await;
        client.expect_pong(b"p").await;
        client.send(RawFrame::close(4001, "done")).await;
        assert_eq!(server.expect_close(4001).await, "done");
        server.send(RawFrame::close(4001, "")).await;
        client.expect_close(4001).await;
    });
}

#[test]
fn a_close_without_a_code_is_passed_on_as_one() {
    harness::run(async {
        let (_proxy, mut client, mut server) = connected().await;
        server.send(RawFrame::new(8, "")).await;
        client.expect_empty_close().await;
    });
}

#[test]
fn an_end_without_a_close_is_passed_on_without_a_close() {
    harness::run(async {
        let (_proxy, mut client, server) = connected().await;
        drop(server);
        client.expect_end().await;
    });
}

#[test]
fn the_path_the_subprotocol_and_the_origin_reach_upstream() {
    harness::run(async {
        let acceptor = RawAcceptor::bind();
        let (_proxy, addr) = start(&acceptor.url(""));
        let mut client = RawClient::connect(addr).await;
        let request = client
            .request("/chat?room=1")
            .with("Sec-WebSocket-Protocol", "v2, v1")
            .with("Origin", "https://elsewhere.example");
        let upstream = async {
            let mut server = acceptor.accept().await;
            let head = server.recv_head().await;
            assert_eq!(head.target(), "/chat?room=1");
            assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("v2, v1"));
            assert_eq!(head.header("Origin"), Some("https://elsewhere.example"));
            let key = head.header("Sec-WebSocket-Key").unwrap();
            let answer = e2e_tests::raw_peer::switching_protocols(key, &["Sec-WebSocket-Protocol: v1"]);
            server.send_bytes(answer).await;
            server
        };
        let (answer, _server) = tokio::join!(client.upgrade_with(request.to_bytes()), upstream);
        assert_eq!((answer.status(), answer.header("Sec-WebSocket-Protocol")), (101, Some("v1")));
    });
}

#[test]
fn a_client_gets_502_if_upstream_is_not_there() {
    harness::run(async {
        let (_proxy, addr) = start("ws://127.0.0.1:9/");
        let mut client = RawClient::connect(addr).await;
        assert_eq!(client.upgrade_with(client.request("/").to_bytes()).await.status(), 502);
    });
}

#[test]
fn a_wrong_command_line_is_refused_with_the_usage() {
    harness::run(async {
        let usage = "usage: reverse-proxy UPSTREAM_URL [ADDR]\n";
        run(REVERSE_PROXY, &["--help"]).await.assert(0, usage, "");
        run(REVERSE_PROXY, &[]).await.assert(2, "", usage);
        run(REVERSE_PROXY, &["--what"]).await.assert(2, "", "reverse-proxy: invalid option '--what'\n");
    });
}
