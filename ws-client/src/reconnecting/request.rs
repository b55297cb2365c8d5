//! What the request hook gets and returns.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Connector, error::ConnectError, refusal::header_names, url::redacted};

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

/// The request of an attempt: a URL, headers and subprotocols. They are added to those of the [`Connector`], as those of
/// an [`http::Request`] are ([`IntoClientRequest`](crate::IntoClientRequest)): a header replaces all of the connector's
/// with the same name, and subprotocols are offered in place of the connector's.
#[derive(Clone)]
#[must_use]
pub struct Request {
    url: String,
    headers: HeaderMap,
    subprotocols: Vec<String>,
}

impl Request {
    /// Creates a request for a URL, as in [`Connector::connect`].
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: HeaderMap::new(), subprotocols: Vec::new() }
    }

    /// Adds a header, such as `Authorization`. Headers with the same name are all sent.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Offers a subprotocol.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Returns the URL, and the connector with the headers and subprotocols.
    pub(super) fn apply(self, connector: Connector) -> Result<(String, Connector), ConnectError> {
        Ok((self.url, connector.with_request(self.headers, self.subprotocols)?))
    }
}

impl From<&str> for Request {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Request {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

/// Omits the URL's query, the values of headers, and the subprotocols, which may have tokens.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &redacted(&self.url).split('?').next().unwrap_or_default())
            .field("headers", &header_names(&self.headers))
            .field("subprotocols", &self.subprotocols.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn debug_output_has_no_secrets() {
        let request = |url: &str| {
            let value = HeaderValue::from_static("Bearer secret");
            format!("{:?}", Request::new(url).header(AUTHORIZATION, value).subprotocol("secret"))
        };
        let text = request("wss://example.com/feed?token=secret");
        assert!(text.contains("example.com/feed") && text.contains("authorization"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(!request("wss://me:secret@example.com/").contains("secret"));
    }
}
