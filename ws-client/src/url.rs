//! `ws`, `wss` and `ws+unix` URLs (RFC 6455 section 3), read as the URL standard has it
//! (<https://url.spec.whatwg.org/>): a URL names the same host and path here and in a browser.
//!
//! Some things that the standard tolerates are refused: tabs and line breaks inside, a backslash before the path, other
//! than two slashes behind the scheme. An international name goes through IDNA; a name in ASCII is taken as it is, also
//! if it has labels that begin with `xn--`.

mod encode;
mod host;

use std::path::PathBuf;

use http::HeaderValue;

use crate::{credentials::Credentials, error::UrlError};
use encode::path_and_query;
pub(crate) use host::{AuthorityError, Host, host_and_port};

/// What an error shows of a URL: nothing if some part of it may be a password, in whatever place that is.
pub(crate) fn shown(url: &str) -> &str {
    if url.contains('@') { "(with credentials)" } else { url }
}

/// What a URL says, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    pub(crate) place: Place,
    /// Path and query, percent-encoded.
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
        host: Host,
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        Self::take_apart(trimmed(url)).map_err(|error| without_secrets(error, url))
    }

    /// `url` is trimmed.
    fn take_apart(url: &str) -> Result<Self, UrlError> {
        if let Some(rest) = strip_scheme(url, "ws+unix:") {
            return Self::parse_unix(rest).ok_or_else(|| UrlError::Invalid(url.to_owned()));
        }
        let invalid = || UrlError::Invalid(url.to_owned());
        let (secure, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (true, rest),
            Some((scheme, _)) if is_scheme(scheme) => {
                return Err(UrlError::Scheme(scheme.to_ascii_lowercase()));
            }
            _ if strip_scheme(url, "ws:").or_else(|| strip_scheme(url, "wss:")).is_some() => {
                return Err(invalid());
            }
            _ => return Err(UrlError::Scheme(String::new())),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (info, authority) =
            authority.rsplit_once('@').map_or((None, authority), |(info, rest)| (Some(info), rest));
        let credentials = info.map(Credentials::parse).transpose()?;
        if authority.contains(CUT_OUT) || path.contains(CUT_OUT) {
            return Err(invalid());
        }
        let default_port = if secure { 443 } else { 80 };
        let (host, port) = host_and_port(authority, default_port).map_err(|error| match error {
            AuthorityError::NoHost => UrlError::NoHost(url.to_owned()),
            AuthorityError::Host(reason) => UrlError::Host { host: authority.to_owned(), reason },
            AuthorityError::Port => UrlError::Port(authority.to_owned()),
        })?;
        let host_header = if port == default_port { host.to_string() } else { format!("{host}:{port}") };
        let authorization =
            credentials.filter(|credentials| !credentials.is_empty()).map(|credentials| credentials.basic());
        Ok(Self {
            secure,
            place: Place::Tcp { host, port },
            path: path_and_query(path),
            host_header,
            authorization,
        })
    }

    /// `/path/of/the/socket:/path?query`, as npm's `ws` has it; the part from the colon on may be missing.
    fn parse_unix(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
        if socket.is_empty() || socket.contains('\0') || !path.starts_with('/') || path.contains(CUT_OUT) {
            return None;
        }
        Some(Self {
            secure: false,
            place: Place::Unix(socket.into()),
            path: path_and_query(path),
            host_header: "localhost".to_owned(),
            authorization: None,
        })
    }

    /// Where a redirection from here leads (RFC 9110 section 10.2.2, RFC 3986 section 5). `http` and `https` stand for
    /// `ws` and `wss`.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, UrlError> {
        self.led_to(trimmed(location)).map_err(|error| without_secrets(error, location))
    }

    fn led_to(&self, location: &str) -> Result<Self, UrlError> {
        if matches!(self.place, Place::Unix(_)) || location.contains(CUT_OUT) {
            return Err(UrlError::Invalid(location.to_owned()));
        }
        if let Some(rest) = strip_scheme(location, "https:") {
            return Self::take_apart(&format!("wss:{rest}"));
        }
        if let Some(rest) = strip_scheme(location, "http:") {
            return Self::take_apart(&format!("ws:{rest}"));
        }
        if strip_scheme(location, "ws+unix:").is_some() {
            return Err(UrlError::Invalid(location.to_owned()));
        }
        if has_scheme(location) {
            return Self::take_apart(location);
        }
        // A backslash is a slash here, too: otherwise `/\host` would be a path here, and a host in a browser.
        let path_end = location.find('?').unwrap_or(location.len());
        let reference = location[..path_end].replace('\\', "/") + &location[path_end..];
        if reference.starts_with("//") {
            return Self::take_apart(&format!("{}:{reference}", if self.secure { "wss" } else { "ws" }));
        }
        let base_path = self.path.split('?').next().unwrap_or_default();
        let path = match reference.chars().next() {
            None => self.path.clone(),
            Some('/') => reference,
            Some('?') => format!("{base_path}{reference}"),
            Some(_) => {
                let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
                format!("{folder}{reference}")
            }
        };
        Ok(Self { path: path_and_query(&path), authorization: None, ..self.clone() })
    }

    /// Whether both are the same scheme, host and port.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.place == other.place
    }
}

/// The error, without a part of `url` if that may hold a password.
fn without_secrets(error: UrlError, url: &str) -> UrlError {
    if url.contains('@') { error.without_text() } else { error }
}

/// What the standard leaves out wherever it stands. What others read as two lines would be one URL.
const CUT_OUT: [char; 3] = ['\t', '\n', '\r'];

/// Without what the standard ignores around a URL, and without the fragment, which never goes over the wire (RFC 6455
/// section 3 even forbids it).
fn trimmed(url: &str) -> &str {
    let around = |at: char| at <= ' ' && !CUT_OUT.contains(&at);
    url.trim_matches(around).split('#').next().unwrap_or_default()
}

fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Whether a reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests;
