//! The receiving half.

use super::{DEADLINE, Head, ReceivedFrame, Side, decode, opcode, within};
use bytes::{Buf, BytesMut};
use std::fmt;
use std::io::{self, ErrorKind};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

/// Why no frame was received.
#[derive(Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The peer ended its side (FIN) between two frames.
    Eof,
    /// The peer ended its side (FIN) inside a frame, after this many bytes of it.
    Truncated(usize),
    /// The connection was reset (RST).
    Reset,
    /// The received bytes break this rule.
    Illegal(String),
    /// Nothing arrived within [`DEADLINE`].
    Deadline,
    /// Any other error of the socket.
    Io(ErrorKind),
}

impl From<io::Error> for RecvError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset => Self::Reset,
            kind => Self::Io(kind),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => write!(formatter, "the end of the stream"),
            Self::Truncated(bytes) => write!(formatter, "the end of the stream, {bytes} bytes into a frame"),
            Self::Reset => write!(formatter, "a reset of the connection"),
            Self::Illegal(rule) => write!(formatter, "an illegal frame: {rule}"),
            Self::Deadline => write!(formatter, "nothing within {DEADLINE:?}"),
            Self::Io(kind) => write!(formatter, "an error: {kind}"),
        }
    }
}

/// Receives heads and frames. Checks each frame ([`decode()`]), the order of fragments, and that no frame follows a
/// Close.
#[derive(Debug)]
pub struct RawReader {
    stream: OwnedReadHalf,
    sender: Side,
    buffer: BytesMut,
    compression: bool,
    in_message: bool,
    close_received: bool,
}

impl RawReader {
    pub(super) fn new(stream: OwnedReadHalf, sender: Side) -> Self {
        let buffer = BytesMut::new();
        Self { stream, sender, buffer, compression: false, in_message: false, close_received: false }
    }

    /// Accepts RSV1 on the first frame of a message from now on. The payload stays compressed.
    pub fn allow_compression(&mut self) {
        self.compression = true;
    }

