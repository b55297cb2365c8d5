use proptest::prelude::*;

use super::{crc32c::Crc32c, *};

/// A header of version 2 with these addresses and TLVs.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, family], &len, rest].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 187];

fn ipv6() -> Vec<u8> {
    [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], &[0; 16][..], &[0, 80, 0, 90]].concat()
}

/// A TLV with the checksum of the header that ends with it.
fn with_crc(addresses: &[u8]) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[addresses, &[3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = Crc32c::default().update(&header).finish().to_be_bytes();
    let end = header.len();
    header[end - 4..].copy_from_slice(&sum);
    header
}

fn named(text: &str) -> Client {
    Client::Address(text.parse().unwrap())
}

/// Valid headers, and what they say.
fn valid() -> Vec<(Vec<u8>, Client)> {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(long.len(), 107);
    let lines = [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", named("192.0.2.1:56324")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", named("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::7 ::1 80 0\r\n", named("[2001:db8::7]:80")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 80 0\r\n", named("[::ffff:192.0.2.1]:80")),
        ("PROXY UNKNOWN\r\n", Client::Unnamed),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff::f 65535 65535\r\n", Client::Unnamed),
        (&long, Client::Unnamed),
    ];
    let tlvs = [&[4, 0, 2, 9, 9][..], &[0x20, 0, 0], &[3, 0, 4]].concat();
    let binary = [
        (v2(0x20, 0x00, &[]), Client::Unnamed),
        (v2(0x20, 0x11, &IPV4), Client::Unnamed),
        (v2(0x20, 0xff, b"anything"), Client::Unnamed),
        (v2(0x21, 0x00, b"anything"), Client::Unnamed),
        (v2(0x21, 0x11, &IPV4), named("192.0.2.1:56324")),
        (v2(0x21, 0x11, &[&IPV4[..], &tlvs[..8]].concat()), named("192.0.2.1:56324")),
        (v2(0x21, 0x21, &ipv6()), named("[2001:db8::7]:80")),
        (v2(0x21, 0x31, &[b'/'; 216]), Client::WithoutAddress),
        (v2(0x20, 0x00, &[7; 4080]), Client::Unnamed),
        (with_crc(&IPV4), named("192.0.2.1:56324")),
    ];
    let lines = lines.into_iter().map(|(line, client)| (line.as_bytes().to_vec(), client));
    lines.chain(binary).collect()
}

#[test]
fn a_valid_header_names_the_client_and_ends_before_what_follows() {
    for (header, client) in valid() {
        let expected = Parsed::Header { len: header.len(), client };
        for behind in ["", "GET / HTTP/1.1\r\n", "PROXY UNKNOWN\r\n", "\r\n"] {
            assert_eq!(parse(&[&header, behind.as_bytes()].concat()), Ok(expected), "{header:?}");
        }
    }
}

#[test]
fn a_part_of_a_header_is_incomplete_and_what_is_missing_belongs_to_it() {
    for (header, _) in valid() {
        for len in 0..header.len() {
            match parse(&header[..len]) {
                Ok(Parsed::Incomplete { missing }) => {
                    assert!((1..=header.len() - len).contains(&missing), "{len} of {header:?}: {missing}");
                }
                parsed => panic!("{len} of {header:?}: {parsed:?}"),
            }
        }
    }
}

/// A reader that never reads more than what is missing reads the header in few steps.
#[test]
fn reading_what_is_missing_ends_exactly_behind_the_header() {
    for (header, client) in valid() {
        let stream = [&header, &b"\x16\x03\x01"[..]].concat();
        let (mut read, mut reads) = (0, 0);
        while let Parsed::Incomplete { missing } = parse(&stream[..read]).unwrap() {
            read += missing;
            reads += 1;
        }
        assert_eq!(parse(&stream[..read]), Ok(Parsed::Header { len: read, client }));
        assert!(read == header.len() && reads <= 48, "{reads} reads of {header:?}");
    }
}

#[test]
fn other_bytes_are_no_header() {
    for bytes in ["GET / HTTP/1.1\r\n", "P0", "PROXYTCP4", "proxy TCP4", "\r\n\r\nGET", "\n", "\u{16}\u{3}"] {
        assert_eq!(parse(bytes.as_bytes()), Ok(Parsed::Absent), "{bytes:?}");
    }
}

#[test]
fn a_line_that_breaks_a_rule_is_an_error() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 00\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 \r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.02.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 2001:db8::7 ::1 80 0\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP6 fe80::1%1 ::1 80 0\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1\u{0} 198.51.100.1 56324 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY  UNKNOWN\r\n",
        "PROXY UNKNOWN\n\r",
        "PROXY \r\n",
        &too_long,
    ] {
        assert_eq!(parse(line.as_bytes()), Err(HeaderError::Line), "{line:?}");
    }
    // It is known before the line ends.
    assert_eq!(parse(&too_long.as_bytes()[..107]), Err(HeaderError::Line));
}

