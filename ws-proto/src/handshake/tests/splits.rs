//! The result must not depend on how a head and the frames after it are split: the reader gives the same answer, and
//! the bytes after the head are passed on unchanged.

use std::fmt::Debug;

use crate::{
    config::Limits,
    handshake::{RequestReader, ResponseReader, ServerHandshake},
};

use super::{REQUEST, RESPONSE, plus, with};

/// Frames that may follow a head: a masked text, a ping and half a frame.
const FRAMES: &[u8] = b"\x81\x82\x01\x02\x03\x04ik\x89\x80\0\0\0\0\x82\xfe\x01";

/// The result: the head or the error, and the remaining bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answer: Option<String>,
    rest: Vec<u8>,
}

/// Reads as a server does: after each piece, the reader gets all bytes received so far.
fn read<T: Debug, E: Debug>(
    mut reader: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
    pieces: &[&[u8]],
) -> Outcome {
    let mut received = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        if piece.is_empty() && received.is_empty() {
            continue;
        }
        received.extend_from_slice(piece);
        match reader(&received) {
            Ok(None) => {}
            Ok(Some((head, length))) => {
                let rest = [&received[length..], &pieces[at + 1..].concat()].concat();
                return Outcome { answer: Some(format!("{head:?}")), rest };
            }
            // After an error the remaining bytes do not matter.
            Err(error) => return Outcome { answer: Some(format!("{error:?}")), rest: Vec::new() },
        }
    }
    Outcome { answer: None, rest: received }
}

fn request(pieces: &[&[u8]]) -> Outcome {
    let mut reader = RequestReader::new(&Limits::default());
    read(
        |received| {
            // The server's check of the request is part of the result.
            let read = reader.read(received)?;
            Ok::<_, crate::handshake::RequestError>(match read {
                Some((request, length)) => {
                    let handshake = ServerHandshake::new(&request)?;
                    Some(((request.uri().clone(), request.headers().clone(), handshake), length))
                }
                None => None,
            })
        },
        pieces,
    )
}

fn response(pieces: &[&[u8]]) -> Outcome {
    let mut reader = ResponseReader::new(&Limits::default());
    read(|received| reader.read(received), pieces)
}

fn requests() -> Vec<String> {
    let mut requests = vec![
        REQUEST.to_owned(),
        plus("Origin: https://example.com"),
        plus("Sec-WebSocket-Protocol: chat, superchat"),
        plus("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        plus("Cookie: \u{e9}"),
        plus("Empty:"),
        plus("Content-Length: 0"),
        plus("Content-Length: 5"),
        plus("Transfer-Encoding: chunked"),
        plus("Spaced : x"),
        plus(" folded: x"),
        plus("Null: a\0b"),
        plus("Bare: \r"),
        plus("No colon"),
        with("Host: example.com", ""),
        with("Upgrade: websocket", "Upgrade: h2c\r\n"),
        with("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8\r\n"),
        REQUEST.replace("GET", "POST"),
        REQUEST.replace("HTTP/1.1", "HTTP/1.0"),
        REQUEST.replace("HTTP/1.1", "HTTP/3.7"),
        REQUEST.replace("/chat?room=1", "chat"),
        REQUEST.replace("Host: example.com\r\n", "Host: example.com\n"),
        REQUEST.replace("\r\n\r\n", "\n\n"),
        REQUEST.replace("\r\n\r\n", "\r\n\n"),
        REQUEST.replace("\r\n\r\n", "\r\n"),
        "\r\n".to_owned() + REQUEST,
        "garbage\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\0".to_owned(),
        "\r\n\r\n".to_owned(),
        String::new(),
    ];
    // At and above the limits on lines and bytes.
    for lines in [95, 96, 97] {
        requests.push(REQUEST.replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(lines - 1))));
    }
    for length in [8191, 8192, 8193] {
        let filling = "f".repeat(length - REQUEST.len() - "X: \r\n".len());
        requests.push(plus(&format!("X: {filling}")));
    }
    requests
}

fn responses() -> Vec<String> {
    vec![
        RESPONSE.to_owned(),
        RESPONSE.replace("101 Switching Protocols", "101"),
        RESPONSE.replace("101 Switching Protocols", "403 Forbidden"),
        RESPONSE.replace("101 Switching Protocols", "403 Forbidden").replace("\r\n", "\n"),
        RESPONSE.replace("101 Switching Protocols", "403 Forbidden").replace("Upgrade:", "Upgrade :\r\n  "),
        RESPONSE.replace("101", "1O1"),
        RESPONSE.replace("HTTP/1.1", "HTTP/2"),
        RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        RESPONSE.replace("\r\n\r\n", "\r\n folded\r\n\r\n"),
        RESPONSE.replace("Upgrade: websocket\r\n", "Upgrade: websocket\n"),
        RESPONSE.replace("\r\n\r\n", "\r\n"),
        "HTTP/1.1\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        String::new(),
    ]
}

/// Compares the pieces with the whole: every split in two, byte by byte, and every split in three around each line
/// end and the end of the head.
fn check_splits(heads: &[String], outcome: fn(&[&[u8]]) -> Outcome) -> usize {
    let mut runs = 0;
    for head in heads {
        let bytes = [head.as_bytes(), FRAMES].concat();
        let whole = outcome(&[&bytes]);
        let mut check = |pieces: &[&[u8]]| {
            assert_eq!(
                outcome(pieces),
                whole,
                "{head:?} in {:?}",
                pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>()
            );
            runs += 1;
        };
        check(&bytes.chunks(1).collect::<Vec<_>>());
        // A large head is split at only a thousand positions.
        let step = 1 + bytes.len() / 1000;
        for at in (0..=bytes.len()).step_by(step) {
            let (one, other) = bytes.split_at(at);
            check(&[one, other]);
        }
        let places: Vec<usize> = split_positions(&bytes, head.len());
        for (at, first) in places.iter().enumerate() {
            for second in &places[at..] {
                check(&[&bytes[..*first], &bytes[*first..*second], &bytes[*second..]]);
            }
        }
    }
    println!("{} heads, {runs} splits", heads.len());
    runs
}

/// Positions around the first line ends and in the frames.
fn split_positions(bytes: &[u8], head: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (head..bytes.len()).step_by(3).collect();
    let ends = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').take(12);
    places.extend(ends.flat_map(|at| [at.saturating_sub(1), at, at + 1]));
    places.extend([1, head.saturating_sub(3), head.saturating_sub(1)]);
    places.retain(|at| *at <= bytes.len());
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn a_request_split_anywhere_is_read_like_the_whole_and_its_frames_are_passed_on() {
    let heads = requests();
    let accepted = heads.iter().filter(|head| request(&[head.as_bytes(), FRAMES]).rest == FRAMES).count();
    assert!(accepted >= 8, "{accepted}");
    let runs = check_splits(&heads, request);
    assert!(runs > 15_000, "{runs}");
}

#[test]
fn a_request_split_in_three_anywhere_is_read_like_the_whole() {
    for head in [REQUEST.to_owned(), REQUEST.replace("Host: example.com\r\n", "Host: example.com\n")] {
        let bytes = [head.as_bytes(), FRAMES].concat();
        let whole = request(&[&bytes]);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(request(&pieces), whole, "{first} and {second}");
            }
        }
    }
}

#[test]
fn a_response_split_anywhere_is_read_like_the_whole_and_its_frames_are_passed_on() {
    let runs = check_splits(&responses(), response);
    assert!(runs > 3000, "{runs}");
}
