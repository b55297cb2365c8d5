//! Responses that a client gets from something other than a WebSocket server.

use crate::table::Row;
use crate::target_server::attack;
use e2e_tests::raw_peer::{RawAcceptor, RawFrame, Side, accept_key};
use std::time::Duration;
use ws_client::Connector;

const PROXIES: Row = Row::new(35, "proxies between client and server");

/// Invalid responses to a request with that key. A frame follows each; it would be a message if the client read it.
fn answers(key: &str) -> Vec<Vec<u8>> {
    let accept = accept_key(key);
    let good = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    let heads = [
        // Not the requested protocol.
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{}", good.split_once("\r\n").unwrap().1) + "\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n".to_owned(),
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.0 101 Switching Protocols\r\n{}", good.split_once("\r\n").unwrap().1) + "\r\n",
        // A 101 with an invalid header.
        good.replace(&accept, &accept_key("AAAAAAAAAAAAAAAAAAAAAA==")) + "\r\n",
        good.replace("Upgrade: websocket", "Upgrade: h2c") + "\r\n",
        good.replace("Connection: Upgrade", "Connection: close") + "\r\n",
        good.clone() + "Sec-WebSocket-Protocol: unasked\r\n\r\n",
        good.clone() + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        good.replace("\r\n", "\n") + "\n",
        good.clone() + " folded: line\r\n\r\n",
        // The stream ends before the head is complete.
        good.clone(),
        String::new(),
    ];
    let frame = RawFrame::text("smuggled").encode(Side::Server);
    heads
        .into_iter()
        .enumerate()
        .map(|(at, head)| {
            // The stream ends after the last two.
            if at < 12 { [head.as_bytes(), &frame].concat() } else { head.into_bytes() }
        })
        .collect()
}

#[test]
fn a_client_accepts_no_invalid_response() {
    attack(async || {
        let acceptor = RawAcceptor::bind();
        let connector = Connector::new();
        let (mut tried, mut accepted) = (0, 0);
        let count = answers("").len();
        let url = acceptor.url("/");
        for at in 0..count {
            let client = async {
                let connecting = connector.connect(&url);
                tokio::time::timeout(Duration::from_secs(10), connecting)
                    .await
                    .expect("a response, or the end of the stream")
            };
            let server = async {
                let mut server = acceptor.accept().await;
                let request = server.recv_head().await;
                let key = request.header("Sec-WebSocket-Key").unwrap().to_owned();
                server.send_bytes(&answers(&key)[at]).await;
                server.half_close().await;
                server
            };
            let (connected, _server) = tokio::join!(client, server);
            tried += 1;
            accepted += usize::from(connected.is_ok());
        }
        PROXIES.exactly(&format!("{tried} invalid responses: accepted by a client"), accepted, 0, "");
    });
}

#[test]
fn a_body_behind_a_101_is_not_a_message() {
    attack(async || {
        let acceptor = RawAcceptor::bind();
        let mut delivered = 0;
        let cases: [(&[&str], &[u8]); 3] = [
            (&["Content-Length: 5"], b"hello"),
            (&["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
            (&[], b"<html>hello</html>"),
        ];
        for (lines, body) in cases {
            let url = acceptor.url("/");
            let client = async {
                // Refused at once, or at the first bytes that are not a frame.
                let Ok(mut ws) = ws_client::connect(&url).await else { return 0 };
                let mut messages = 0;
                while ws.recv().await.is_some() {
                    messages += 1;
                }
                assert!(!ws.close_info().unwrap().is_clean());
                messages
            };
            let server = async {
                let mut server = acceptor.accept().await;
                server.upgrade_with(lines).await;
                let _ = server.writer.try_send_bytes(body).await;
                while server.try_recv_frame().await.is_ok() {}
            };
            delivered += tokio::join!(client, server).0;
        }
        PROXIES.exactly("a body behind a 101: delivered as messages", delivered, 0, "");
    });
}
