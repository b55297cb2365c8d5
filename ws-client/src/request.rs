//! What a caller connects to: a URL, or a request with headers.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, request};

use crate::error::{ConnectError, HeaderError};

/// What a [`Connector`](crate::Connector) connects to: a URL as `&str`, `String` or [`http::Uri`], or an
/// [`http::Request`] with headers for this one connection. A [`reconnecting::Request`](crate::reconnecting::Request)
/// adds to the headers and subprotocols of the connector.
///
/// A URL with a type of its own, such as that of the crate `url`, is passed as text: `url.as_str()`.
///
/// # Requests
/// This is about an [`http::Request`].
///
/// - The URL is the request's [`uri`](Request::uri), with scheme and host.
/// - The method must be `GET`, which is the default. The HTTP version and the extensions are not used.
/// - Headers are added to those of the connector. A header of the request replaces all of the connector's
///   with the same name.
/// - The subprotocols in `Sec-WebSocket-Protocol` are offered, in place of the connector's.
/// - `Upgrade`, `Connection`, `Sec-WebSocket-Key`, `Sec-WebSocket-Version` and `Sec-WebSocket-Extensions`
///   have no effect: the handshake sets them itself. Requests that were written for other libraries can stay
///   as they are.
/// - `Host` replaces the host of the URL in the request that is sent. The name in the URL remains the one
///   that is resolved and that the server's certificate must be valid for. After a redirect to another origin,
///   `Host` is that of the new URL.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_client::error::ConnectError> {
/// let request = http::Request::get("wss://example.com/feed")
///     .header("authorization", "Bearer token")
///     .header("sec-websocket-protocol", "v2.feed, feed");
/// let ws = ws_client::connect(request.body(()).expect("the URL and the headers are valid")).await?;
/// # Ok(())
/// # }
/// ```
///
/// This trait is sealed: other crates cannot implement it.
pub trait IntoClientRequest: sealed::Sealed + Send {}

use sealed::Rest;

pub(crate) mod sealed {
    /// The conversion that only this crate implements.
    #[expect(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {
        /// The URL, and what the request has besides.
        fn into_url_and_rest(self) -> (String, Rest);
    }

    /// What a request has besides its URL.
    #[expect(unnameable_types, reason = "it is part of a sealed trait")]
    #[expect(missing_debug_implementations, reason = "it has credentials, and is not named outside")]
    pub enum Rest {
        Nothing,
        Head(Box<http::request::Parts>),
        Added(Result<super::Added, crate::error::HeaderError>),
    }
}

macro_rules! into_client_request {
    ($($source:ty: $given:ident => $url_and_rest:expr;)*) => {$(
        impl IntoClientRequest for $source {}

        impl sealed::Sealed for $source {
            fn into_url_and_rest(self) -> (String, Rest) {
                let $given = self;
                $url_and_rest
            }
        }
    )*};
}

into_client_request! {
    &str: url => (url.to_owned(), Rest::Nothing);
    String: url => (url, Rest::Nothing);
    &String: url => (url.clone(), Rest::Nothing);
    Uri: uri => (uri.to_string(), Rest::Nothing);
    &Uri: uri => (uri.to_string(), Rest::Nothing);
    Request<()>: request => {
        let (head, ()) = request.into_parts();
        (head.uri.to_string(), Rest::Head(Box::new(head)))
    };
}

/// Headers that the handshake sets itself.
const SET_BY_THE_HANDSHAKE: [HeaderName; 5] = [
    header::UPGRADE,
    header::CONNECTION,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// Headers and subprotocols of a request, which replace those of the connector with the same name.
#[derive(Clone, Default)]
#[expect(unnameable_types, missing_debug_implementations, reason = "it is part of a sealed trait")]
pub struct Added {
    pub headers: HeaderMap,
    pub subprotocols: Vec<String>,
}

/// What the caller adds to the request.
#[derive(Clone, Default)]
pub(crate) struct RequestOptions {
    /// The value of `Host`, if it is not that of the URL.
    pub(crate) host: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) subprotocols: Vec<String>,
}

impl RequestOptions {
    /// Adds what the caller's request has.
    pub(crate) fn apply(&mut self, rest: Rest) -> Result<(), ConnectError> {
        match rest {
            Rest::Nothing => Ok(()),
            Rest::Head(head) => self.apply_head(*head),
            Rest::Added(added) => {
                let Added { headers, subprotocols } = added?;
                let (mut head, ()) = Request::new(()).into_parts();
                head.headers = headers;
                self.apply_head(head)?;
                if !subprotocols.is_empty() {
                    self.subprotocols = subprotocols;
                }
                Ok(())
            }
        }
    }

    /// What has the same name is replaced.
    fn apply_head(&mut self, head: request::Parts) -> Result<(), ConnectError> {
        if head.method != Method::GET {
            return Err(ConnectError::Method(head.method));
        }
        let headers = head.headers;
        for name in headers.keys().filter(|name| !SET_BY_THE_HANDSHAKE.contains(name)) {
            let values = headers.get_all(name);
            if *name == header::HOST {
                let [host] = texts(&headers, name)?[..] else {
                    return Err(HeaderError::Repeated(header::HOST).into());
                };
                self.host = Some(host.to_owned());
            } else if *name == header::SEC_WEBSOCKET_PROTOCOL {
                let names = texts(&headers, name)?.into_iter().flat_map(|list| list.split(','));
                self.subprotocols = names.map(|name| name.trim_matches([' ', '\t']).to_owned()).collect();
            } else {
                self.headers.remove(name);
                self.headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
            }
        }
        Ok(())
    }
}

/// The values of a header that must be visible ASCII.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, HeaderError> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().map_err(|_| HeaderError::Value(name.clone()))).collect()
}

/// Parses a header.
pub(crate) fn parse_header(
    name: impl AsRef<str>,
    value: impl TryInto<HeaderValue>,
) -> Result<(HeaderName, HeaderValue), HeaderError> {
    let name = header_name(name.as_ref())?;
    match value.try_into() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(HeaderError::Value(name)),
    }
}

/// Parses the name of a header. The error shows the name up to the first character that is not allowed: a
/// caller may have passed a whole line.
pub(crate) fn header_name(text: &str) -> Result<HeaderName, HeaderError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        let is_allowed = |at: char| at.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(at);
        let end = text.find(|at| !is_allowed(at)).unwrap_or(text.len());
        HeaderError::Name(text[..end].to_owned())
    })
}
