use proptest::prelude::*;

use super::{FrameHeader, MAX_HEADER_LEN, OpCode, RSV1, RSV2, RSV3};
use crate::error::ProtocolError;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn parse(bytes: &[u8]) -> (FrameHeader, usize) {
    FrameHeader::parse_with_len(bytes).unwrap().unwrap()
}

fn encode(header: FrameHeader) -> Vec<u8> {
    let mut out = [0; MAX_HEADER_LEN];
    let len = header.encode(&mut out);
    assert_eq!(len, header.encoded_len());
    out[..len].to_vec()
}

#[test]
fn opcodes_have_the_values_of_rfc_6455_section_11_8() {
    let values = [
        (OpCode::Continuation, 0),
        (OpCode::Text, 1),
        (OpCode::Binary, 2),
        (OpCode::Close, 8),
        (OpCode::Ping, 9),
        (OpCode::Pong, 10),
    ];
    for (opcode, bits) in values {
        assert_eq!(opcode.bits(), bits);
        assert_eq!(OpCode::from_bits(bits), Some(opcode));
    }
}

#[test]
fn close_ping_and_pong_are_control_and_the_others_are_not() {
    for opcode in [OpCode::Close, OpCode::Ping, OpCode::Pong] {
        assert!(opcode.is_control());
    }
    for opcode in [OpCode::Continuation, OpCode::Text, OpCode::Binary] {
        assert!(!opcode.is_control());
    }
}

#[test]
fn an_unmasked_text_header_is_parsed() {
    let (header, len) = parse(b"\x81\x05Hello");
    assert_eq!(header, FrameHeader::new(OpCode::Text, 5, None));
    assert_eq!(len, 2);
}

#[test]
fn a_masked_text_header_has_its_key() {
    let (header, len) = parse(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f]);
    assert_eq!(header.mask, Some(KEY));
    assert_eq!((header.payload_len, len), (5, 6));
}

#[test]
fn sixteen_bit_lengths_are_parsed() {
    assert_eq!(parse(&[0x82, 126, 1, 0]), (FrameHeader::new(OpCode::Binary, 256, None), 4));
    let (header, len) = parse(&[0x81, 0xfe, 0x01, 0x2c, 0xaa, 0xbb, 0xcc, 0xdd]);
    assert_eq!((header.payload_len, header.mask, len), (300, Some([0xaa, 0xbb, 0xcc, 0xdd]), 8));
}

#[test]
fn sixty_four_bit_lengths_are_parsed() {
    let mut bytes = vec![0x82, 127];
    bytes.extend(70_000_u64.to_be_bytes());
    assert_eq!(parse(&bytes), (FrameHeader::new(OpCode::Binary, 70_000, None), 10));
    bytes[1] |= 0x80;
    bytes.extend([0x11, 0x22, 0x33, 0x44]);
    let (header, len) = parse(&bytes);
    assert_eq!((header.payload_len, header.mask, len), (70_000, Some([0x11, 0x22, 0x33, 0x44]), 14));
}

#[test]
fn a_continuation_without_fin_is_parsed() {
    let (header, _) = parse(&[0x00, 0x0a]);
    assert!(!header.fin);
    assert_eq!((header.opcode, header.payload_len), (OpCode::Continuation, 10));
}

#[test]
fn control_frames() {
    for (bytes, opcode, len) in
        [([0x88, 2], OpCode::Close, 2), ([0x89, 0], OpCode::Ping, 0), ([0x8a, 0], OpCode::Pong, 0)]
    {
        assert_eq!(parse(&bytes), (FrameHeader::new(opcode, len, None), 2));
    }
}

#[test]
fn every_strict_prefix_of_a_header_needs_more_bytes() {
    for payload_len in [0, 125, 126, 65_535, 65_536, u64::MAX >> 1] {
        for mask in [None, Some(KEY)] {
            let bytes = encode(FrameHeader::new(OpCode::Binary, payload_len, mask));
            for cut in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..cut]), Ok(None), "{cut} of {bytes:?}");
            }
        }
    }
}

