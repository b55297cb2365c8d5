//! How streams and connections of HTTP/2 end, frame by frame: END_STREAM, RST_STREAM, GOAWAY (RFC 9113, RFC 8441).

use std::net::SocketAddr;

use axum::{Router, routing::any};
use e2e_tests::{
    harness,
    raw_peer::{RawFrame, Side},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};
use ws_hyper::{CloseInfo, HyperStream, Upgrader, WebSocket, axum::WebSocketUpgrade};

use crate::support::{HyperServer, Serve, echo};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn ends_stream(&self) -> bool {
        self.kind == DATA && self.flags & END_STREAM != 0
    }

    fn error_code(&self) -> u32 {
        assert!(matches!(self.kind, RST_STREAM | GOAWAY), "{self:?}");
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A client that writes and reads frames.
struct Client {
    stream: TcpStream,
    authority: String,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut client = Self { stream, authority: addr.to_string() };
        client.send(SETTINGS, 0, 0, &[]).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Sends WebSocket frames in one DATA frame.
    async fn send_data(&mut self, stream: u32, flags: u8, frames: &[RawFrame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(Side::Client)).collect();
        self.send(DATA, flags, stream, &bytes).await;
    }

    /// The next frame that is not about flow control. `None` after the last one. Settings and pings are answered.
    async fn try_recv(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
                    self.send(frame.kind, ACK, 0, payload).await;
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    async fn recv(&mut self) -> Frame {
        self.try_recv().await.expect("a frame")
    }

    /// Sends a request for a WebSocket, its header fields as literals without indexing (RFC 7541 section 6.2.2).
    async fn request(&mut self, stream: u32) {
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/ws"),
            (":authority", &*self.authority),
            ("sec-websocket-version", "13"),
        ] {
            block.push(0);
            for text in [name, value] {
                block.push(text.len() as u8);
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    async fn open(&mut self, stream: u32) {
        self.request(stream).await;
        let response = self.recv().await;
        assert_eq!((response.kind, response.flags, response.stream), (HEADERS, END_HEADERS, stream));
        // The index of `:status: 200` in the static table.
        assert!(response.payload.contains(&0x88), "{response:?}");
    }

    /// Reads until the data of the stream begins with this frame.
    async fn expect(&mut self, stream: u32, frame: &RawFrame) {
        let expected = frame.encode(Side::Server);
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let frame = self.recv().await;
            assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
            received.extend(frame.payload);
        }
        assert_eq!(received, expected);
    }

    async fn expect_echo(&mut self, stream: u32) {
        let frame = RawFrame::text("hello");
        self.send_data(stream, 0, std::slice::from_ref(&frame)).await;
        self.expect(stream, &frame).await;
    }
}

/// A server that echoes, and reports how each connection ended.
async fn start() -> (HyperServer, mpsc::UnboundedReceiver<CloseInfo>) {
    let (sender, ended) = mpsc::unbounded_channel();
    let serve = move |mut ws: WebSocket<HyperStream>| {
        let sender = sender.clone();
        async move {
            while let Some(message) = ws.recv().await {
                if ws.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sender.send(ws.close_info().unwrap());
        }
    };
    (HyperServer::sockets(Serve::Auto, Upgrader::default(), serve).await, ended)
}

#[test]
fn an_end_of_stream_without_a_close_is_an_unclean_end_of_one_connection() {
    harness::run(async {
        let (server, mut ended) = start().await;
        let mut client = Client::connect(server.addr).await;
        client.open(1).await;
        client.open(3).await;
        client.send_data(1, END_STREAM, &[RawFrame::text("last")]).await;
        // A message before the end is delivered, as over TCP. The stream then ends in both directions.
        client.expect(1, &RawFrame::text("last")).await;
        let end = client.recv().await;
        assert_eq!(end.stream, 1);
        assert!(end.ends_stream() || end.kind == RST_STREAM, "{end:?}");
        assert!(!ended.recv().await.unwrap().is_clean());
        client.expect_echo(3).await;
    });
}

#[test]
fn an_end_of_stream_with_the_close_is_a_clean_end() {
    harness::run(async {
        let (server, mut ended) = start().await;
        let mut client = Client::connect(server.addr).await;
        client.open(1).await;
        client.send_data(1, END_STREAM, &[RawFrame::close(1000, "bye")]).await;
        client.expect(1, &RawFrame::close(1000, "bye")).await;
        let info = ended.recv().await.unwrap();
        assert!(info.is_clean(), "{info:?}");
    });
}

#[test]
fn a_clean_close_ends_the_stream() {
    harness::run(async {
        let (server, mut ended) = start().await;
        let mut client = Client::connect(server.addr).await;
        client.open(1).await;
        client.send_data(1, 0, &[RawFrame::close(1000, "bye")]).await;
        let expected = RawFrame::close(1000, "bye").encode(Side::Server);
        let answer = client.recv().await;
        assert_eq!((answer.kind, answer.payload), (DATA, expected));
        if answer.flags & END_STREAM == 0 {
            let end = client.recv().await;
            assert!(end.ends_stream(), "{end:?}");
        }
        // The server does not wait for the client's own END_STREAM (RFC 9113 section 8.1).
        let reset = client.recv().await;
        assert_eq!((reset.stream, reset.error_code()), (1, NO_ERROR));
        assert!(ended.recv().await.unwrap().is_clean());
        client.open(3).await;
        client.expect_echo(3).await;
    });
}

#[test]
fn a_reset_ends_one_connection_and_no_other() {
    harness::run(async {
        for code in [CANCEL, INTERNAL_ERROR] {
            let (server, mut ended) = start().await;
            let mut client = Client::connect(server.addr).await;
            client.open(1).await;
            client.open(3).await;
            client.expect_echo(1).await;
            client.send(RST_STREAM, 0, 1, &code.to_be_bytes()).await;
            assert!(!ended.recv().await.unwrap().is_clean());
            client.expect_echo(3).await;
            client.open(5).await;
            client.expect_echo(5).await;
        }
    });
}

#[test]
fn after_a_goaway_of_the_client_its_streams_continue() {
    harness::run(async {
        let (server, mut ended) = start().await;
        let mut client = Client::connect(server.addr).await;
        client.open(1).await;
        // The last stream of the server that the client has seen, none, and no error.
        client.send(GOAWAY, 0, 0, &[0; 8]).await;
        client.expect_echo(1).await;
        client.send_data(1, 0, &[RawFrame::close(1000, "")]).await;
        client.expect(1, &RawFrame::close(1000, "")).await;
        assert!(ended.recv().await.unwrap().is_clean());
    });
}

#[test]
fn a_connection_that_ends_ends_all_its_websockets() {
    harness::run(async {
        let (server, mut ended) = start().await;
        let mut client = Client::connect(server.addr).await;
        for stream in [1, 3, 5] {
            client.open(stream).await;
            client.expect_echo(stream).await;
        }
        drop(client);
        for _ in 0..3 {
            assert!(!ended.recv().await.unwrap().is_clean());
        }
    });
}

#[test]
fn after_a_goaway_of_the_server_its_websockets_continue_until_they_close() {
    async fn handler(ws: WebSocketUpgrade<ws_hyper::axum::InState>) -> axum::response::Response {
        ws.on_upgrade(echo)
    }
    harness::run(async {
        let upgrader = Upgrader::default();
        let app = Router::new().route("/ws", any(handler)).with_state(upgrader.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) }).await.unwrap();
        });
        let mut client = Client::connect(addr).await;
        client.open(1).await;
        client.expect_echo(1).await;
        stop.send(()).unwrap();
        // The first GOAWAY announces the second one, which names the last stream that is served.
        loop {
            let frame = client.recv().await;
            assert_eq!((frame.kind, frame.error_code()), (GOAWAY, NO_ERROR), "{frame:?}");
            if frame.payload[..4] == 1_u32.to_be_bytes() {
                break;
            }
        }
        // A later stream is ignored (RFC 9113 section 6.8).
        client.request(3).await;
        client.expect_echo(1).await;
        assert_eq!(upgrader.connections(), 1);
        assert!(!serving.is_finished());
        let shutdown =
            tokio::spawn(async move { upgrader.shutdown(std::time::Duration::from_secs(3600)).await });
        client.expect(1, &RawFrame::close(1001, "")).await;
        client.send_data(1, END_STREAM, &[RawFrame::close(1001, "")]).await;
        assert_eq!(shutdown.await.unwrap().clean, 1);
        while client.try_recv().await.is_some() {}
        serving.await.unwrap();
    });
}
