//! `ws` and `wss` URLs (RFC 6455 section 3).

use http::Uri;

use crate::error::UrlError;

/// What a URL says, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    /// A name, or an address; without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
    /// The value of the `Host` header: the port only where it is not the scheme's own.
    pub(crate) host_header: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        if has_credentials(url) {
            return Err(UrlError::Credentials);
        }
        let invalid = || UrlError::Invalid(url.to_owned());
        // A fragment never goes over the wire (section 3 even forbids it).
        let uri: Uri = url.split('#').next().unwrap_or_default().parse().map_err(|_| invalid())?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => false,
            Some("wss") => true,
            scheme => return Err(UrlError::Scheme(scheme.unwrap_or_default().to_owned())),
        };
        let authority = uri.authority().ok_or_else(|| UrlError::NoHost(url.to_owned()))?;
        let written = authority.host();
        let host = written.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(written);
        if host.is_empty() {
            return Err(UrlError::NoHost(url.to_owned()));
        }
        let default_port = if secure { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(written) {
            Some("" | ":") => default_port,
            _ => authority.port_u16().ok_or_else(invalid)?,
        };
        let host_header = if port == default_port { written.to_owned() } else { format!("{written}:{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { secure, host: host.to_owned(), port, path, host_header })
    }
}

/// Looked for before anything else, so that no error message repeats a password.
fn has_credentials(url: &str) -> bool {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let cases = [
            ("ws://example.com", false, "example.com", 80, "/", "example.com"),
            ("WS://example.com:80/", false, "example.com", 80, "/", "example.com"),
            ("ws://example.com:8080/chat?a=b", false, "example.com", 8080, "/chat?a=b", "example.com:8080"),
            ("wss://example.com?x=1", true, "example.com", 443, "/?x=1", "example.com"),
            ("ws://[::1]:9001/ws", false, "::1", 9001, "/ws", "[::1]:9001"),
            ("ws://127.0.0.1:1/#part", false, "127.0.0.1", 1, "/", "127.0.0.1:1"),
        ];
        for (url, secure, host, port, path, host_header) in cases {
            let target = Target::parse(url).unwrap();
            let expected = Target {
                secure,
                host: host.to_owned(),
                port,
                path: path.to_owned(),
                host_header: host_header.to_owned(),
            };
            assert_eq!(target, expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_websocket_url_is_named() {
        assert_eq!(Target::parse("http://example.com"), Err(UrlError::Scheme("http".to_owned())));
        assert_eq!(Target::parse("example.com"), Err(UrlError::Scheme(String::new())));
        for url in ["ws://user:pass@example.com", "ws://user:pa ss@[/", "user:pass@example.com", "://a@b"] {
            assert_eq!(Target::parse(url), Err(UrlError::Credentials), "{url}");
        }
        assert!(Target::parse("ws://example.com/@user?a@b#c@d").is_ok());
        for url in
            ["", "ws://", "ws:///path", "ws://a b", "ws://example.com:99999", "ws://example.com/\r\nX: y"]
        {
            assert!(Target::parse(url).is_err(), "{url:?}");
        }
    }
}
