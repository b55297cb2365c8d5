//! Compressed messages (RFC 7692 sections 6 and 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    Config, Role, ValidConfig,
    deflate::{DeflateConfig, accept_answer, accept_offer},
    frame::RSV1,
    handshake::{Extensions, parse_extensions},
};

use super::{
    endpoint::{Endpoint, config},
    wire::{self, FIN, Frame},
};

mod limits;
mod prepared;
mod received;
mod sent;

pub(super) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const MIB: usize = 1024 * 1024;

/// Both sides keep their contexts, and every message is compressed.
pub(super) fn with_takeover() -> ValidConfig {
    with_deflate(|_, deflate| {
        deflate.send_takeover = true;
        deflate.receive_takeover = true;
    })
}

/// Each message is compressed independently.
pub(super) fn without_takeover() -> ValidConfig {
    with_deflate(|_, _| ())
}

pub(super) fn with_deflate(change: impl FnOnce(&mut Config, &mut DeflateConfig)) -> ValidConfig {
    config(|config| {
        let mut deflate = DeflateConfig::server();
        deflate.threshold = 0;
        change(config, &mut deflate);
        config.deflate = Some(deflate);
    })
}

fn agree(role: Role, config: &ValidConfig) -> Extensions {
    let deflate = config.shared_deflate().unwrap();
    let header = match (role, deflate.receive_takeover) {
        (Role::Client, false) => "permessage-deflate; server_no_context_takeover",
        _ => "permessage-deflate",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(header));
    let list = parse_extensions(&headers).unwrap();
    let agreed = match role {
        Role::Server => accept_offer(deflate, &list).unwrap().0,
        Role::Client => accept_answer(deflate, &list).unwrap().unwrap(),
    };
    Extensions { deflate: Some(agreed) }
}

pub(super) fn endpoint(role: Role, config: &ValidConfig) -> Endpoint {
    let mut end = Endpoint::with(role, config);
    end.connection = end.connection.with_extensions(agree(role, config));
    end.outbound.may_compress = true;
    end
}

/// Checks a rule for both roles.
pub(super) fn both(config: &ValidConfig, check: impl Fn(Endpoint)) {
    for role in [Role::Server, Role::Client] {
        eprintln!("as {role:?}:");
        check(endpoint(role, config));
    }
}

pub(super) fn compressed(frame: Frame) -> Frame {
    frame.with_reserved_bits(RSV1)
}

/// Compresses with the library alone, at its highest level.
pub(super) fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut raw = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() + 1024);
    raw.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(raw.total_in() as usize, payload.len());
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// Decompresses sent messages one by one, with the library alone.
pub(super) struct Reader {
    raw: Decompress,
    keeps_context: bool,
}

impl Reader {
    pub(super) fn new(config: &Config) -> Self {
        let keeps_context = config.deflate.as_ref().unwrap().send_takeover;
        Self { raw: Decompress::new(false), keeps_context }
    }

    /// Returns the next message with its frames joined, and the control frames between them.
    pub(super) fn read(&mut self, end: &mut Endpoint) -> (Vec<u8>, Vec<u8>) {
        let (mut payload, mut controls) = (Vec::new(), Vec::new());
        let mut first = true;
        loop {
            let sent = end.outbound.pop().expect("a frame of a message");
            if sent.opcode > wire::BINARY {
                controls.push(sent.opcode);
                continue;
            }
            if first {
                assert_eq!(sent.flags & RSV1, RSV1, "compressed");
            } else {
                assert_eq!(sent.opcode, wire::CONTINUATION);
            }
            first = false;
            payload.extend(&sent.payload);
            if sent.flags & FIN != 0 {
                return (self.inflate(&payload), controls);
            }
        }
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.keeps_context {
            self.raw.reset(false);
        }
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        let (mut out, before) = (Vec::with_capacity(1024), self.raw.total_in());
        loop {
            let read = (self.raw.total_in() - before) as usize;
            self.raw.decompress_vec(&input[read..], &mut out, FlushDecompress::Sync).unwrap();
            if out.len() < out.capacity() {
                return out;
            }
            out.reserve(out.len());
        }
    }
}

pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

pub(super) fn prose(len: usize) -> Vec<u8> {
    let words = noise(len / 4 + 1);
    words
        .iter()
        .flat_map(|byte| ["the ", "sea ", "was ", "wet "][usize::from(byte % 4)].bytes())
        .take(len)
        .collect()
}
