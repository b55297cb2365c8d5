//! Our compression, checked by flate2's decompression with the negotiated window.

use flate2::{Decompress, FlushDecompress};
use ws_proto::{
    Config, MessageKind, Role,
    deflate::DeflateConfig,
    frame::{FrameHeader, OpCode, RSV1},
};

use crate::{inflate::agreement, input::Input, machine::Machine};

pub fn deflate(data: &[u8]) {
    let mut input = Input::new(data);
    let (window_bits, level) = (9 + input.byte() % 7, 1 + input.byte() % 9);
    let times = 1 + input.below(4);
    let payload = input.rest().repeat(times);
    let mut deflate = DeflateConfig::server();
    deflate.threshold = 0;
    deflate.level = level;
    deflate.send_window_bits = window_bits;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    let config = config.validate().expect("valid");
    let mut machine = Machine::new(Role::Server, &config, agreement(Role::Server, &config));
    machine.connection.send(MessageKind::Binary, &payload, &mut machine.tx).expect("it is open");
    machine.drive();
    let (sent, compressed) = message(&machine.written);
    if !compressed {
        assert!(sent == payload);
        return;
    }
    assert!(sent.len() < payload.len());
    let mut raw = Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::with_capacity(payload.len() + 1);
    let wire = [&sent[..], &[0, 0, 0xff, 0xff]].concat();
    raw.decompress_vec(&wire, &mut out, FlushDecompress::Sync).expect("valid");
    assert!(raw.total_in() as usize == wire.len() && out == payload);
}

/// The payload of a message, its fragments joined, and whether it is compressed.
fn message(mut wire: &[u8]) -> (Vec<u8>, bool) {
    let (mut payload, mut compressed) = (Vec::new(), false);
    loop {
        let header = FrameHeader::parse(wire).expect("valid").expect("complete");
        let len = header.encoded_len();
        if header.opcode != OpCode::Continuation {
            compressed = header.rsv == RSV1;
        }
        let end = len + header.payload_len as usize;
        payload.extend_from_slice(&wire[len..end]);
        wire = &wire[end..];
        if header.fin {
            assert!(wire.is_empty());
            return (payload, compressed);
        }
    }
}
