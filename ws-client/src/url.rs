//! `ws`, `wss` and `ws+unix` URLs (RFC 6455 section 3), parsed as in the URL standard
//! (<https://url.spec.whatwg.org/>). A URL names the same host and path here as in a browser.
//!
//! The parser is stricter than the standard. It rejects tabs and line breaks inside a URL, a backslash before
//! the path, and any number of slashes after the scheme other than two. A name with characters outside ASCII
//! is converted by IDNA. An ASCII name is not validated by IDNA, even if it has labels that begin with
//! `xn--`.

mod encode;
mod host;

use std::path::PathBuf;

use http::HeaderValue;

use crate::{credentials::Credentials, error::UrlError};
use encode::path_and_query;
pub(crate) use host::{AuthorityError, Host, host_and_port};

/// The form of a URL that may appear in errors. A URL with an `@` may contain a password in any of its parts,
/// so none of it is shown. The query and the fragment may contain tokens.
pub(crate) fn redacted(url: &str) -> &str {
    if url.contains('@') { HIDDEN } else { url.split(['?', '#']).next().unwrap_or_default() }
}

/// What errors show in place of a URL.
const HIDDEN: &str = "(with credentials)";

/// A parsed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    pub(crate) endpoint: Endpoint,
    /// Path and query, percent-encoded.
    pub(crate) path: String,
    /// The value of the `Host` header. It includes the port only if that is not the scheme's default.
    pub(crate) host_header: String,
    /// The value of `Authorization` for the URL's user name and password.
    pub(crate) authorization: Option<HeaderValue>,
}

/// The server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp {
        host: Host,
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        trimmed(url).and_then(Self::parse_trimmed).map_err(|error| redact_error(error, url))
    }

    /// Parses the output of [`trimmed`].
    fn parse_trimmed(url: &str) -> Result<Self, UrlError> {
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
        if authority.contains(TAB_OR_NEWLINE) || path.contains(TAB_OR_NEWLINE) {
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
            endpoint: Endpoint::Tcp { host, port },
            path: path_and_query(path),
            host_header,
            authorization,
        })
    }

    /// Parses `/path/of/the/socket:/path?query`, the syntax of npm's `ws`. The colon and what follows it are
    /// optional.
    fn parse_unix(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
        if socket.is_empty()
            || socket.contains('\0')
            || !path.starts_with('/')
            || path.contains(TAB_OR_NEWLINE)
        {
            return None;
        }
        Some(Self {
            secure: false,
            endpoint: Endpoint::Unix(socket.into()),
            path: path_and_query(path),
            host_header: "localhost".to_owned(),
            authorization: None,
        })
    }

    /// Resolves the `Location` of a redirect against this URL (RFC 9110 section 10.2.2, RFC 3986 section 5).
    /// `http` and `https` mean `ws` and `wss`.
    pub(crate) fn resolve_location(&self, location: &str) -> Result<Self, UrlError> {
        trimmed(location)
            .and_then(|location| self.resolve_trimmed(location))
            .map_err(|error| redact_error(error, location))
    }

    fn resolve_trimmed(&self, location: &str) -> Result<Self, UrlError> {
        if matches!(self.endpoint, Endpoint::Unix(_)) || location.contains(TAB_OR_NEWLINE) {
            return Err(UrlError::Invalid(location.to_owned()));
        }
        if let Some(rest) = strip_scheme(location, "https:") {
            return Self::parse_trimmed(&format!("wss:{rest}"));
        }
        if let Some(rest) = strip_scheme(location, "http:") {
            return Self::parse_trimmed(&format!("ws:{rest}"));
        }
        if strip_scheme(location, "ws+unix:").is_some() {
            return Err(UrlError::Invalid(location.to_owned()));
        }
        if has_scheme(location) {
            return Self::parse_trimmed(location);
        }
        // Browsers treat a backslash as a slash: `/\host` names a host there, so it must not be a path here.
        let path_end = location.find('?').unwrap_or(location.len());
        let reference = location[..path_end].replace('\\', "/") + &location[path_end..];
        if reference.starts_with("//") {
            return Self::parse_trimmed(&format!("{}:{reference}", if self.secure { "wss" } else { "ws" }));
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

    /// The host, for TLS. A Unix socket has none.
    #[cfg(feature = "tls-core")]
    pub(crate) fn host(&self) -> Result<&Host, UrlError> {
        match &self.endpoint {
            Endpoint::Tcp { host, .. } => Ok(host),
            Endpoint::Unix(path) => Err(UrlError::NoHost(format!("ws+unix:{}", path.display()))),
        }
    }

    /// Whether both have the same scheme, host and port.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.endpoint == other.endpoint
    }
}

/// Removes what may be secret from the error: all of the URL's text if it may contain a password.
fn redact_error(error: UrlError, url: &str) -> UrlError {
    let may_have_a_password = url.contains('@');
    error.with_text(|text| if may_have_a_password { HIDDEN } else { redacted(text) })
}

/// Characters that the standard removes from a URL, wherever they are. This parser rejects them instead,
/// because other software takes a line break for the end of the URL.
const TAB_OR_NEWLINE: [char; 3] = ['\t', '\n', '\r'];

/// Removes the surrounding characters that the standard ignores, and the fragment. RFC 6455 section 3 forbids
/// fragments, and they are never sent. Refuses a fragment with characters that are refused everywhere.
fn trimmed(url: &str) -> Result<&str, UrlError> {
    let around = |at: char| at <= ' ' && !TAB_OR_NEWLINE.contains(&at);
    match url.trim_matches(around).split_once('#') {
        None => Ok(url.trim_matches(around)),
        Some((_, fragment)) if fragment.contains(TAB_OR_NEWLINE) => Err(UrlError::Invalid(url.to_owned())),
        Some((before, _)) => Ok(before),
    }
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
