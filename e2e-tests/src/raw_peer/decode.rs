//! Decodes received frames and checks the rules for a single frame.

use super::{RawFrame, Side, opcode};

/// A frame that arrived, its payload unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// FIN: this is the last fragment of its message.
    pub fin: bool,
    /// RSV1, which is legal only with negotiated compression.
    pub rsv1: bool,
    /// One of the constants in [`opcode`].
    pub opcode: u8,
    /// The masking key, if it was masked.
    pub mask: Option<[u8; 4]>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl ReceivedFrame {
    /// Whether this is a Close, a ping or a pong.
    pub fn is_control(&self) -> bool {
        self.opcode >= opcode::CLOSE
    }

    /// The code and the reason, if this is a Close that has them.
    pub fn close_code(&self) -> Option<(u16, &str)> {
        let (code, reason) = self.payload.split_first_chunk::<2>()?;
        let code = (self.opcode == opcode::CLOSE).then_some(u16::from_be_bytes(*code))?;
        Some((code, std::str::from_utf8(reason).ok()?))
    }
}

/// Compares FIN, RSV1, opcode and payload.
impl PartialEq<RawFrame> for ReceivedFrame {
    fn eq(&self, sent: &RawFrame) -> bool {
        (self.fin, [self.rsv1, false, false], self.opcode) == (sent.fin, sent.rsv, sent.opcode)
            && self.payload == sent.payload
    }
}

