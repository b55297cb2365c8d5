//! Futures that are dropped at each stage.

use std::{future::poll_fn, pin::pin, task::Poll};

use ws_client::{Connector, Message};

use crate::{
    raw_server::{CANCEL, EXTENDED_CONNECT, Frame, HEADERS, RST_STREAM, RawServer, STATUS_200, STATUS_404},
    streams::open,
};

const URL: &str = "ws://example.com/";

/// Polls a future so often, with the other tasks in between, and drops it.
async fn drop_after(polls: usize, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let is_ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if is_ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_handshake_that_is_dropped_closes_its_connection() {
    for polls in 0..20 {
        let (mut server, io) = RawServer::new();
        if polls % 2 == 0 {
            server.send(&Frame::settings(&EXTENDED_CONNECT)).await;
        }
        drop_after(polls, Connector::new().http2_on(io)).await;
        let mut rest = Vec::new();
        // The test ends only if the connection does.
        tokio::io::AsyncReadExt::read_to_end(&mut server.io, &mut rest).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_is_reset_and_the_connection_stays_open() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let (mut requested, mut reset) = (Vec::new(), Vec::new());
    for polls in 0..20 {
        drop_after(polls, connector.connect_http2(URL, &http2)).await;
        let next = async {
            let mut ws = connector.connect_http2(URL, &http2).await.unwrap().ws;
            assert_eq!(ws.recv().await, Some(Message::from("x")), "after {polls} polls");
        };
        tokio::select! {
            () = next => {}
            () = accept_all(&mut server, &mut requested, &mut reset) => {}
        }
    }
    drop(http2);
    accept_all(&mut server, &mut requested, &mut reset).await;
    assert!(requested.len() > 20, "some attempts were dropped after their request");
    reset.sort_unstable();
    assert_eq!(requested, reset);
}

/// Accepts each request and sends a message, until the client closes the connection.
async fn accept_all(server: &mut RawServer, requested: &mut Vec<u32>, reset: &mut Vec<u32>) {
    while let Some(frame) = server.receive().await {
        if frame.kind == HEADERS {
            requested.push(frame.stream);
            server.send(&Frame::response(frame.stream, STATUS_200, &[])).await;
            server.send(&Frame::data(frame.stream, [0x81, 1, b'x'])).await;
        } else if frame.kind == RST_STREAM {
            assert_eq!(frame.payload[3], CANCEL);
            reset.push(frame.stream);
        }
    }
}

#[tokio::test]
async fn a_refusal_that_is_dropped_while_its_body_arrives_is_reset() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let stream = {
        let mut connecting = pin!(connector.connect_http2(URL, &http2));
        let serving = async {
            let stream = server.request().await;
            server.send(&Frame::response(stream, STATUS_404, &[])).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            stream
        };
        let mut serving = pin!(serving);
        poll_fn(|cx| {
            assert!(connecting.as_mut().poll(cx).is_pending(), "the body has not ended");
            serving.as_mut().poll(cx)
        })
        .await
    };
    assert_eq!(server.reset(stream).await, CANCEL);
    open(&mut server, &http2).await;
}

#[tokio::test]
async fn a_websocket_that_is_dropped_resets_its_stream_and_no_other() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (one, first) = open(&mut server, &http2).await;
    let (mut other, second) = open(&mut server, &http2).await;
    drop(one);
    assert_eq!(server.reset(first).await, CANCEL);
    server.send(&Frame::data(second, [0x81, 1, b'x'])).await;
    assert_eq!(other.recv().await, Some(Message::from("x")));
}
