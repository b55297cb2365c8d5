//! Text from a peer, made safe for a terminal.

use std::fmt::Write as _;

/// Whether a terminal or a reader could take a character for something other than itself: control characters, which
/// begin escape sequences, and characters that change the direction of text or are invisible.
fn is_unsafe(at: char) -> bool {
    at.is_control()
        || matches!(at, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes everything unsafe, line breaks too.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Escapes everything unsafe except for tabs and line breaks.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |at| matches!(at, '\n' | '\t'))
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for at in text.chars() {
        match at {
            '\n' | '\r' | '\t' if !is_kept(at) => safe.extend(at.escape_default()),
            at if is_unsafe(at) && !is_kept(at) => {
                // Writing to a string does not fail.
                let _ = if at.is_ascii() {
                    write!(safe, "\\x{:02x}", u32::from(at))
                } else {
                    write!(safe, "\\u{{{:x}}}", u32::from(at))
                };
            }
            at => safe.push(at),
        }
    }
    safe
}

/// The most bytes of a binary message that are shown.
const SHOWN_BYTES: usize = 256;

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let shown = bytes.len().min(SHOWN_BYTES);
    let mut text = String::with_capacity(shown * 3);
    for (index, byte) in bytes[..shown].iter().enumerate() {
        let _ = write!(text, "{}{byte:02x}", if index == 0 { "" } else { " " });
    }
    if shown < bytes.len() {
        let _ = write!(text, " … {} more", bytes.len() - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_of_a_peer_reaches_the_terminal() {
        assert_eq!(line("a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(line("\x07\x08\r\n\t\x7f"), "\\x07\\x08\\r\\n\\t\\x7f");
        assert_eq!(line("\u{9b}31m"), "\\u{9b}31m", "the control sequence introducer of ISO 8859");
        assert_eq!(line("a\u{202e}b"), "a\\u{202e}b", "text from right to left");
        for code in (0..0x20).chain(0x7f..0xa0) {
            let at = char::from_u32(code).unwrap();
            assert!(!line(&at.to_string()).contains(at), "{code:#x}");
            assert!(matches!(at, '\n' | '\t') || !lines(&at.to_string()).contains(at), "{code:#x}");
        }
    }

    #[test]
    fn other_text_is_unchanged() {
        for text in ["", "plain", "Grüße 👋 日本語", "back\\slash"] {
            assert_eq!(line(text), text);
        }
        assert_eq!(lines("a\n\tb"), "a\n\tb");
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal_up_to_a_limit() {
        assert_eq!(hex(&[0, 0xff]), "00 ff");
        assert!(hex(&[0; 300]).ends_with(" … 44 more"));
    }
}
