//! Open WebSockets, their streams and their connection.

use ws_client::{
    Connector, Message, WebSocket,
    error::ConnectError,
    http2::{Http2, Http2Stream},
};

use crate::raw_server::{
    CANCEL, DATA, END_STREAM, EXTENDED_CONNECT, Frame, GOAWAY, RST_STREAM, RawServer, STATUS_200,
    WINDOW_UPDATE,
};

/// Opens a WebSocket. Returns its stream too.
pub(crate) async fn open(server: &mut RawServer, http2: &Http2) -> (WebSocket<Http2Stream>, u32) {
    let connector = Connector::new();
    let serving = async {
        let stream = server.request().await;
        server.send(&Frame::response(stream, STATUS_200, &[])).await;
        stream
    };
    let (connected, stream) = tokio::join!(connector.connect_http2("ws://example.com/", http2), serving);
    let connected = connected.unwrap();
    assert_eq!(connected.response.status(), 200);
    (connected.ws, stream)
}

/// An unmasked text frame of a WebSocket.
fn text(text: &str) -> Vec<u8> {
    [&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

#[tokio::test]
async fn frames_behind_the_response_are_received() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let serving = async {
        let stream = server.request().await;
        let response = Frame::response(stream, STATUS_200, &[]).bytes();
        let data = Frame::data(stream, text("early")).bytes();
        tokio::io::AsyncWriteExt::write_all(&mut server.io, &[response, data].concat()).await.unwrap();
    };
    let (connected, ()) = tokio::join!(connector.connect_http2("ws://example.com/", &http2), serving);
    assert_eq!(connected.unwrap().ws.recv().await, Some(Message::from("early")));
}

#[tokio::test]
async fn tasks_of_their_own_may_connect() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (mut server, io) = RawServer::new();
    server.send(&Frame::settings(&EXTENDED_CONNECT)).await;
    let connecting = tokio::spawn(async {
        let connector = Connector::new();
        let http2 = is_send(connector.http2_on(io)).await.unwrap();
        let opening = is_send(connector.connect_http2("ws://example.com/", &http2));
        is_send(opening.await.unwrap().ws)
    });
    server.read_preface().await;
    let stream = server.request().await;
    server.send(&Frame::response(stream, STATUS_200, &[])).await;
    server.send(&Frame::data(stream, text("hello"))).await;
    assert_eq!(connecting.await.unwrap().recv().await, Some(Message::from("hello")));
}

#[tokio::test]
async fn messages_that_wait_go_out_in_full_frames_of_http_2() {
    const FULL_FRAME: usize = 16 << 10;
    for (messages, size) in [(1000, 1), (100, 3000), (40, 20_000)] {
        // SETTINGS_INITIAL_WINDOW_SIZE = 1 MiB, and as much for the connection.
        let settings = [EXTENDED_CONNECT, [0, 4, 0, 16, 0, 0]].concat();
        let (mut server, http2) = RawServer::connected(&settings).await;
        server.send(&Frame::new(WINDOW_UPDATE, 0, 0, [0, 16, 0, 0])).await;
        let (mut ws, stream) = open(&mut server, &http2).await;
        let sender = ws.sender();
        for _ in 1..messages {
            sender.try_send(vec![7_u8; size]).unwrap();
        }
        // A frame has a header of 2 or 4 bytes, and a mask of 4.
        let least = messages * (size + 6);
        let receiving = async {
            let (mut bytes, mut frames) = (0, 0);
            while bytes < least {
                let frame = server.receive_kind(DATA).await;
                assert_eq!(frame.stream, stream);
                bytes += frame.payload.len();
                frames += 1;
            }
            frames
        };
        // `send` returns once all is written.
        let (sent, frames) = tokio::join!(ws.send(vec![7_u8; size]), receiving);
        sent.unwrap();
        let most = least.div_ceil(FULL_FRAME) * 5 / 4 + 4;
        assert!(frames <= most, "{messages} of {size} bytes: {frames} frames of HTTP/2, expected {most}");
    }
}

#[tokio::test]
async fn a_reset_ends_its_websocket_and_no_other() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    // CANCEL stands for the end of the stream, INTERNAL_ERROR is an error.
    for code in [CANCEL, 2] {
        let (mut one, first) = open(&mut server, &http2).await;
        let (mut other, second) = open(&mut server, &http2).await;
        server.send(&Frame::new(RST_STREAM, 0, first, [0, 0, 0, code])).await;
        assert_eq!(one.recv().await, None);
        assert!(!one.close_info().unwrap().is_clean());
        server.send(&Frame::data(second, text("alive"))).await;
        assert_eq!(other.recv().await, Some(Message::from("alive")));
    }
}

#[tokio::test]
async fn a_response_that_ends_the_stream_is_a_websocket_that_has_ended() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let connector = Connector::new();
    let serving = async {
        let stream = server.request().await;
        let mut response = Frame::response(stream, STATUS_200, &[]);
        response.flags |= END_STREAM;
        server.send(&response).await;
    };
    let (connected, ()) = tokio::join!(connector.connect_http2("ws://example.com/", &http2), serving);
    let mut ws = connected.unwrap().ws;
    assert_eq!(ws.recv().await, None);
    assert_eq!(ws.close_info().unwrap().code(), 1006);
}

#[tokio::test]
async fn after_goaway_open_websockets_continue() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (mut ws, stream) = open(&mut server, &http2).await;
    // The last stream that the server processes is this one.
    let last = [&stream.to_be_bytes()[..], &[0; 4]].concat();
    server.send(&Frame::new(GOAWAY, 0, 0, last)).await;
    server.send(&Frame::data(stream, text("still"))).await;
    assert_eq!(ws.recv().await, Some(Message::from("still")));
    let error = Connector::new().connect_http2("ws://example.com/", &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Http2(_)), "{error}");
}

#[tokio::test]
async fn open_websockets_outlive_the_handles_of_their_connection() {
    let (mut server, http2) = RawServer::connected(&EXTENDED_CONNECT).await;
    let (mut ws, stream) = open(&mut server, &http2).await;
    drop(http2);
    server.send(&Frame::data(stream, text("still"))).await;
    assert_eq!(ws.recv().await, Some(Message::from("still")));
    drop(ws);
    // The connection ends after its last stream.
    server.receive_rest().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_of_streams_a_websocket_waits_for_a_stream_to_end() {
    // SETTINGS_MAX_CONCURRENT_STREAMS = 1.
    let settings = [EXTENDED_CONNECT, [0, 3, 0, 0, 0, 1]].concat();
    let (mut server, http2) = RawServer::connected(&settings).await;
    let (first, stream) = open(&mut server, &http2).await;
    let error = Connector::new().connect_http2("ws://example.com/", &http2).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
    drop(first);
    assert_eq!(server.reset(stream).await, CANCEL);
    let connector = Connector::new();
    let serving = async {
        // hyper may open the stream of the attempt that timed out, and resets it then.
        loop {
            let stream = server.request().await;
            server.send(&Frame::response(stream, STATUS_200, &[])).await;
            if stream > 3 {
                server.send(&Frame::data(stream, text("next"))).await;
                break;
            }
        }
    };
    let (connected, ()) = tokio::join!(connector.connect_http2("ws://example.com/", &http2), serving);
    assert_eq!(connected.unwrap().ws.recv().await, Some(Message::from("next")));
}
