//! HTTP heads: requests to send, valid or not, and received heads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use std::fmt::Display;

/// The valid key from the example in RFC 6455.
pub const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

/// A `101` for that key, with more header lines (`"Name: value"`) after the required ones.
pub fn switching_protocols(key: &str, extra_lines: &[&str]) -> Vec<u8> {
    let accept = format!("Sec-WebSocket-Accept: {}", accept_key(key));
    let required = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", &accept];
    let lines: Vec<&str> = required.iter().chain(extra_lines).copied().collect();
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// An upgrade request. It is valid at first, and a test can modify it.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, such as `GET`.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// The headers in the order in which they are sent. A name may occur several times.
    pub headers: Vec<(String, String)>,
    /// The end of a line.
    pub line_end: &'static str,
}

impl RequestHead {
    /// A valid upgrade request.
    pub fn new(host: impl Display, target: &str) -> Self {
        let host = host.to_string();
        let headers = [
            ("Host", host.as_str()),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", SAMPLE_KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        Self {
            method: "GET".into(),
            target: target.into(),
            version: "HTTP/1.1".into(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            line_end: "\r\n",
        }
    }

    /// Adds a header. Others of the same name stay.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Removes all headers of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces all headers of that name by this one.
    #[must_use]
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// Sets the HTTP version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the end of a line, for example to `"\n"`.
    #[must_use]
    pub fn line_end(mut self, line_end: &'static str) -> Self {
        self.line_end = line_end;
        self
    }

    /// The bytes to send, including the blank line at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let end = self.line_end;
        let mut text = format!("{} {} {}{end}", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}{end}");
        }
        text += end;
        text.into_bytes()
    }
}

/// A received request or response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The request line or the status line.
    pub start_line: String,
    /// The headers in order, with trimmed values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Parses the text before the blank line. Every line has to end with CRLF, and a colon has to follow every header
    /// name directly.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.replace("\r\n", "").contains(['\r', '\n']) {
            return Err(format!("a line end other than CRLF in {text:?}"));
        }
        let mut lines = text.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| match line.split_once(':') {
            Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
            }
            _ => Err(format!("not a header line: {line:?}")),
        });
        Ok(Self { start_line, headers: headers.collect::<Result<_, _>>()? })
    }

    /// The status of a response.
    ///
    /// # Panics
    /// When this is not a status line of HTTP/1.1.
    pub fn status(&self) -> u16 {
        let status = self.start_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        status.unwrap_or_else(|| panic!("not a status line of HTTP/1.1: {:?}", self.start_line))
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.start_line.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the only header of that name, or `None` if there is none.
    ///
    /// # Panics
    /// When there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [] => None,
            [value] => Some(value),
            ref values => panic!("{} times {name}: {values:?}", values.len()),
        }
    }

    /// Every value of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(existing, _)| existing.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// Checks that this is the `101` for that key.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_switching_protocols(&self, key: &str) {
        assert_eq!(self.status(), 101, "{self:?}");
        let lower = |name| self.header(name).map(str::to_ascii_lowercase);
        assert_eq!(lower("Upgrade").as_deref(), Some("websocket"), "{self:?}");
        assert_eq!(lower("Connection").as_deref(), Some("upgrade"), "{self:?}");
        assert_eq!(self.header("Sec-WebSocket-Accept"), Some(accept_key(key).as_str()), "{self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_of_rfc_6455_section_1_3() {
        assert_eq!(accept_key(SAMPLE_KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_can_be_modified() {
        let request = RequestHead::new("localhost:1", "/chat")
            .method("POST")
            .version("HTTP/1.0")
            .without("upgrade")
            .replacing("connection", "close")
            .with("X", "1")
            .line_end("\n");
        let expected = "POST /chat HTTP/1.0\nHost: localhost:1\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\
                        Sec-WebSocket-Version: 13\nconnection: close\nX: 1\n\n";
        assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_head_is_read_back() {
        let bytes = switching_protocols(SAMPLE_KEY, &["Set-Cookie: a=1", "set-cookie:b=2"]);
        let text = String::from_utf8(bytes).unwrap();
        let head = Head::parse(text.strip_suffix("\r\n\r\n").unwrap()).unwrap();
        head.assert_switching_protocols(SAMPLE_KEY);
        assert_eq!(head.all("Set-Cookie"), ["a=1", "b=2"]);
        assert_eq!(head.header("Sec-WebSocket-Protocol"), None);
    }

    #[test]
    fn a_malformed_head_is_refused() {
        for text in
            ["HTTP/1.1 200 OK\nA: b", "HTTP/1.1 200 OK\r\nA b", "HTTP/1.1 200 OK\r\nA : b", "X\r\n: b"]
        {
            assert!(Head::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_target_of_a_request() {
        assert_eq!(Head::parse("GET /a?b=c HTTP/1.1").unwrap().target(), "/a?b=c");
    }
}
