//! The least HTTP that a WebSocket client accepts.

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The response to a request: `None` until the request is complete, `Some(None)` if it has no key.
pub fn answer(head: &[u8]) -> Option<Option<Vec<u8>>> {
    head.ends_with(b"\r\n\r\n").then(|| key(head).map(response))
}

/// The number at the end of the target: 7 for `/7` and for `ws://host/7`, and 0 without a number.
pub fn group(head: &[u8]) -> usize {
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let last = target.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let digits = last.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

fn key(head: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"sec-websocket-key:";
    let line = head
        .split(|&byte| byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    Some(line[NAME.len()..].trim_ascii())
}

fn response(key: &[u8]) -> Vec<u8> {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_the_example_of_the_rfc() {
        let head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let answer = super::answer(head).flatten().expect("complete, with a key");
        assert!(String::from_utf8_lossy(&answer).contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        assert_eq!(super::answer(&head[..40]), None);
    }

    #[test]
    fn the_target_may_name_a_group() {
        assert_eq!(super::group(b"GET /17 HTTP/1.1\r\n"), 17);
        assert_eq!(super::group(b"GET / HTTP/1.1\r\n"), 0);
        assert_eq!(super::group(b"GET ws://127.0.0.1:9001/40 HTTP/1.1\r\n"), 40);
    }
}