    /// The bytes that were read from the socket and not taken yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads more bytes. Returns 0 at the end of the stream.
    async fn fill(&mut self) -> Result<usize, RecvError> {
        // Large enough for a batch of small frames that were sent together.
        self.buffer.reserve(4096);
        match timeout(DEADLINE, self.stream.read_buf(&mut self.buffer)).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(RecvError::Deadline),
        }
    }

    /// The head of a request or a response. The bytes after it stay in the buffer.
    ///
    /// # Errors
    /// When the stream ends before, or the head is malformed.
    pub async fn try_recv_head(&mut self) -> Result<Head, RecvError> {
        const BLANK_LINE: &[u8] = b"\r\n\r\n";
        loop {
            let end = self.buffer.windows(BLANK_LINE.len()).position(|window| window == BLANK_LINE);
            if let Some(end) = end {
                let head = self.buffer.split_to(end);
                self.buffer.advance(BLANK_LINE.len());
                let text =
                    std::str::from_utf8(&head).map_err(|error| RecvError::Illegal(error.to_string()))?;
                return Head::parse(text).map_err(RecvError::Illegal);
            }
            self.more().await?;
        }
    }

    /// The head of a request or a response.
    ///
    /// # Panics
    /// When none arrives.
    pub async fn recv_head(&mut self) -> Head {
        expect("a head", self.try_recv_head().await)
    }

    /// The body for this head: as long as its `Content-Length` says, or without one, all bytes up to the end.
    ///
    /// # Panics
    /// When fewer bytes arrive.
    pub async fn recv_body(&mut self, head: &Head) -> Vec<u8> {
        match head.header("Content-Length").map(|length| length.parse().expect("a number")) {
            Some(length) => self.recv_bytes(length).await,
            None => self.recv_to_eof().await,
        }
    }

    /// Exactly this many bytes, without parsing them.
    ///
    /// # Errors
    /// The reason why there are fewer.
    pub async fn try_recv_bytes(&mut self, length: usize) -> Result<Vec<u8>, RecvError> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).to_vec())
    }

    /// Exactly this many bytes, without parsing them.
    ///
    /// # Panics
    /// When fewer bytes arrive.
    pub async fn recv_bytes(&mut self, length: usize) -> Vec<u8> {
        expect("more bytes", self.try_recv_bytes(length).await)
    }

    /// All bytes up to the end of the stream (FIN), without parsing them.
    ///
    /// # Panics
    /// On a reset.
    pub async fn recv_to_eof(&mut self) -> Vec<u8> {
        within("the end of the stream", async {
            while expect("more bytes or the end", self.fill().await) > 0 {}
        })
        .await;
        self.buffer.split().to_vec()
    }

    /// The next frame.
    ///
    /// # Errors
    /// The reason why there is none. After an illegal frame, no further frame can be read.
    pub async fn try_recv_frame(&mut self) -> Result<ReceivedFrame, RecvError> {
        loop {
            let decoded = decode(&self.buffer, self.sender, self.compression).map_err(RecvError::Illegal)?;
            if let Some((frame, length)) = decoded {
                self.buffer.advance(length);
                self.check_order(&frame).map_err(|rule| RecvError::Illegal(rule.into()))?;
                return Ok(frame);
            }
            self.more().await?;
        }
    }

    /// The next frame.
    ///
    /// # Panics
    /// When none arrives or it is illegal.
    pub async fn recv_frame(&mut self) -> ReceivedFrame {
        expect("a frame", self.try_recv_frame().await)
    }

    async fn more(&mut self) -> Result<(), RecvError> {
        match (self.fill().await?, self.buffer.len()) {
            (0, 0) => Err(RecvError::Eof),
            (0, partial) => Err(RecvError::Truncated(partial)),
            _ => Ok(()),
        }
    }

    fn check_order(&mut self, frame: &ReceivedFrame) -> Result<(), &'static str> {
        if self.close_received {
            return Err("a frame after the Close");
        }
        self.close_received = frame.opcode == opcode::CLOSE;
        if frame.is_control() {
            return Ok(());
        }
        let continuation = frame.opcode == opcode::CONTINUATION;
        match (continuation, self.in_message) {
            (true, false) => return Err("a continuation without a message"),
            (false, true) => return Err("a new message inside a fragmented one"),
            (true, true) if frame.rsv1 => return Err("RSV1 on a continuation"),
            _ => {}
        }
        self.in_message = !frame.fin;
        Ok(())
    }

    /// A whole text message in one frame, with this content.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_text(&mut self, expected: &str) {
        let frame = self.expect_opcode(opcode::TEXT).await;
        // Compared as text, so that a failure shows text.
        let text = String::from_utf8(frame.payload).expect("text is UTF-8");
        assert_eq!(text, expected);
    }

    /// A whole binary message in one frame, with this content.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_binary(&mut self, expected: &[u8]) {
        let frame = self.expect_opcode(opcode::BINARY).await;
        assert_same_bytes(&frame.payload, expected);
    }

    /// A ping with this payload.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_ping(&mut self, expected: &[u8]) {
        let frame = self.expect_opcode(opcode::PING).await;
        assert_same_bytes(&frame.payload, expected);
    }

    /// A pong with this payload.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_pong(&mut self, expected: &[u8]) {
        let frame = self.expect_opcode(opcode::PONG).await;
        assert_same_bytes(&frame.payload, expected);
    }

    /// A Close with this code; returns its reason.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_close(&mut self, code: u16) -> String {
        let frame = self.expect_opcode(opcode::CLOSE).await;
        match frame.close_code() {
            Some((found, reason)) if found == code => reason.to_owned(),
            found => panic!("expected a Close with {code}, got one with {found:?}"),
        }
    }

    /// A Close without a code.
    ///
    /// # Panics
    /// When anything other than that arrives.
    pub async fn expect_empty_close(&mut self) {
        let frame = self.expect_opcode(opcode::CLOSE).await;
        assert_eq!(frame.payload, b"", "expected a Close without a code");
    }

    async fn expect_opcode(&mut self, opcode: u8) -> ReceivedFrame {
        let frame = self.recv_frame().await;
        assert!(
            frame.fin && frame.opcode == opcode,
            "expected opcode {opcode} and FIN, got {}",
            Brief(&frame)
        );
        frame
    }

    /// The end of the stream (FIN), without another byte before it.
    ///
    /// # Panics
    /// On a frame, a reset or any other error.
    pub async fn expect_eof(&mut self) {
        match self.try_recv_frame().await {
            Err(RecvError::Eof) => {}
            Ok(frame) => panic!("expected the end of the stream, got {}", Brief(&frame)),
            Err(error) => panic!("expected the end of the stream, got {error}"),
        }
    }

    /// The end of the stream (FIN) or a reset, without another frame before it. Returns which of the two it was.
    ///
    /// # Panics
    /// On anything else.
    pub async fn expect_end(&mut self) -> RecvError {
        match self.try_recv_frame().await {
            Err(end @ (RecvError::Eof | RecvError::Reset)) => end,
            Ok(frame) => panic!("expected the end, got {}", Brief(&frame)),
            Err(error) => panic!("expected the end, got {error}"),
        }
    }

    /// All frames up to the end of the stream (FIN).
    ///
    /// # Panics
    /// On a reset or an illegal frame.
    pub async fn recv_frames_to_eof(&mut self) -> Vec<ReceivedFrame> {
        let mut frames = Vec::new();
        loop {
            match self.try_recv_frame().await {
                Ok(frame) => frames.push(frame),
                Err(RecvError::Eof) => return frames,
                Err(error) => panic!("after {} frames, {error}", frames.len()),
            }
        }
    }
}

fn expect<T>(what: &str, received: Result<T, RecvError>) -> T {
    received.unwrap_or_else(|error| panic!("expected {what}, got {error}"))
}

/// Compares two payloads. On failure, prints the first difference and not megabytes.
fn assert_same_bytes(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    if found != expected {
        let difference = found.iter().zip(expected).position(|(found, expected)| found != expected);
        panic!("the payload differs from this byte on: {difference:?}");
    }
}

/// A short form of a frame, for failure messages.
struct Brief<'a>(&'a ReceivedFrame);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReceivedFrame { fin, opcode, payload, .. } = self.0;
        let start = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
        write!(formatter, "opcode {opcode}, FIN {fin}, {} bytes {start:?}", payload.len())?;
        match self.0.close_code() {
            Some((code, _)) => write!(formatter, ", close code {code}"),
            None => Ok(()),
        }
    }
}
