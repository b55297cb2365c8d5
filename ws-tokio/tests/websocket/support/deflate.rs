//! Connections and messages that are compressed.

use bytes::Buf as _;
use ws_proto::{
    Config, Connection, MessageKind, Role, TransmitQueue, ValidConfig,
    deflate::DeflateConfig,
    handshake::{
        ClientHandshake, ClientRequest, Extensions, RequestReader, ResponseParts, ResponseReader,
        ServerHandshake,
    },
};

use super::connection;

/// In the first byte of a frame: the message is compressed.
const COMPRESSED: u8 = 0x40;

/// A connection with this role that compresses, with these settings.
pub(crate) fn deflating(role: Role, mut config: Config, deflate: DeflateConfig) -> Connection {
    config.deflate = Some(deflate);
    let extensions = negotiate(role, &config.clone().validate().expect("a valid configuration"));
    connection(role, config).with_extensions(extensions)
}

/// What both sides agree upon if they have the same settings.
fn negotiate(role: Role, config: &ValidConfig) -> Extensions {
    let request = ClientRequest::new("a.example", "/").with_extensions(config);
    let (client, bytes) = ClientHandshake::new(&request, *b"the sample nonce").expect("a valid request");
    let read = RequestReader::new(&config.limits).read(&bytes);
    let (request, _) = read.expect("a valid request").expect("a whole request");
    let mut server = ServerHandshake::new(&request).expect("an upgrade");
    let extensions = server.negotiate(config);
    if role == Role::Server {
        return extensions;
    }
    let bytes = server.accept(&ResponseParts::default()).expect("an acceptance");
    let read = ResponseReader::new(&config.limits).read(&bytes);
    let (response, _) = read.expect("a valid response").expect("a whole response");
    client.finish(&response).expect("an acceptance").extensions
}

/// This message as a server compresses it, without frames.
pub(crate) fn compress(message: &[u8]) -> Vec<u8> {
    let mut deflate = DeflateConfig::server();
    deflate.threshold = 0;
    let (mut connection, mut tx) =
        (deflating(Role::Server, Config::default(), deflate), TransmitQueue::new());
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
