//! The effect of each option of `echo-server`, with both APIs.

use std::time::{Duration, Instant};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};

use crate::program::Program;

/// Runs `test` against a server with these options, once with each API.
fn with(args: &[&str], test: impl AsyncFn(&str)) {
    harness::run(async {
        for api in ["handler", "async"] {
            let (_server, addr) = Program::echo_server(&[args, &["--api", api]].concat());
            test(&addr).await;
        }
    });
}

async fn connect(addr: &str) -> RawClient {
    RawClient::connect(addr.parse().expect("an address")).await
}

async fn open(addr: &str) -> RawClient {
    RawClient::open(addr.parse().expect("an address"), "/").await
}

#[test]
fn listen_accepts_an_ipv6_address() {
    with(&["--listen", "[::1]:0"], async |addr| {
        assert!(addr.starts_with("[::1]:"), "{addr}");
        open(addr).await.send(RawFrame::close(1000, "")).await;
    });
}

#[test]
fn max_message_size() {
    with(&["--max-message-size", "10"], async |addr| {
        let mut client = open(addr).await;
        client.send(RawFrame::text("ten bytes.")).await;
        client.expect_text("ten bytes.").await;
        client.send(RawFrame::text("one too many")).await;
        client.expect_close(1009).await;
    });
}

#[test]
fn max_connections() {
    with(&["--max-connections", "1"], async |addr| {
        let mut first = open(addr).await;
        let mut second = connect(addr).await;
        let head = second.upgrade_with(second.request("/").to_bytes()).await;
        assert_eq!(head.status(), 503);
        first.send(RawFrame::text("still here")).await;
        first.expect_text("still here").await;
    });
}

#[test]
fn max_handshakes() {
    with(&["--max-handshakes", "1"], async |addr| {
        let mut slow = connect(addr).await;
        slow.send_bytes("GET / HTTP/1.1\r\n").await;
        // The first connection holds the only handshake permit, even if the server has not read its bytes
        // yet.
        let mut second = connect(addr).await;
        let head = second.upgrade_with(second.request("/").to_bytes()).await;
        assert_eq!(head.status(), 503);
    });
}

#[test]
fn handshake_timeout_ms() {
    with(&["--handshake-timeout-ms", "100"], async |addr| {
        let time = async || {
            let mut silent = connect(addr).await;
            let started = Instant::now();
            silent.expect_eof().await;
            started.elapsed()
        };
        // The default is ten seconds. A machine that stands still may take as long now and then.
        while time().await >= Duration::from_secs(5) {}
    });
}

#[test]
fn idle_timeout_ms() {
    with(&["--idle-timeout-ms", "100"], async |addr| {
        let mut client = open(addr).await;
        client.expect_close(1001).await;
    });
}

#[test]
fn close_timeout_ms() {
    with(&["--close-timeout-ms", "100", "--idle-timeout-ms", "100"], async |addr| {
        let time = async || {
            let mut client = open(addr).await;
            client.expect_close(1001).await;
            let started = Instant::now();
            client.expect_end().await;
            started.elapsed()
        };
        // The default is five seconds.
        while time().await >= Duration::from_secs(4) {}
    });
}

#[test]
fn write_queue_messages() {
    with(&["--write-queue-messages", "1"], async |addr| {
        let client = open(addr).await;
        let (mut reader, mut writer) = client.into_connection().split();
        // The echoes exceed the write queue, so the server must wait for the reader. No message may be lost.
        let payload = |number: u8| vec![number; 100_000];
        let writing = async {
            for number in 0..200 {
                writer.send(RawFrame::binary(payload(number))).await;
            }
        };
        let reading = async {
            for number in 0..200 {
                reader.expect_binary(&payload(number)).await;
            }
        };
        tokio::join!(writing, reading);
    });
}

#[test]
fn no_utf8() {
    harness::run(async {
        // An owned message is binary if its text is no UTF-8.
        for (api, expected) in [("handler", RawFrame::text([0xFF])), ("async", RawFrame::binary([0xFF]))] {
            let (_server, addr) = Program::echo_server(&["--no-utf8", "--api", api]);
            let mut client = open(&addr).await;
            client.send(RawFrame::text([0xFF])).await;
            let echo = client.recv_frame().await;
            assert!(echo == expected, "{api}: {echo:?}");
        }
    });
    with(&[], async |addr| {
        let mut client = open(addr).await;
        client.send(RawFrame::text([0xFF])).await;
        client.expect_close(1007).await;
    });
}

#[test]
fn subprotocol() {
    with(&["--subprotocol", "v2", "--subprotocol", "v1"], async |addr| {
        for (offered, chosen) in [("v1", Some("v1")), ("v3, v1, v2", None), ("v3", None)] {
            let mut client = connect(addr).await;
            let request = client.request("/").with("Sec-WebSocket-Protocol", offered);
            let head = client.upgrade_with(request.to_bytes()).await;
            assert_eq!(head.status(), 101);
            let found = head.header("Sec-WebSocket-Protocol");
            match chosen {
                Some(_) => assert_eq!(found, chosen),
                // If several subprotocols match, either may be selected. If none matches, none is selected.
                None => assert_eq!(found.is_some(), offered.contains("v2"), "{offered}: {found:?}"),
            }
        }
    });
}

#[test]
fn every_origin_is_accepted() {
    with(&[], async |addr| {
        let mut client = connect(addr).await;
        let request = client.request("/").with("Origin", "https://other.example");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 101);
    });
}
