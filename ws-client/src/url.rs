//! `ws`, `wss` and `ws+unix` URLs (RFC 6455 section 3).

use std::path::PathBuf;

use http::{HeaderValue, Uri, uri::Authority};

use crate::{credentials::Credentials, error::UrlError};

/// What an error shows of a URL: nothing if some part of it may be a password, in whatever place that is.
pub(crate) fn shown(url: &str) -> &str {
    if url.contains('@') { "(with credentials)" } else { url }
}

/// What a URL says, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    pub(crate) place: Place,
    /// Path and query.
    pub(crate) path: String,
    /// The value of the `Host` header: the port only where it is not the scheme's own.
    pub(crate) host_header: String,
    /// What the URL's user name and password make of `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        /// A name, or an address; without the brackets of an IPv6 address.
        host: String,
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        Self::take_apart(url).map_err(|error| match error {
            UrlError::Invalid(_) if url.contains('@') => UrlError::Invalid(shown(url).to_owned()),
            UrlError::NoHost(_) if url.contains('@') => UrlError::NoHost(shown(url).to_owned()),
            error => error,
        })
    }

    fn take_apart(url: &str) -> Result<Self, UrlError> {
        // A fragment never goes over the wire (section 3 even forbids it).
        let url = url.split('#').next().unwrap_or_default();
        if let Some(rest) = strip_scheme(url, "ws+unix:") {
            return Self::parse_unix(rest).ok_or_else(|| UrlError::Invalid(url.to_owned()));
        }
        let (url, user_info) = split_user_info(url);
        let credentials = user_info.map(|info| Credentials::parse(&info)).transpose()?;
        let mut target = Self::parse_tcp(&url)?;
        target.authorization = credentials.map(|credentials| credentials.basic());
        Ok(target)
    }

    fn parse_tcp(url: &str) -> Result<Self, UrlError> {
        let invalid = || UrlError::Invalid(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => false,
            Some("wss") => true,
            scheme => return Err(UrlError::Scheme(scheme.unwrap_or_default().to_owned())),
        };
        let authority = uri.authority().ok_or_else(|| UrlError::NoHost(url.to_owned()))?;
        let written = authority.host();
        if written.is_empty() {
            return Err(UrlError::NoHost(url.to_owned()));
        }
        let default_port = if secure { 443 } else { 80 };
        let (host, port) = host_and_port(authority, default_port).ok_or_else(invalid)?;
        let host_header = if port == default_port { written.to_owned() } else { format!("{written}:{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let place = Place::Tcp { host, port };
        Ok(Self { secure, place, path, host_header, authorization: None })
    }

    /// `/path/of/the/socket:/path?query`, as npm's `ws` has it; the part from the colon on may be missing.
    fn parse_unix(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
        let is_path = |text: &str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if socket.is_empty() || socket.contains('\0') || !is_path(path) {
            return None;
        }
        Some(Self {
            secure: false,
            place: Place::Unix(socket.into()),
            path: path.to_owned(),
            host_header: "localhost".to_owned(),
            authorization: None,
        })
    }

    /// Where a redirection from here leads (RFC 9110 section 10.2.2, RFC 3986 section 5). `http` and `https` stand for
    /// `ws` and `wss`.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, UrlError> {
        let scheme = if self.secure { "wss" } else { "ws" };
        let authority = &self.host_header;
        let base_path = self.path.split('?').next().unwrap_or_default();
        let url = if let Some(rest) = strip_scheme(location, "https:") {
            format!("wss:{rest}")
        } else if let Some(rest) = strip_scheme(location, "http:") {
            format!("ws:{rest}")
        } else if has_scheme(location) {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{base_path}{location}")
        } else {
            let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
            format!("{scheme}://{authority}{}", without_dots(&format!("{folder}{location}")))
        };
        if matches!(self.place, Place::Unix(_)) || strip_scheme(&url, "ws+unix:").is_some() {
            return Err(UrlError::Invalid(url));
        }
        Self::parse(&url)
    }

    /// Whether both are the same scheme, host and port.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure
            && match (&self.place, &other.place) {
                (Place::Tcp { host, port }, Place::Tcp { host: other_host, port: other_port }) => {
                    host.eq_ignore_ascii_case(other_host) && port == other_port
                }
                (place, other) => place == other,
            }
    }
}

/// A name, or an address without brackets; and the port. `None` if one of them is no good.
pub(crate) fn host_and_port(authority: &Authority, default_port: u16) -> Option<(String, u16)> {
    let written = authority.host();
    let host = written.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(written);
    let port = match authority.as_str().strip_prefix(written) {
        Some("" | ":") => default_port,
        _ => authority.port_u16()?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Whether a reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    let end = reference.find(|at: char| !(at.is_ascii_alphanumeric() || "+-.".contains(at)));
    reference.starts_with(|first: char| first.is_ascii_alphabetic())
        && end.is_some_and(|end| reference[end..].starts_with(':'))
}

/// RFC 3986 section 5.2.4, up to the query.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ".." => drop(kept.pop()),
            "." => {}
            other => kept.push(other),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if let Some(query) = query {
        clean.push('?');
        clean += query;
    }
    clean
}

