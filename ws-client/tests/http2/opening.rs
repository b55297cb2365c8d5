//! The request and the response to it.

use std::time::Duration;

use tokio::time::Instant;
use ws_client::{
    Connector,
    error::{ConnectError, Refusal, ResponseError},
    http2::Http2,
};

use crate::raw_server::{
    CANCEL, END_STREAM, EXTENDED_CONNECT, Frame, GOAWAY, RST_STREAM, RawServer, STATUS_200, STATUS_204,
    STATUS_404, field,
};

const URL: &str = "ws://example.com/";

/// Connects while the server answers the request with frames.
async fn answered(
    server: &mut RawServer,
    http2: &Http2,
    answer: impl AsyncFnOnce(&mut RawServer, u32),
) -> (u32, ConnectError) {
    let connector = Connector::new();
    let serving = async {
        let stream = server.request().await;
        answer(server, stream).await;
        stream
    };
    let (result, stream) = tokio::join!(connector.connect_http2(URL, http2), serving);
    (stream, result.unwrap_err())
}

fn refusal(error: ConnectError) -> Box<Refusal> {
    match error {
        ConnectError::Refused(refusal) => refusal,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_refusal_has_status_headers_and_body() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (_, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_404, &field("x-why", "no room"))).await;
        server.send(&Frame::data(stream, "not ")).await;
        server.send(&Frame::new(0, END_STREAM, stream, "here")).await;
    })
    .await;
    let refusal = refusal(error);
    assert_eq!((refusal.status().as_u16(), &refusal.body()[..]), (404, &b"not here"[..]));
    assert_eq!(refusal.headers()["x-why"], "no room");
}

#[tokio::test]
async fn a_refusal_whose_stream_is_reset_has_the_body_so_far() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (_, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_404, &[])).await;
        server.send(&Frame::data(stream, "part")).await;
        // The client has read the part once it has given its room back or once the stream ends.
        tokio::task::yield_now().await;
        server.send(&Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 2])).await;
    })
    .await;
    let refusal = refusal(error);
    assert_eq!(refusal.status(), 404);
    assert!(b"part".starts_with(refusal.body()));
}

#[tokio::test]
async fn a_large_body_of_a_refusal_is_cut_and_its_stream_is_reset() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (stream, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_404, &[])).await;
        for _ in 0..8 {
            server.send(&Frame::data(stream, vec![b'x'; 16 << 10])).await;
        }
    })
    .await;
    let length = refusal(error).body().len();
    assert!((60 << 10..=64 << 10).contains(&length), "{length}");
    assert_eq!(server.reset(stream).await, CANCEL);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_refusal_without_end_is_cut_at_the_deadline() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let begin = Instant::now();
    let (_, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_404, &[])).await;
        server.send(&Frame::data(stream, "body")).await;
    })
    .await;
    // The rest of the body does not come before the deadline.
    assert_eq!(&refusal(error).body()[..], b"body");
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn the_headers_of_frames_count_in_the_size_of_a_refusal() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (stream, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_404, &[])).await;
        for _ in 0..8000 {
            server.send(&Frame::data(stream, [b'x'])).await;
        }
    })
    .await;
    assert_eq!(refusal(error).body().len(), (64 << 10) / 10);
    assert_eq!(server.reset(stream).await, CANCEL);
}

#[tokio::test]
async fn another_2xx_than_200_is_a_refusal_without_a_body() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (stream, error) = answered(&mut server, &http2, async |server, stream| {
        server.send(&Frame::response(stream, STATUS_204, &[])).await;
    })
    .await;
    let refusal = refusal(error);
    assert_eq!((refusal.status().as_u16(), refusal.body().len()), (204, 0));
    assert_eq!(server.reset(stream).await, CANCEL);
}

#[tokio::test]
async fn a_choice_that_was_not_offered_is_an_error_and_resets_the_stream() {
    for (header, expected) in [
        (("sec-websocket-protocol", "never"), ResponseError::Subprotocol),
        (("sec-websocket-extensions", "permessage-x"), ResponseError::Extension),
    ] {
        let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
        let (stream, error) = answered(&mut server, &http2, async |server, stream| {
            server.send(&Frame::response(stream, STATUS_200, &field(header.0, header.1))).await;
        })
        .await;
        assert!(matches!(error, ConnectError::Response(error) if error == expected), "{error}");
        assert_eq!(server.reset(stream).await, CANCEL);
    }
}

#[tokio::test]
async fn a_reset_before_the_response_is_an_error_of_this_stream_only() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    // PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL.
    for code in [1, 2, 7, 8] {
        let (_, error) = answered(&mut server, &http2, async |server, stream| {
            server.send(&Frame::new(RST_STREAM, 0, stream, [0, 0, 0, code])).await;
        })
        .await;
        assert!(matches!(error, ConnectError::Http2(_)), "{error}");
        assert!(error.is_temporary());
    }
    assert!(!http2.is_closed());
}

#[tokio::test]
async fn after_goaway_the_connection_opens_nothing_more() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (_, error) = answered(&mut server, &http2, async |server, _| {
        // No stream was processed.
        server.send(&Frame::new(GOAWAY, 0, 0, [0; 8])).await;
    })
    .await;
    assert!(matches!(error, ConnectError::Http2(_)), "{error}");
    let error = Connector::new().connect_http2(URL, &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Http2(_)), "{error}");
    assert!(http2.is_closed());
}

#[tokio::test]
async fn a_connection_that_ends_before_the_response_is_an_error() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let serving = async {
        server.request().await;
        drop(server);
    };
    let (result, ()) = tokio::join!(connector.connect_http2(URL, &http2), serving);
    assert!(matches!(result, Err(ConnectError::Http2(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_does_not_arrive_in_time_is_an_error_and_resets_the_stream() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let begin = Instant::now();
    let connector = Connector::new().handshake_timeout(Duration::from_secs(7));
    let error = connector.connect_http2(URL, &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut(after) if after == Duration::from_secs(7)), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 7);
    let stream = server.request().await;
    assert_eq!(server.reset(stream).await, CANCEL);
}