#[test]
fn a_binary_header_that_breaks_a_rule_is_an_error() {
    let wrong_sum = {
        let mut header = with_crc(&IPV4);
        *header.last_mut().unwrap() ^= 1;
        header
    };
    let tlv = |tlv: &[u8]| v2(0x21, 0x11, &[&IPV4[..], tlv].concat());
    for (header, error) in [
        (v2(0x11, 0x11, &IPV4), HeaderError::Command),
        (v2(0x22, 0x11, &IPV4), HeaderError::Command),
        (v2(0x31, 0x11, &IPV4), HeaderError::Command),
        (v2(0x21, 0x12, &IPV4), HeaderError::Family),
        (v2(0x21, 0x10, &IPV4), HeaderError::Family),
        (v2(0x21, 0x22, &ipv6()), HeaderError::Family),
        (v2(0x21, 0x41, &[0; 216]), HeaderError::Family),
        (v2(0x21, 0x11, &IPV4[..11]), HeaderError::TooShort),
        (v2(0x21, 0x21, &IPV4), HeaderError::TooShort),
        (v2(0x21, 0x31, &[0; 215]), HeaderError::TooShort),
        (tlv(&[4]), HeaderError::TooShort),
        (tlv(&[4, 0]), HeaderError::TooShort),
        (tlv(&[4, 0, 1]), HeaderError::TooShort),
        (tlv(&[4, 255, 255, 1, 2]), HeaderError::TooShort),
        (tlv(&[3, 0, 4, 1, 2, 3, 4]), HeaderError::Checksum),
        (tlv(&[3, 0, 0]), HeaderError::Checksum),
        (tlv(&[3, 0, 5, 1, 2, 3, 4, 5]), HeaderError::Checksum),
        (wrong_sum, HeaderError::Checksum),
        (v2(0x20, 0x00, &[0; 4081]), HeaderError::TooLong),
    ] {
        assert_eq!(parse(&header), Err(error), "{header:?}");
    }
    // It is known before the header is complete.
    assert_eq!(parse(&v2(0x20, 0x00, &[0; 4081])[..16]), Err(HeaderError::TooLong));
    assert_eq!(parse(&v2(0x22, 0x11, &IPV4)[..16]), Err(HeaderError::Command));
}

#[test]
fn the_checksum_is_that_of_castagnoli() {
    let sum = |bytes: &[u8]| Crc32c::default().update(bytes).finish();
    assert_eq!(sum(b"123456789"), 0xE306_9283);
    assert_eq!(sum(&[0; 32]), 0x8A91_36AA);
    assert_eq!(sum(b""), 0);
}

/// Bytes that may get past the checks of the signature and of the first fields.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        tail.clone(),
        "PROXY (TCP4|TCP6|UNKNOWN)[ 0-9a-f:.]{0,100}\r?\n?".prop_map(String::into_bytes),
        (tail, prop::sample::select(vec![0x20_u8, 0x21]), prop::sample::select(vec![0_u8, 0x11, 0x21, 0x31]))
            .prop_map(|(tail, command, family)| v2(command, family, &tail)),
    ]
}

proptest! {
    /// More bytes never change what was found, and never make an error of a beginning that was not one.
    #[test]
    fn what_is_found_does_not_depend_on_how_the_bytes_arrive(bytes in likely()) {
        let mut found = None;
        for len in 0..=bytes.len() {
            let parsed = parse(&bytes[..len]);
            match found {
                Some(found) => prop_assert_eq!(parsed, found),
                None => match parsed {
                    Ok(Parsed::Incomplete { missing }) => prop_assert!(missing > 0),
                    other => found = Some(other),
                },
            }
            if let Ok(Parsed::Header { len: header, .. }) = parsed {
                prop_assert!(header <= len && header <= 4096);
            }
        }
    }
}
