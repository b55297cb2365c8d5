//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1). Each byte is read once.

use http::{HeaderMap, header};

use super::tokens::is_token_byte;

/// An extension that a header offers or accepts: `name; param; param=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The name, a token.
    pub name: String,
    /// The parameters in order, including repeated ones.
    pub params: Vec<ExtensionParam>,
}

/// A parameter of an [`Extension`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionParam {
    /// The name, a token.
    pub name: String,
    /// The value, also a token; whether it was quoted makes no difference.
    pub value: Option<String>,
}

/// The extensions that the header lists on all of its lines, in order; `None` if a line violates the grammar, which
/// fails the handshake.
#[must_use]
pub fn parse_extensions(headers: &HeaderMap) -> Option<Vec<Extension>> {
    let mut extensions = Vec::new();
    let mut left = MOST;
    for value in headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS) {
        let mut parser = Parser { text: value.as_bytes(), left };
        parser.list(&mut extensions)?;
        left = parser.left;
    }
    Some(extensions)
}

/// The most extensions and parameters together in a header; no known peer sends as many.
const MOST: usize = 64;

struct Parser<'a> {
    /// The rest of a line.
    text: &'a [u8],
    /// The number of extensions and parameters that may still follow.
    left: usize,
}

impl Parser<'_> {
    /// `1#extension`. Empty items are skipped, as RFC 9110 section 5.6.1.2 requires of recipients.
    fn list(&mut self, extensions: &mut Vec<Extension>) -> Option<()> {
        loop {
            self.skip_space();
            if self.text.is_empty() {
                return Some(());
            }
            if !self.take(b',') {
                extensions.push(self.extension()?);
                if !self.text.is_empty() && !self.take(b',') {
                    return None;
                }
            }
        }
    }

    fn extension(&mut self) -> Option<Extension> {
        self.left = self.left.checked_sub(1)?;
        let mut extension = Extension { name: self.token()?, params: Vec::new() };
        self.skip_space();
        while self.take(b';') {
            self.skip_space();
            extension.params.push(self.param()?);
            self.skip_space();
        }
        Some(extension)
    }

    fn param(&mut self) -> Option<ExtensionParam> {
        self.left = self.left.checked_sub(1)?;
        let name = self.token()?;
        self.skip_space();
        let value = if self.take(b'=') {
            self.skip_space();
            Some(if self.take(b'"') { self.quoted()? } else { self.token()? })
        } else {
            None
        };
        Some(ExtensionParam { name, value })
    }

    fn token(&mut self) -> Option<String> {
        let len = self.text.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (token, rest) = self.text.split_at(len);
        self.text = rest;
        // A token is ASCII.
        (len > 0).then(|| String::from_utf8_lossy(token).into_owned())
    }

    /// Reads a quoted value after its opening quote. The unquoted value must also be a token.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        loop {
            let (byte, rest) = self.text.split_first()?;
            self.text = rest;
            let byte = match byte {
                b'"' => return (!value.is_empty()).then_some(value),
                b'\\' => {
                    let (escaped, rest) = self.text.split_first()?;
                    self.text = rest;
                    *escaped
                }
                plain => *plain,
            };
            if !is_token_byte(byte) {
                return None;
            }
            value.push(char::from(byte));
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.text.split_first() {
            Some((first, rest)) if *first == byte => {
                self.text = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_space(&mut self) {
        self.text = self.text.trim_ascii_start();
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parse(lines: &[&str]) -> Option<Vec<Extension>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(line).unwrap());
        }
        parse_extensions(&headers)
    }

    fn encode_list(extensions: &[Extension]) -> String {
        let param = |param: &ExtensionParam| match &param.value {
            Some(value) => format!(";{}={value}", param.name),
            None => format!(";{}", param.name),
        };
        let extension = |extension: &Extension| {
            extension.name.clone() + &extension.params.iter().map(param).collect::<String>()
        };
        extensions.iter().map(extension).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn lists_are_read_by_the_grammar() {
        for (lines, expected) in [
            (&[] as &[&str], ""),
            (&[""], ""),
            (&["a"], "a"),
            (&["a, b", "c"], "a,b,c"),
            (&[" ,, a ,\t, b, "], "a,b"),
            (&["a; x; y=1; x=\"2\", b"], "a;x;y=1;x=2,b"),
            (&["a ;\tx = 1 ; y\t"], "a;x=1;y"),
            (&[r#"a; x="\1\5""#], "a;x=15"),
            (&["permessage-deflate; client_max_window_bits"], "permessage-deflate;client_max_window_bits"),
        ] {
            assert_eq!(parse(lines).as_deref().map(encode_list).as_deref(), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn more_than_64_extensions_and_parameters_are_refused() {
        let list = |count: usize| vec!["a"; count].join(",");
        assert_eq!(parse(&[&list(64)]).map(|list| list.len()), Some(64));
        assert_eq!(parse(&[&list(65)]), None);
        assert_eq!(parse(&[&list(40), &list(40)]), None);
        assert_eq!(parse(&[&format!("a{}", ";b".repeat(64))]), None);
    }

    #[test]
    fn a_hostile_list_is_read_in_one_pass() {
        // A quadratic parser would take minutes here (CVE-2020-7662, CVE-2021-32640).
        let many = 1 << 20;
        for (start, part) in [
            ("a; b=\"", "\\c"),
            ("a; b=\"", "c"),
            ("", " "),
            ("", ","),
            ("", " , \t"),
            ("a", ";"),
            ("a;b=", "c"),
            ("", "\""),
        ] {
            let line = start.to_owned() + &part.repeat(many / part.len());
            let _ = parse(&[&line]);
            let _ = parse(&[&line, &line]);
        }
    }

    #[test]
    fn lists_that_violate_the_grammar_are_refused() {
        for line in [
            "a b",
            "a;",
            "a;;b",
            ";a",
            "a; x=",
            "a; =1",
            "a; x=\"",
            "a; x=\"1",
            "a; x=\"\"",
            "a; x=\"1 2\"",
            "a; x=\"\\",
            "a; x=\"a,b\"",
            "\"a\"",
            "a=1",
            "a; x=1 2",
            "a; x==1",
            "a/b",
            "(a)",
            "a; x=1\"2\"",
        ] {
            assert_eq!(parse(&[line]), None, "{line}");
        }
        assert_eq!(parse(&["a", "b c"]), None);
    }

    proptest! {
        #[test]
        fn a_list_that_is_read_can_be_written_and_read_again(line in "[ -~\t]{0,60}") {
            if let Some(extensions) = parse(&[&line]) {
                prop_assert_eq!(parse(&[&encode_list(&extensions)]), Some(extensions));
            }
        }

        #[test]
        fn valid_lists_are_read(line in r#"[a-c]{1,2}(; ?[x-z]{1,2}(=("[0-9]{1,2}"|[0-9]{1,2}))?){0,3}(, ?[a-c](;[x-z])?){0,3}"#) {
            prop_assert!(parse(&[&line]).is_some());
        }
    }
}
