//! Connections and messages that are compressed.

use bytes::Buf as _;
use tokio::time::Instant;
use ws_proto::{
    Config, Connection, MessageKind, TransmitQueue,
    deflate::DeflateConfig,
    handshake::{RequestReader, ServerHandshake},
};

/// In the first byte of a frame: the message is compressed.
const COMPRESSED: u8 = 0x40;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// A server's connection that compresses, with these settings.
pub(crate) fn deflating(mut config: Config, deflate: DeflateConfig) -> Connection {
    config.deflate = Some(deflate);
    let config = config.validate().expect("a valid configuration");
    let read = RequestReader::new(&config.limits).read(REQUEST);
    let (request, _) = read.expect("a valid request").expect("a whole request");
    let extensions = ServerHandshake::new(&request).expect("an upgrade").negotiate(&config);
    Connection::server(config, Instant::now().into_std()).with_extensions(extensions)
}

/// This message as a server compresses it, without frames.
pub(crate) fn compress(message: &[u8]) -> Vec<u8> {
    let mut deflate = DeflateConfig::server();
    deflate.threshold = 0;
    let (mut connection, mut tx) = (deflating(Config::default(), deflate), TransmitQueue::new());
    connection.send(MessageKind::Binary, message, &mut tx).expect("room");
    let mut compressed = Vec::new();
    while !tx.is_empty() {
        let (first, len) = (tx.get_u8(), tx.get_u8());
        let len = match len {
            126 => usize::from(tx.get_u16()),
            127 => tx.get_u64() as usize,
            short => usize::from(short),
        };
        if compressed.is_empty() && first & COMPRESSED == 0 {
            // It would be longer: one block without compression.
            let len = (message.len() as u16).to_le_bytes();
            return [&[0, len[0], len[1], !len[0], !len[1]], message, &[0]].concat();
        }
        compressed.extend_from_slice(&tx.copy_to_bytes(len));
        connection.pump(&mut tx);
    }
    compressed
}
