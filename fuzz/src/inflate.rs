//! Decompression of a message, compared with flate2 alone. A message is refused exactly if it is invalid or over the
//! limit.

use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use ws_proto::{
    CloseCode, Config, MessageKind, Role,
    deflate::DeflateConfig,
    frame::{FrameHeader, OpCode, RSV1},
    handshake::{ClientHandshake, ClientRequest, Extensions, Request, ServerHandshake},
    mask::Mask,
};

use crate::{
    frame_header::encoded,
    input::Input,
    machine::{Machine, Seen},
};

/// The negotiated extension for an offer without parameters.
pub(crate) fn agreement(role: Role, config: &ws_proto::ValidConfig) -> Extensions {
    match role {
        Role::Server => {
            let mut request = Request::new(());
            *request.uri_mut() = "/".parse().expect("a path");
            fill(
                request.headers_mut(),
                &[
                    (header::HOST, "example.com"),
                    (header::SEC_WEBSOCKET_VERSION, "13"),
                    (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
                    (header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate"),
                ],
            );
            ServerHandshake::new(&request).expect("a valid request").negotiate(config)
        }
        Role::Client => {
            let request = ClientRequest::new("example.com", "/").with_extensions(config);
            let (handshake, _) =
                ClientHandshake::new(&request, *b"the sample nonce").expect("a valid request");
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.version_mut() = Version::HTTP_11;
            fill(
                response.headers_mut(),
                &[
                    (header::SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                    (
                        header::SEC_WEBSOCKET_EXTENSIONS,
                        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                    ),
                ],
            );
            handshake.finish(&response).expect("a valid response").extensions
        }
    }
}

fn fill(headers: &mut HeaderMap, more: &[(header::HeaderName, &'static str)]) {
    let common = [(header::UPGRADE, "websocket"), (header::CONNECTION, "Upgrade")];
    for (name, value) in common.iter().chain(more) {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}

pub fn inflate(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = match input.below(4) {
        0 => input.below(64),
        1 => input.number(),
        2 => 65_530 + input.below(16),
        _ => 400_000,
    };
    let role = if input.below(2) == 0 { Role::Server } else { Role::Client };
    let fragments = 1 + input.below(4);
    let compressed = input.rest();
    let mut config = Config::default();
    config.limits.max_message_size = limit;
    config.deflate = Some(DeflateConfig::server());
    let config = config.validate().expect("valid");
    let mut machine = Machine::new(role, &config, agreement(role, &config));
    let wire = message(role, compressed, fragments);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        match machine.receive(rest) {
            0 => break,
            n => rest = &rest[n..],
        }
    }
    let expected = reference(compressed, limit);
    match (machine.seen.first(), expected) {
        (Some(Seen::Message(MessageKind::Binary, payload)), Reference::Message(expected)) => {
            assert_eq!(payload.len(), expected.len());
            assert!(*payload == expected);
        }
        (None, Reference::TooLarge) => assert_eq!(sent_code(&machine), Some(CloseCode::MESSAGE_TOO_BIG)),
        (None, Reference::Invalid) => {
            // Invalid data may already exceed the limit before the error.
            let code = sent_code(&machine);
            assert!(
                code == Some(CloseCode::INVALID_PAYLOAD) || code == Some(CloseCode::MESSAGE_TOO_BIG),
                "{code:?}"
            );
        }
        // A payload that is longer than any message may be on the wire is refused before decompression.
        (None, Reference::Message(_)) if compressed.len() > limit => {
            assert_eq!(sent_code(&machine), Some(CloseCode::MESSAGE_TOO_BIG));
        }
        (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
    }
}

fn sent_code(machine: &Machine) -> Option<CloseCode> {
    machine.connection.close_info()?.error?.close_code()
}

/// One binary message in this many frames.
fn message(role: Role, payload: &[u8], fragments: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let size = payload.len().div_ceil(fragments).max(1);
    let mut parts = payload.chunks(size).peekable();
    let mut first = true;
    loop {
        let part = parts.next().unwrap_or_default();
        let fin = parts.peek().is_none();
        let key = (role == Role::Server).then_some([1, 2, 3, 4]);
        let opcode = if first { OpCode::Binary } else { OpCode::Continuation };
        let rsv = if first { RSV1 } else { 0 };
        wire.extend(encoded(&FrameHeader { fin, rsv, ..FrameHeader::new(opcode, part.len() as u64, key) }));
        let start = wire.len();
        wire.extend_from_slice(part);
        if let Some(key) = key {
            Mask::new(key).apply(&mut wire[start..]);
        }
        first = false;
        if fin {
            return wire;
        }
    }
}

/// The number of bytes of a too large message that are decompressed.
const MOST: usize = 8 << 20;

#[derive(Debug)]
enum Reference {
    Message(Vec<u8>),
    TooLarge,
    Invalid,
}

/// Decompression as in RFC 7692 section 7.2.2, without a limit on memory.
fn reference(compressed: &[u8], limit: usize) -> Reference {
    let (mut rest, mut out) = (compressed, Vec::new());
    let mut raw = Decompress::new(false);
    let (mut buffer, mut too_large) = (vec![0; limit + 2], false);
    if rest.is_empty() {
        return Reference::Invalid;
    }
    loop {
        let Ok((status, read, written)) = step(&mut raw, rest, &mut buffer) else {
            return Reference::Invalid;
        };
        rest = &rest[read..];
        out.extend_from_slice(&buffer[..written]);
        // The rest is still checked, up to a limit.
        too_large |= out.len() > limit;
        let ended = status == Status::StreamEnd;
        let is_over = rest.is_empty() && (ended || written < buffer.len());
        if too_large && (is_over || out.len() > MOST) {
            return Reference::TooLarge;
        }
        if is_over {
            return if ended || is_whole(&mut raw) { Reference::Message(out) } else { Reference::Invalid };
        }
        if ended {
            // A last block. The following bytes are a new stream.
            raw.reset(false);
        } else if read == 0 && written == 0 {
            return Reference::Invalid;
        }
    }
}

/// Whether the bytes that end a message produce no output and leave the stream at the start of a block.
fn is_whole(raw: &mut Decompress) -> bool {
    let mut buffer = [0; 300];
    let tail = step(raw, &[0, 0, 0xff, 0xff], &mut buffer);
    tail == Ok((Status::Ok, 4, 0)) && step(raw, &[3, 0], &mut buffer) == Ok((Status::StreamEnd, 2, 0))
}

fn step(raw: &mut Decompress, input: &[u8], out: &mut [u8]) -> Result<(Status, usize, usize), ()> {
    let (read, written) = (raw.total_in(), raw.total_out());
    let status = raw.decompress(input, out, FlushDecompress::Sync).map_err(|_| ())?;
    Ok((status, (raw.total_in() - read) as usize, (raw.total_out() - written) as usize))
}
