//! Frame headers, compared with a reference decoder that was written from RFC 6455 section 5.2 alone.

use ws_proto::frame::{FrameHeader, MAX_HEADER_LEN};

pub fn frame_header(data: &[u8]) {
    let parsed = FrameHeader::parse(data);
    let Some(expected) = reference_decoder(data) else {
        assert!(!matches!(parsed, Ok(Some(_))), "not enough bytes for {parsed:?}");
        return;
    };
    match (parsed, expected) {
        (Err(_), Header::Illegal) => {}
        (Ok(Some(header)), Header::Legal { payload_len, header_len, masked }) => {
            let len = header.encoded_len();
            assert_eq!((header.payload_len, len, header.mask.is_some()), (payload_len, header_len, masked));
            assert_eq!(
                (header.fin, header.rsv, header.opcode.bits()),
                (data[0] & 0x80 != 0, data[0] & 0x70, data[0] & 0x0f)
            );
            assert_eq!(encoded(&header), data[..len], "the shortest form is the only one");
        }
        (parsed, expected) => panic!("{parsed:?} instead of {expected:?}"),
    }
}

pub(crate) fn encoded(header: &FrameHeader) -> Vec<u8> {
    let mut bytes = [0; MAX_HEADER_LEN];
    let len = header.encode(&mut bytes);
    bytes[..len].to_vec()
}

#[derive(Debug)]
enum Header {
    Illegal,
    Legal { payload_len: u64, header_len: usize, masked: bool },
}

/// The reference decoder. `None`: the header is not complete.
fn reference_decoder(data: &[u8]) -> Option<Header> {
    let (first, second) = (*data.first()?, *data.get(1)?);
    let opcode = first & 0x0f;
    let masked = second & 0x80 != 0;
    let (payload_len, len_end) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*data.get(2..4)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*data.get(2..10)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let shortest = match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    let is_control = opcode >= 8;
    let illegal = matches!(opcode, 3..=7 | 11..=15)
        || len_end != shortest
        || payload_len >> 63 != 0
        || (is_control && (payload_len > 125 || first & 0x80 == 0));
    if illegal {
        return Some(Header::Illegal);
    }
    let header_len = len_end + if masked { 4 } else { 0 };
    (data.len() >= header_len).then_some(Header::Legal { payload_len, header_len, masked })
}