#[test]
fn reserved_opcodes_are_refused_at_the_first_byte() {
    for bits in (3..=7).chain(11..=15) {
        assert_eq!(FrameHeader::parse(&[0x80 | bits]), Err(ProtocolError::ReservedOpcode(bits)));
    }
}

#[test]
fn control_frames_over_125_bytes_are_refused_at_the_second_byte() {
    for opcode in [0x88, 0x89, 0x8a] {
        assert_eq!(FrameHeader::parse(&[opcode, 126]), Err(ProtocolError::ControlFrameTooLong));
        assert!(FrameHeader::parse(&[opcode, 125]).unwrap().is_some());
    }
}

#[test]
fn fragmented_control_frames_are_refused() {
    assert_eq!(FrameHeader::parse(&[0x09, 0]), Err(ProtocolError::FragmentedControlFrame));
}

#[test]
fn non_minimal_lengths_are_refused() {
    assert_eq!(FrameHeader::parse(&[0x82, 126, 0, 125]), Err(ProtocolError::NonMinimalLength));
    let mut bytes = vec![0x82, 127];
    bytes.extend(65_535_u64.to_be_bytes());
    assert_eq!(FrameHeader::parse(&bytes), Err(ProtocolError::NonMinimalLength));
}

#[test]
fn a_length_with_its_top_bit_set_is_refused_at_that_byte() {
    assert_eq!(FrameHeader::parse(&[0x82, 127, 0x80]), Err(ProtocolError::LengthTopBitSet));
}

#[test]
fn reserved_bits_are_reported_at_their_position() {
    assert_eq!(parse(&[0xc1, 0]).0.rsv, RSV1);
    assert_eq!(parse(&[0xa1, 0]).0.rsv, RSV2);
    assert_eq!(parse(&[0x91, 0]).0.rsv, RSV3);
}

#[test]
fn encoded_lengths_are_minimal() {
    for (payload_len, expected) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        assert_eq!(encode(FrameHeader::new(OpCode::Text, payload_len, None)).len(), expected);
        assert_eq!(encode(FrameHeader::new(OpCode::Text, payload_len, Some(KEY))).len(), expected + 4);
    }
}

#[test]
fn the_mask_key_follows_the_length() {
    for (payload_len, second, at) in [(5, 0x85, 2), (300, 0xfe, 4), (70_000, 0xff, 10)] {
        let bytes = encode(FrameHeader::new(OpCode::Text, payload_len, Some(KEY)));
        assert_eq!(bytes[1], second);
        assert_eq!(bytes[at..], KEY);
    }
}

#[test]
fn a_compressed_text_frame_starts_with_c1() {
    let header = FrameHeader { rsv: RSV1, ..FrameHeader::new(OpCode::Text, 1, None) };
    assert_eq!(encode(header)[0], 0xc1);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(Some((header, len))) = FrameHeader::parse_with_len(&bytes) {
            prop_assert!(len <= bytes.len());
            prop_assert_eq!(len, header.encoded_len());
            prop_assert_eq!(encode(header), &bytes[..len]);
        }
    }

    #[test]
    fn an_encoded_header_parses_back(
        fin in any::<bool>(),
        payload_len in 0..(u64::MAX >> 1),
        opcode in prop::sample::select(vec![OpCode::Continuation, OpCode::Text, OpCode::Binary]),
        mask in any::<Option<[u8; 4]>>(),
        rsv in 0_u8..8,
    ) {
        let header = FrameHeader { fin, rsv: rsv << 4, opcode, mask, payload_len };
        let bytes = encode(header);
        prop_assert_eq!(FrameHeader::parse(&bytes), Ok(Some(header)));
        prop_assert_eq!(header.encoded_len(), bytes.len());
    }
}

#[test]
fn a_message_appended_at_once_is_its_header_and_its_payload() {
    for opcode in [OpCode::Text, OpCode::Binary] {
        for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut expected = vec![9];
            FrameHeader::new(opcode, len as u64, None).append_to(&mut expected);
            expected.extend(&payload);
            let mut frame = vec![9];
            FrameHeader::append_message(opcode, &payload, &mut frame);
            assert_eq!(frame, expected, "{len} bytes");
        }
    }
}
