//! Strings of the application's, and so perhaps of a user's, that would be lines of a head.

use crate::scale::{number, scaled};
use crate::table::Row;
use crate::victim::attack;
use ws_proto::Limits;
use ws_proto::handshake::{
    Acceptance, ClientHandshake, ClientRequest, Rejection, RequestReader, ServerHandshake,
};

const INJECTION: Row = Row::new(5, "injected lines");

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    /// Often harmless, often not.
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

/// How many requests, and responses, with such strings came about, and how many of those have a line too many.
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
    // Request line, Host, Upgrade, Connection, key, version, and the empty one.
    let expected = 7 + offers + headers;
    (1, usize::from(lines(&head) != expected || !is_clean(&head)))
}

fn responses(handshake: &ServerHandshake, dice: &mut Dice) -> (usize, usize) {
    let mut acceptance = Acceptance::default();
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
    // Status line, type, length, Connection, and the empty one; then the body, whatever it is.
    wrong += usize::from(lines(&head[..body]) != 5 || head[body..] != *text.as_bytes());
    (made, wrong)
}

#[test]
fn no_string_gets_a_line_into_a_head() {
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
            &format!("{} heads of random strings, with a line too many", number(made)),
            wrong,
            0,
            "",
        );
    });
}
