//! An HTTP/2 server that sends and receives single frames (RFC 9113 section 4.1).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use ws_client::{Connector, http2::Http2};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) const CANCEL: u8 = 8;

/// `SETTINGS_ENABLE_CONNECT_PROTOCOL` = 1 (RFC 8441 section 3).
pub(crate) const EXTENDED_CONNECT: [u8; 6] = [0, 8, 0, 0, 0, 1];

/// `:status` in the static table of HPACK (RFC 7541 appendix A).
pub(crate) const STATUS_200: u8 = 0x88;
pub(crate) const STATUS_204: u8 = 0x89;
pub(crate) const STATUS_404: u8 = 0x8d;

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub(crate) fn settings(payload: &[u8]) -> Self {
        Self::new(SETTINGS, 0, 0, payload)
    }

    pub(crate) fn data(stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self::new(DATA, 0, stream, payload)
    }

    /// The head of a response, with the fields of `more` in HPACK.
    pub(crate) fn response(stream: u32, status: u8, more: &[u8]) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, [&[status], more].concat())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes()].concat();
        [head, self.payload.clone()].concat()
    }
}

/// A header field as an HPACK literal that is not indexed.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

#[derive(Debug)]
pub(crate) struct RawServer {
    pub(crate) io: DuplexStream,
}

impl RawServer {
    /// A server, and the client's end of the transport.
    pub(crate) fn new() -> (Self, DuplexStream) {
        let (io, client) = duplex(1 << 20);
        (Self { io }, client)
    }

    /// A server whose first settings have arrived at the client.
    pub(crate) async fn connected(settings: &[u8]) -> (Self, Http2) {
        let (mut server, io) = Self::new();
        server.send(&Frame::settings(settings)).await;
        let http2 = Connector::new().http2_on(io).await.unwrap();
        server.read_preface().await;
        // The client's windows are in effect once its settings are acknowledged.
        server.send(&Frame::new(SETTINGS, 1, 0, [])).await;
        (server, http2)
    }

    pub(crate) async fn read_preface(&mut self) {
        let mut preface = [0; 24];
        self.io.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.io.write_all(&frame.bytes()).await.unwrap();
    }

    /// `None` at the end of the stream.
    pub(crate) async fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.io.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind. The others are skipped.
    pub(crate) async fn receive_kind(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.receive().await.expect("the client has closed the connection");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// All frames until the client closes the connection.
    pub(crate) async fn receive_rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.receive().await {
            frames.push(frame);
        }
        frames
    }

    /// Waits for a request. Returns its stream.
    pub(crate) async fn request(&mut self) -> u32 {
        self.receive_kind(HEADERS).await.stream
    }

    /// Waits until the client resets the stream. Returns the error code.
    pub(crate) async fn reset(&mut self, stream: u32) -> u8 {
        loop {
            let frame = self.receive_kind(RST_STREAM).await;
            if frame.stream == stream {
                return frame.payload[3];
            }
        }
    }
}