/// The first frame in `input` and its length on the wire in bytes, or `None` while it is incomplete.
///
/// # Errors
/// The rule that the frame breaks. The header is checked as soon as it is complete.
pub fn decode(
    input: &[u8],
    sender: Side,
    compression: bool,
) -> Result<Option<(ReceivedFrame, usize)>, String> {
    let Some((frame, length, header)) = decode_header(input)? else { return Ok(None) };
    check_header(&frame, length, input[0], sender, compression)?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let Some(payload) = input.get(header..header + length) else { return Ok(None) };
    let mut frame = frame;
    frame.payload = payload.to_vec();
    if let Some(key) = frame.mask {
        frame.payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
    check_close(&frame)?;
    Ok(Some((frame, header + length)))
}

/// The frame without its payload, the declared payload length, and the length of the header.
fn decode_header(input: &[u8]) -> Result<Option<(ReceivedFrame, u64, usize)>, String> {
    let &[first, second, ref rest @ ..] = input else { return Ok(None) };
    let extended = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let key_length = if second & 0x80 == 0 { 0 } else { 4 };
    let Some(length_bytes) = rest.get(..extended) else { return Ok(None) };
    let length = match extended {
        0 => u64::from(second & 0x7F),
        _ => length_bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    check_length_form(length, extended)?;
    let Some(key) = rest.get(extended..extended + key_length) else { return Ok(None) };
    let frame = ReceivedFrame {
        fin: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        opcode: first & 0x0F,
        mask: key.first_chunk().copied(),
        payload: Vec::new(),
    };
    Ok(Some((frame, length, 2 + extended + key_length)))
}

fn check_length_form(length: u64, extended: usize) -> Result<(), String> {
    match (extended, length) {
        (2, 0..=125) | (8, 0..=0xFFFF) => Err(format!("length {length} in {extended} bytes is not minimal")),
        (8, 0x8000_0000_0000_0000..) => Err(format!("length {length:#x} has its top bit set")),
        _ => Ok(()),
    }
}

fn check_header(
    frame: &ReceivedFrame,
    length: u64,
    first: u8,
    sender: Side,
    compression: bool,
) -> Result<(), String> {
    let data = frame.opcode <= opcode::BINARY;
    let control = (opcode::CLOSE..=opcode::PONG).contains(&frame.opcode);
    let masked = frame.mask.is_some();
    let broken = match frame {
        _ if !data && !control => "the opcode is reserved",
        _ if first & 0x30 != 0 => "RSV2 or RSV3 is set",
        _ if frame.rsv1 && !compression => "RSV1 is set, but there is no compression",
        _ if frame.rsv1 && control => "RSV1 is set on a control frame",
        _ if control && !frame.fin => "a control frame is fragmented",
        _ if control && length > 125 => "a control frame is longer than 125 bytes",
        _ if masked && sender == Side::Server => "a server has masked",
        _ if !masked && sender == Side::Client => "a client has not masked",
        _ => return Ok(()),
    };
    Err(format!("{broken}: first byte {first:#04x}, length {length}"))
}

/// Checks the payload of a Close: RFC 6455 section 7.4 and the IANA registry say which codes may be sent.
fn check_close(frame: &ReceivedFrame) -> Result<(), String> {
    if frame.opcode != opcode::CLOSE || frame.payload.is_empty() {
        return Ok(());
    }
    match frame.close_code() {
        Some((1000..=1003 | 1007..=1014 | 3000..=4999, _)) => Ok(()),
        _ => Err(format!("a Close with the payload {:02x?}", frame.payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Length, Mask};
    use super::*;

    fn from_server(frame: &RawFrame) -> Result<Option<(ReceivedFrame, usize)>, String> {
        decode(&frame.encode(Side::Server), Side::Server, false)
    }

    fn refusal(frame: &RawFrame) -> String {
        from_server(frame).expect_err("an illegal frame")
    }

    #[test]
    fn what_was_encoded_comes_back_from_both_sides_at_every_length_form() {
        for sender in [Side::Client, Side::Server] {
            for length in [0, 1, 125, 126, 65535, 65536] {
                let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let sent = RawFrame::binary(payload);
                let bytes = sent.encode(sender);
                let (received, used) = decode(&bytes, sender, false).unwrap().expect("complete");
                assert_eq!((used, received.mask.is_some()), (bytes.len(), sender == Side::Client));
                assert!(received == sent);
            }
        }
    }

    #[test]
    fn every_proper_prefix_is_incomplete() {
        for frame in [RawFrame::text("Hello"), RawFrame::binary([7; 300])] {
            let bytes = frame.encode(Side::Client);
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end], Side::Client, false), Ok(None), "{end} bytes");
            }
        }
    }

    #[test]
    fn each_illegal_frame_is_refused() {
        let text = || RawFrame::text("ab");
        let cases = [
            (RawFrame::new(3, *b""), "reserved"),
            (RawFrame::new(7, *b""), "reserved"),
            (RawFrame::new(11, *b""), "reserved"),
            (RawFrame::new(15, *b""), "reserved"),
            (text().rsv(1), "RSV1"),
            (text().rsv(2), "RSV2 or RSV3"),
            (text().rsv(3), "RSV2 or RSV3"),
            (RawFrame::ping("").not_final(), "fragmented"),
            (RawFrame::ping([0; 126]), "longer than 125"),
            (text().mask(Mask::Key([1, 2, 3, 4])), "a server has masked"),
            (text().length(Length::Bits16(2)), "not minimal"),
            (RawFrame::binary([0; 300]).length(Length::Bits64(300)), "not minimal"),
            (text().length(Length::Bits64(1 << 63)), "top bit"),
            (RawFrame::new(opcode::CLOSE, [3]), "a Close"),
            (RawFrame::close(1005, ""), "a Close"),
            (RawFrame::close(1015, ""), "a Close"),
            (RawFrame::close(2999, ""), "a Close"),
            (RawFrame::close(1000, [0xFE]), "a Close"),
        ];
        for (frame, expected) in cases {
            let refusal = refusal(&frame);
            assert!(refusal.contains(expected), "{frame:?}: {refusal}");
        }
    }

    #[test]
    fn a_client_has_to_mask() {
        let bytes = RawFrame::text("ab").encode(Side::Server);
        assert!(decode(&bytes, Side::Client, false).is_err());
    }

    #[test]
    fn compression_allows_rsv1_on_data_only() {
        let decode = |frame: RawFrame| decode(&frame.encode(Side::Server), Side::Server, true);
        assert!(decode(RawFrame::text("ab").rsv(1)).is_ok());
        assert!(decode(RawFrame::ping("ab").rsv(1)).is_err());
    }

    #[test]
    fn a_broken_header_is_refused_before_its_payload_arrives() {
        let bytes = RawFrame::ping([0; 126]).encode(Side::Server);
        assert!(decode(&bytes[..4], Side::Server, false).is_err());
    }

    #[test]
    fn a_close_has_a_code_and_a_reason() {
        let (close, _) = from_server(&RawFrame::close(4999, "später")).unwrap().unwrap();
        assert_eq!(close.close_code(), Some((4999, "später")));
        let (empty, _) = from_server(&RawFrame::new(opcode::CLOSE, *b"")).unwrap().unwrap();
        assert_eq!(empty.close_code(), None);
    }
}
