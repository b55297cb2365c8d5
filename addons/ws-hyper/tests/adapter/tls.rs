//! Behind tokio-rustls: hyper cannot give up its stream, and ALPN decides between HTTP/1.1 and HTTP/2.

use e2e_tests::{
    harness,
    raw_peer::{RawFrame, RequestHead, Side},
};
use http::{StatusCode, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ws_client::{CloseCode, Message, error::ConnectError};
use ws_hyper::Upgrader;

use crate::{
    http2_client::expect_echo,
    tls_server::{Seen, TlsServer, connect_http2, connector},
};

#[test]
fn over_http_1_1_the_websocket_stays_inside_hyper() {
    harness::run(async {
        let mut server = TlsServer::start(Upgrader::default().over_tls(true)).await;
        let stream = server.connect(&["http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        drop(stream);
        let mut ws = connector(&server.files).connect(&format!("{}/ws", server.url("wss"))).await.unwrap();
        assert_eq!(server.seen.recv().await, Some(Seen { is_http2: false, is_tcp: false }));
        for message in [Message::from("hello"), Message::from(vec![7_u8; 8 << 20])] {
            ws.send(message.clone()).await.unwrap();
            assert_eq!(ws.recv().await, Some(message));
        }
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
    });
}

#[test]
fn over_http_2_each_stream_is_a_websocket() {
    harness::run(async {
        let mut server = TlsServer::start(Upgrader::default().over_tls(true)).await;
        let mut client = connect_http2(&server.files, server.addr.port()).await;
        let (mut one, mut other) = (client.open().await, client.open().await);
        for _ in 0..2 {
            assert_eq!(server.seen.recv().await, Some(Seen { is_http2: true, is_tcp: false }));
        }
        expect_echo(&mut one, "hello").await;
        expect_echo(&mut other, vec![7_u8; 8 << 20]).await;
        assert!(one.close(CloseCode::NORMAL, "").await.is_clean());
        expect_echo(&mut other, "still there").await;
        assert!(other.close(CloseCode::NORMAL, "").await.is_clean());
    });
}

#[test]
fn frames_in_the_tls_record_of_the_request_are_received() {
    harness::run(async {
        let server = TlsServer::start(Upgrader::default()).await;
        let mut stream = server.connect(&["http/1.1"]).await;
        let mut bytes = RequestHead::new("localhost", "/ws").to_bytes();
        bytes.extend(RawFrame::text("early").encode(Side::Client));
        bytes.extend(RawFrame::close(1000, "").encode(Side::Client));
        stream.write_all(&bytes).await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        let head_len = received.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(received.starts_with(b"HTTP/1.1 101 "));
        let mut expected = RawFrame::text("early").encode(Side::Server);
        expected.extend(RawFrame::close(1000, "").encode(Side::Server));
        assert_eq!(received[head_len..], expected);
    });
}

#[test]
fn pages_of_the_same_host_must_have_tls_too() {
    harness::run(async {
        let server = TlsServer::start(Upgrader::default().over_tls(true)).await;
        let mut client = connect_http2(&server.files, server.addr.port()).await;
        let (own, plain) = (server.url("https"), server.url("http"));
        for (origin, status) in [(&own, StatusCode::OK), (&plain, StatusCode::FORBIDDEN)] {
            let request = client.request().header(header::ORIGIN, origin);
            assert_eq!(client.send(request).await.status(), status, "{origin}");
        }
        let url = format!("{}/ws", server.url("wss"));
        let connector = connector(&server.files);
        connector.clone().header(header::ORIGIN, own).connect(&url).await.unwrap();
        match connector.header(header::ORIGIN, plain).connect(&url).await {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.status(), StatusCode::FORBIDDEN),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_shutdown_reaches_both_versions() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = TlsServer::start(upgrader.clone()).await;
        let mut client = connect_http2(&server.files, server.addr.port()).await;
        let mut second = client.open().await;
        let mut first = connector(&server.files).connect(&format!("{}/ws", server.url("wss"))).await.unwrap();
        // Both connections are served.
        expect_echo(&mut second, "hello").await;
        first.send("hello").await.unwrap();
        assert!(first.recv().await.is_some());
        let hour = std::time::Duration::from_secs(3600);
        let (report, one, two) = tokio::join!(upgrader.shutdown(hour), first.recv(), second.recv());
        assert_eq!((report.clean, report.unclean, one, two), (2, 0, None, None));
        for received in [first.close_info().unwrap().received, second.close_info().unwrap().received] {
            assert_eq!(received.unwrap().code, Some(CloseCode::GOING_AWAY));
        }
    });
}