/// The URL without user name and password, and those.
fn split_user_info(url: &str) -> (String, Option<String>) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    match url[start..end].rsplit_once('@') {
        None => (url.to_owned(), None),
        Some((info, host)) => (format!("{}{host}{}", &url[..start], &url[end..]), Some(info.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProxyUrl, error::ProxyUrlError};

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let cases = [
            ("ws://example.com", false, "example.com", 80, "/", "example.com"),
            ("WS://example.com:80/", false, "example.com", 80, "/", "example.com"),
            ("ws://example.com:8080/chat?a=b", false, "example.com", 8080, "/chat?a=b", "example.com:8080"),
            ("wss://example.com?x=1", true, "example.com", 443, "/?x=1", "example.com"),
            ("ws://[::1]:9001/ws", false, "::1", 9001, "/ws", "[::1]:9001"),
            ("ws://127.0.0.1:1/#part", false, "127.0.0.1", 1, "/", "127.0.0.1:1"),
            ("ws://example.com/@user?a@b#c@d", false, "example.com", 80, "/@user?a@b", "example.com"),
        ];
        for (url, secure, host, port, path, host_header) in cases {
            let expected = Target {
                secure,
                place: tcp(host, port),
                path: path.to_owned(),
                host_header: host_header.to_owned(),
                authorization: None,
            };
            assert_eq!(Target::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_socket_in_the_file_system_can_be_named() {
        for (url, socket, path) in [
            ("ws+unix:/run/a.sock", "/run/a.sock", "/"),
            ("ws+unix:///run/a.sock:/chat?x=1#part", "/run/a.sock", "/chat?x=1"),
            ("WS+UNIX:relative.sock:/", "relative.sock", "/"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.place, target.path.as_str()), (Place::Unix(socket.into()), path), "{url}");
            assert_eq!(target.host_header, "localhost");
        }
        for url in ["ws+unix:", "ws+unix::/path", "ws+unix:/a.sock:path", "ws+unix:/a.sock:/a b"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_no_websocket_url_is_named() {
        assert_eq!(Target::parse("http://example.com"), Err(UrlError::Scheme("http".to_owned())));
        assert_eq!(Target::parse("example.com"), Err(UrlError::Scheme(String::new())));
        for url in
            ["", "ws://", "ws:///path", "ws://a b", "ws://example.com:99999", "ws://example.com/\r\nX: y"]
        {
            assert!(Target::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn credentials_become_basic_authentication() {
        let cases = [
            ("ws://Aladdin:open%20sesame@example.com/a@b", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("wss://user@example.com", "Basic dXNlcjo="),
            ("ws://a:b:c@example.com", "Basic YTpiOmM="),
            ("ws://a:b@c@example.com", "Basic YTpiQGM="),
        ];
        for (url, expected) in cases {
            let target = Target::parse(url).unwrap();
            let authorization = target.authorization.unwrap();
            assert_eq!(authorization, expected, "{url}");
            assert!(authorization.is_sensitive());
            assert_eq!(target.host_header, "example.com");
        }
    }

    #[test]
    fn user_info_that_others_would_read_as_a_host_is_refused() {
        // Browsers take a backslash for a slash, and leave white space out.
        for info in ["good.example\\", "a:b\\", "a b", "a\tb:c", "a:\nb", "\u{a0}", "a:\0", "\u{7f}"] {
            let url = format!("ws://{info}@evil.example/");
            assert_eq!(Target::parse(&url), Err(UrlError::Credentials), "{url:?}");
            let proxy = ProxyUrl::parse(&format!("http://{info}@evil.example/"));
            assert_eq!(proxy, Err(ProxyUrlError::Credentials), "{url:?}");
        }
        for info in ["a%5C:b%20%0A", "a:ü^|"] {
            assert!(Target::parse(&format!("ws://{info}@example.com/")).is_ok(), "{info}");
        }
    }

    #[test]
    fn no_error_repeats_a_password() {
        for url in [
            "ws://me:secret@",
            "ws://me:secret@[/",
            "http://me:secret@h",
            "ws://me:secret%zz@h",
            "ws://m%3Ae:secret@h",
            "ws://me:secret/x@h y",
            "ws://me:secret#x@h",
            "ws:/me:secret@h",
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_redirection_is_followed_from_where_it_came() {
        let base = Target::parse("wss://user:pw@example.com:444/a/b/c?x=1").unwrap();
        let cases = [
            ("/new?y=2", true, tcp("example.com", 444), "/new?y=2"),
            ("d", true, tcp("example.com", 444), "/a/b/d"),
            ("./d/../e?z=../.", true, tcp("example.com", 444), "/a/b/e?z=../."),
            ("../../../..", true, tcp("example.com", 444), "/"),
            ("?y=2", true, tcp("example.com", 444), "/a/b/c?y=2"),
            ("//other:1/p", true, tcp("other", 1), "/p"),
            ("https://other/p", true, tcp("other", 443), "/p"),
            ("HTTP://other/p", false, tcp("other", 80), "/p"),
            ("ws://other", false, tcp("other", 80), "/"),
        ];
        for (location, secure, place, path) in cases {
            let next = base.redirected(location).unwrap();
            assert_eq!((next.secure, next.place, next.path.as_str()), (secure, place, path), "{location}");
            assert_eq!(next.authorization, None, "{location}");
        }
        for location in ["ftp://other", "mailto:a@b", "ws+unix:/a.sock", "//", "a b"] {
            assert!(base.redirected(location).is_err(), "{location}");
        }
        assert!(base.is_same_origin(&base.redirected("wss://EXAMPLE.com:444/").unwrap()));
        assert!(!base.is_same_origin(&base.redirected("wss://example.com/").unwrap()));
        assert!(!base.is_same_origin(&base.redirected("ws://example.com:444/").unwrap()));
    }
}
