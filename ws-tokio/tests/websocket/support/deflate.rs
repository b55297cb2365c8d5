//! Connections and messages that are compressed.

use flate2::{Compress, Compression, FlushCompress};
use ws_proto::{
    Config, Connection, Role, ValidConfig,
    deflate::DeflateConfig,
    handshake::{
        ClientHandshake, ClientRequest, Extensions, RequestReader, ResponseParts, ResponseReader,
        ServerHandshake,
    },
};

use super::connection;

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

/// This message compressed, as a frame has it (RFC 7692 section 7.2.1).
pub(crate) fn compress(message: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(2 * message.len() + 64);
    let mut encoder = Compress::new(Compression::default(), false);
    encoder.compress_vec(message, &mut compressed, FlushCompress::Sync).expect("room");
    assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]));
    compressed.truncate(compressed.len() - 4);
    compressed
}
