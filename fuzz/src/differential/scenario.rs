//! Makes a scenario from the fuzzer's bytes: a role, a limit, the bytes on the wire, and their cuts.

use ws_proto::{
    Role,
    frame::{FrameHeader, OpCode},
    mask::Mask,
};

use crate::{frame_header::encoded, input::Input};

#[derive(Debug)]
pub(super) struct Scenario {
    /// The role of the reading side.
    pub(super) role: Role,
    /// The maximum size of a message, and of a frame.
    pub(super) limit: usize,
    /// Whether the stream ends after the last byte.
    pub(super) ends: bool,
    pub(super) wire: Vec<u8>,
    steps: [usize; 3],
}

impl Scenario {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut input = Input::new(data);
        let choice = input.byte();
        let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
        // The other libraries also apply it to control frames, so it is never below their maximum of 125 bytes.
        let limit = 125 + input.number() % 3000;
        let steps = [1 + input.below(8), 1 + input.below(64), 1 + input.number() % 1000];
        let wire = if choice & 2 == 0 { input.rest().to_vec() } else { built(role, &mut input) };
        Self { role, limit, ends: choice & 4 != 0, wire, steps }
    }

    pub(super) fn longest_piece(&self) -> usize {
        self.steps.iter().copied().max().unwrap_or(0)
    }

    /// The pieces of the bytes on the wire.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut steps = self.steps.iter().cycle();
        let mut rest = &self.wire[..];
        std::iter::from_fn(move || {
            let size = (*steps.next()?).min(rest.len());
            let (piece, behind) = rest.split_at(size);
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// Frames that are mostly valid, so that the code for later frames is reached.
fn built(role: Role, input: &mut Input<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        push_frame(role, input, &mut wire);
    }
    wire
}

fn push_frame(role: Role, input: &mut Input<'_>, wire: &mut Vec<u8>) {
    let shape = input.byte();
    let opcode =
        [OpCode::Continuation, OpCode::Text, OpCode::Binary, OpCode::Ping, OpCode::Pong, OpCode::Close]
            [usize::from(shape & 7) % 6];
    let len = match shape >> 3 & 3 {
        0 => input.below(8),
        1 => input.below(126),
        2 => 120 + input.below(12),
        _ => input.number() % 4000,
    };
    let payload = payload(opcode, len, input);
    let key = (role == Role::Server).then_some([shape, 2, 3, 4]);
    let mut header = FrameHeader::new(opcode, payload.len() as u64, key);
    header.fin = shape & 0x20 == 0 || opcode.is_control();
    let start = wire.len();
    wire.extend(encoded(&header));
    let payload_at = wire.len();
    wire.extend_from_slice(&payload);
    if let Some(key) = key {
        Mask::new(key).apply(&mut wire[payload_at..]);
    }
    // Sometimes a bit of the header or the payload is flipped.
    if shape & 0xc0 == 0xc0 {
        let at = start + input.below(16).min(wire.len() - start - 1);
        wire[at] ^= input.byte();
    }
}

fn payload(opcode: OpCode, len: usize, input: &mut Input<'_>) -> Vec<u8> {
    const CODES: [u16; 16] =
        [1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 999];
    let mut payload: Vec<u8> = match input.byte() {
        // Characters of one to four bytes, cut at the payload's length.
        0..128 => "aä€😀".bytes().cycle().take(len).collect(),
        _ => (0..len).map(|_| input.byte()).collect(),
    };
    if opcode == OpCode::Close && len >= 2 {
        payload[..2].copy_from_slice(&CODES[input.below(16)].to_be_bytes());
    }
    if opcode.is_control() {
        payload.truncate(125);
    }
    payload
}
