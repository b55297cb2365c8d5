//! The state machine alone.

use std::time::Instant;

use bytes::Buf as _;
use ws_proto::{
    Config, Connection, Event, MessageKind, ReceiveBuffer, TransmitQueue,
    deflate::DeflateConfig,
    handshake::{RequestReader, ServerHandshake},
};

use super::wire::{COMPRESSED, TEXT, client_frame, deflate_request};

/// A server's connection and the buffers that its driver lends it.
struct Server {
    connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    now: Instant,
}

impl Server {
    fn new(connection: Connection) -> Self {
        Self { connection, rx: ReceiveBuffer::default(), tx: TransmitQueue::new(), now: Instant::now() }
    }

    /// A connection that compresses at this level, without context takeover.
    fn deflating(level: u8) -> Self {
        let mut config = Config::default();
        let mut deflate = DeflateConfig::server();
        deflate.level = level;
        config.deflate = Some(deflate);
        let config = config.validate().expect("valid settings");
        let request = deflate_request();
        let read = RequestReader::new(&config.limits).read(&request);
        let (request, _) = read.expect("a valid request").expect("a whole request");
        let extensions = ServerHandshake::new(&request).expect("an upgrade").negotiate(&config);
        Self::new(Connection::server(config, Instant::now()).with_extensions(extensions))
    }

    /// Handles the bytes of one read. Returns the number of messages, which are echoed if `echo` is set.
    fn receive(&mut self, bytes: &[u8], echo: bool) -> u32 {
        self.connection.read_target(&mut self.rx)[..bytes.len()].copy_from_slice(bytes);
        self.connection.handle_received(bytes.len(), self.now, &mut self.rx);
        let mut messages = 0;
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            let Event::Message(message) = event else { panic!("unexpected: {event:?}") };
            messages += 1;
            if echo {
                self.connection.send_received(message, &mut self.tx).expect("room for an echo");
            }
        }
        messages
    }

    /// Takes what is to be written.
    fn written(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        self.connection.pump(&mut self.tx);
        while !self.tx.is_empty() {
            let chunk = self.tx.chunk();
            written.extend_from_slice(chunk);
            let len = chunk.len();
            self.tx.advance(len);
            self.connection.handle_written(self.now);
            self.connection.pump(&mut self.tx);
        }
        written
    }
}

/// Receives text of 1 KiB, 16 messages with each read: headers, unmasking, UTF-8.
pub(crate) fn text(count: u32) {
    let text = "Grüße aus 東京. ".repeat(64);
    let frames = client_frame(TEXT, &text.as_bytes()[..1024]).repeat(16);
    let config = Config::default().validate().expect("the defaults are valid");
    let mut server = Server::new(Connection::server(config, Instant::now()));
    let received: u32 = (0..count / 16).map(|_| server.receive(&frames, false)).sum();
    assert_eq!(received, count);
}

/// Echoes 1,000 bytes of JSON, compressed in both directions. The client compresses at zlib's usual level.
pub(crate) fn deflate(count: u32) {
    let (mut server, requests) = (Server::deflating(1), compressed_requests());
    for number in 0..count {
        assert_eq!(server.receive(&requests[number as usize % requests.len()], true), 1);
        assert!(!server.written().is_empty(), "no echo");
    }
}

/// Clients' frames with 1,000 bytes of JSON each, compressed at zlib's usual level.
pub(crate) fn compressed_requests() -> Vec<Vec<u8>> {
    let mut client = Server::deflating(6);
    (0..8).map(|seed| compressed(&mut client, &ticker(seed, 1000))).collect()
}

/// What a server that compresses answers to such a frame.
pub(crate) fn compressed_echo(request: &[u8]) -> Vec<u8> {
    let mut server = Server::deflating(1);
    assert_eq!(server.receive(request, true), 1);
    server.written()
}

/// A client's frame with a message as `sender` compresses it.
fn compressed(sender: &mut Server, text: &str) -> Vec<u8> {
    sender.connection.send(MessageKind::Text, text.as_bytes(), &mut sender.tx).expect("room");
    let frame = sender.written();
    assert!(frame[0] == TEXT | COMPRESSED && frame[1] == 126, "a compressed frame of over 125 bytes");
    client_frame(TEXT | COMPRESSED, &frame[4..])
}

/// Records of a market's ticker. Names repeat, numbers do not.
fn ticker(seed: u64, size: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut out = String::from("[");
    while out.len() < size {
        let symbol = ["BTC-EUR", "ETH-EUR", "SOL-USD", "ADA-USD", "XRP-GBP"][random(5) as usize];
        let side = ["buy", "sell"][random(2) as usize];
        let (price, amount, time) = (random(90_000), random(100_000), random(100_000_000));
        out += &format!(
            "{{\"symbol\":\"{symbol}\",\"side\":\"{side}\",\"price\":{price}.25,\"amount\":0.{amount:05},\
             \"time\":17640{time:08}}},"
        );
    }
    out.truncate(size);
    out
}
