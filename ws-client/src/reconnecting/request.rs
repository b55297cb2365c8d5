//! What the request hook gets and returns.

use std::fmt;

use http::HeaderValue;

use crate::{
    error::HeaderError,
    refusal::header_names,
    request::{
        Added, IntoClientRequest, parse_header,
        sealed::{Rest, Sealed},
    },
    url::redacted,
};

/// An attempt that is about to begin, for the request hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of this attempt. The first one is 1.
    pub number: u64,
    /// How many attempts before this one, in a row, led to no healthy connection.
    pub failures: u32,
    /// The server did not accept the credentials of the attempt before: 401, 403, or what else has the decision
    /// [`RetryOnce`](super::Decision::RetryOnce). If it does not accept this attempt either, there is no further one.
    pub credentials_refused: bool,
}

/// The request of an attempt: a URL, headers and subprotocols. They are added to those of the
/// [`Connector`](crate::Connector), as those of an [`http::Request`] are
/// ([`IntoClientRequest`](crate::IntoClientRequest)): a header replaces all of the connector's with the same name, and
/// subprotocols are offered in place of the connector's.
#[derive(Clone)]
#[must_use]
pub struct Request {
    url: String,
    added: Added,
    /// The first header that is not valid.
    bad_header: Option<HeaderError>,
}

impl Request {
    /// Creates a request for a URL, as in [`Connector::connect`](crate::Connector::connect).
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), added: Added::default(), bad_header: None }
    }

    /// Adds a header: `header("authorization", "Bearer token")`. It takes what
    /// [`Connector::header`](crate::Connector::header) takes.
    ///
    /// An invalid name or value makes the attempt fail with
    /// [`ConnectError::Header`](crate::error::ConnectError::Header), which has the name and never the value. By
    /// default, there is no further attempt then.
    pub fn header(mut self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        match parse_header(name, value) {
            Ok((name, value)) => {
                self.added.headers.append(name, value);
            }
            Err(error) => {
                self.bad_header.get_or_insert(error);
            }
        }
        self
    }

    /// Offers a subprotocol.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.added.subprotocols.push(name.into());
        self
    }
}

impl IntoClientRequest for Request {}

impl Sealed for Request {
    fn into_url_and_rest(self) -> (String, Rest) {
        (self.url, Rest::Added(self.bad_header.map_or(Ok(self.added), Err)))
    }
}

/// Omits the URL's query, the values of headers, and the subprotocols, which may have tokens.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &redacted(&self.url))
            .field("headers", &header_names(&self.added.headers))
            .field("subprotocols", &self.added.subprotocols.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_secrets() {
        let request = |url: &str| {
            let request = Request::new(url).header("authorization", "Bearer secret");
            format!("{:?}", request.header("x-a", "secret\n").subprotocol("secret"))
        };
        let text = request("wss://example.com/feed?token=secret");
        assert!(text.contains("example.com/feed") && text.contains("authorization"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(!request("wss://me:secret@example.com/").contains("secret"));
    }
}
