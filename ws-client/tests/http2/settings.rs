//! The HTTP/2 connection and the server's settings.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, time::Instant};
use ws_client::{Connector, error::ConnectError};

use crate::raw_server::{EXTENDED_CONNECT, Frame, HEADERS, RawServer};

#[tokio::test]
async fn settings_may_arrive_in_pieces() {
    let connector = Connector::new();
    let settings = Frame::settings(&EXTENDED_CONNECT).bytes();
    for split in 0..settings.len() {
        let (mut server, io) = RawServer::new();
        let sending = async {
            for part in [&settings[..split], &settings[split..]] {
                server.io.write_all(part).await.unwrap();
                // The client reads what is there before the rest comes.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let (http2, ()) = tokio::join!(connector.http2_on(io), sending);
        assert!(http2.unwrap().offers_websockets(), "split at {split}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_offer_extended_connect_gets_no_request() {
    // Nothing, the offer with the value 0, and another setting.
    for settings in [&[][..], &[0, 8, 0, 0, 0, 0], &[0, 4, 0, 1, 0, 0]] {
        let (mut server, http2) = RawServer::connected(settings).await;
        assert!(!http2.offers_websockets());
        let error = Connector::new().connect_http2("ws://example.com/", &http2).await.unwrap_err();
        assert!(matches!(error, ConnectError::ExtendedConnectNotOffered), "{error}");
        assert!(!error.is_temporary());
        drop(http2);
        let frames = server.receive_rest().await;
        assert!(!frames.is_empty());
        assert!(frames.iter().all(|frame| frame.kind != HEADERS), "{frames:?}");
    }
}

#[tokio::test]
async fn an_invalid_url_or_header_is_reported_and_nothing_is_sent() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let error = connector.connect_http2("https://example.com/", &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)), "{error}");
    let error = connector.clone().header("upgrade", "x").connect_http2("ws://a/", &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Request(_)), "{error}");
    let error = connector.write_queue_messages(0).connect_http2("ws://a/", &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Config(_)), "{error}");
    drop(http2);
    assert!(server.receive_rest().await.iter().all(|frame| frame.kind != HEADERS));
}

#[tokio::test]
async fn a_server_that_leaves_or_speaks_http_1_is_an_error() {
    for bytes in ["", "\0\0\x06\x04", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (mut server, io) = RawServer::new();
        server.io.write_all(bytes.as_bytes()).await.unwrap();
        server.io.shutdown().await.unwrap();
        let error = Connector::new().http2_on(io).await.unwrap_err();
        assert!(matches!(error, ConnectError::Http2(_) | ConnectError::Io(_)), "{bytes:?}: {error}");
        assert!(error.is_temporary());
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_do_not_arrive_in_time_are_an_error() {
    let (mut server, io) = RawServer::new();
    let settings = Frame::settings(&EXTENDED_CONNECT).bytes();
    server.io.write_all(&settings[..settings.len() - 1]).await.unwrap();
    let begin = Instant::now();
    let error = Connector::new().handshake_timeout(Duration::from_secs(3)).http2_on(io).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut(after) if after == Duration::from_secs(3)), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 3);
    server.read_preface().await;
    server.receive_rest().await;
}

#[test]
fn without_a_runtime_it_is_an_error() {
    let (_server, io) = RawServer::new();
    let connecting = std::pin::pin!(async { Connector::new().http2_on(io).await });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = connecting.poll(&mut cx) else { panic!("it waits") };
    assert!(matches!(result, Err(ConnectError::NoRuntime)));
}
