//! Strings from the application, and so perhaps from a user, that contain line ends.

use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::attack;
use ws_proto::Limits;
use ws_proto::handshake::{
    ClientHandshake, ClientRequest, Rejection, RequestReader, ResponseParts, ServerHandshake,
};

const INJECTION: Row = Row::new(5, "injected header lines");

/// A small generator of random numbers from a seed, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    /// A random string, with or without control characters.
    fn string(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "a",
            "/",
            "chat",
            "example.com",
            ":",
            "\r\n",
            "\n",
            "\r",
            "\0",
            " ",
            "\t",
            "X: y",
            "?",
            "é",
            "\u{85}",
            "\u{2028}",
        ];
        (0..self.roll(6)).map(|_| PARTS[self.roll(PARTS.len())]).collect()
    }
}

fn lines(head: &[u8]) -> usize {
    head.iter().filter(|byte| **byte == b'\n').count()
}

/// Whether every control character is part of a CRLF.
fn is_clean(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).replace("\r\n", "");
    !text.contains(|character: char| character.is_ascii_control() && character != '\t')
}

/// The number of requests and responses that were made with such strings, and the number of those with an extra line.
fn requests(dice: &mut Dice) -> (usize, usize) {
    let mut request = ClientRequest::new(dice.string(), format!("/{}", dice.string()));
    request.subprotocols = (0..dice.roll(3)).map(|_| dice.string()).collect();
    let mut headers = 0;
    if let Ok(value) = http::HeaderValue::from_str(&dice.string()) {
        request.headers.insert("x-any", value);
        headers += 1;
    }
    let offers = usize::from(!request.subprotocols.is_empty());
    let Ok((_, head)) = ClientHandshake::new(&request, [1; 16]) else { return (0, 0) };
    // Request line, Host, Upgrade, Connection, key, version, and the empty line.
    let expected = 7 + offers + headers;
    (1, usize::from(lines(&head) != expected || !is_clean(&head)))
}

fn responses(handshake: &ServerHandshake, dice: &mut Dice) -> (usize, usize) {
    let mut acceptance = ResponseParts::default();
    let (mut made, mut wrong) = (0, 0);
    let subprotocol = dice.string();
    acceptance.subprotocol = Some(subprotocol);
    if let Ok(head) = handshake.accept(&acceptance) {
        made += 1;
        wrong += usize::from(lines(&head) != 6 || !is_clean(&head));
    }
    let text = dice.string();
    let head = Rejection::default().with_text(text.clone()).encode();
    let body = head.len() - text.len();
    made += 1;
    // Status line, type, length, Connection, and the empty line, then the body.
    wrong += usize::from(lines(&head[..body]) != 5 || head[body..] != *text.as_bytes());
    (made, wrong)
}

#[test]
fn no_string_adds_a_line_to_a_head() {
    attack(async || {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Protocol: a, chat, example.com\r\n\r\n";
        let (request, _) = RequestReader::new(&Limits::default()).read(request).unwrap().unwrap();
        let handshake = ServerHandshake::new(&request).unwrap();
        let mut dice = Dice(5);
        let (mut made, mut wrong) = (0, 0);
        for _ in 0..scaled(200_000, 20_000) {
            for (one, bad) in [requests(&mut dice), responses(&handshake, &mut dice)] {
                (made, wrong) = (made + one, wrong + bad);
            }
        }
        assert!(made > 1000);
        INJECTION.exactly(
            &format!("{} heads with random strings: with an extra line", number(made)),
            wrong,
            0,
            "",
        );
    });
}
