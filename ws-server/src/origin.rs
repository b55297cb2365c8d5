//! Who may connect from a browser. A page of any site can open a WebSocket to any host, and the browser sends the
//! user's cookies along; only the `Origin` header tells (RFC 6455 section 10.2).

use std::{fmt, sync::Arc};

use http::{HeaderMap, Uri, header};

/// Which `Origin` headers are accepted. Requests without one do not come from a page and are always accepted.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// The origin's host and port must be those of the `Host` header. The default.
    #[default]
    SameHost,
    /// Any page may connect: right only if connections carry no authority of the user's, such as cookies.
    Any,
    /// The same host, and these origins, such as `https://example.com`; compared without regard to case.
    List(Vec<String>),
    /// Whatever the function says of the header's value.
    Custom(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl OriginPolicy {
    /// Whether a request with these headers may be accepted.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return matches!(self, Self::Any) };
        match self {
            Self::Any => true,
            Self::SameHost => is_same_host(origin, headers),
            Self::List(list) => {
                is_same_host(origin, headers) || list.iter().any(|entry| entry.eq_ignore_ascii_case(origin))
            }
            Self::Custom(allows) => allows(origin),
        }
    }
}

impl fmt::Debug for OriginPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameHost => "SameHost",
            Self::Any => "Any",
            Self::List(_) => "List",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Compares host and port; a port that is not said is the scheme's own.
fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.and_then(|host| host.parse::<http::uri::Authority>().ok()) else { return false };
    let default_port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let Some(authority) = origin.authority() else { return false };
    let bare = authority.as_str().find('@').is_none() && matches!(origin.path(), "" | "/");
    bare && authority.host().eq_ignore_ascii_case(host.host())
        && authority.port_u16().unwrap_or(default_port) == host.port_u16().unwrap_or(default_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(host: &'static str, origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static(host)),
            (header::ORIGIN, HeaderValue::from_static(origin)),
        ])
    }

    #[test]
    fn the_default_accepts_the_same_host_only() {
        let policy = OriginPolicy::default();
        for (host, origin) in [
            ("example.com", "http://example.com"),
            ("example.com", "https://EXAMPLE.com"),
            ("example.com:80", "http://example.com"),
            ("example.com", "https://example.com:443"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(policy.allows(&headers(host, origin)), "{host} {origin}");
        }
        for (host, origin) in [
            ("example.com", "null"),
            ("example.com", ""),
            ("example.com", "http://evil.com"),
            ("example.com", "http://example.com.evil.com"),
            ("example.com", "http://evilexample.com"),
            ("example.com", "http://example.com:8080"),
            ("example.com:8080", "http://example.com"),
            ("example.com", "http://example.com@evil.com"),
            ("example.com", "http://user@example.com"),
            ("example.com", "file://example.com"),
            ("example.com", "example.com"),
            ("example.com", "http://example.com/path"),
            ("example.com", "chrome-extension://example.com"),
        ] {
            assert!(!policy.allows(&headers(host, origin)), "{host} {origin}");
        }
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(OriginPolicy::SameHost.allows(&HeaderMap::new()));
    }

    #[test]
    fn two_origins_are_never_right() {
        let mut twice = headers("a", "http://a");
        twice.append(header::ORIGIN, HeaderValue::from_static("http://a"));
        assert!(!OriginPolicy::SameHost.allows(&twice));
        assert!(OriginPolicy::Any.allows(&twice));
    }

    #[test]
    fn a_list_adds_to_the_same_host_and_a_function_decides_alone() {
        let list = OriginPolicy::List(vec!["https://app.example".to_owned()]);
        assert!(list.allows(&headers("api.example", "https://APP.example")));
        assert!(list.allows(&headers("api.example", "https://api.example")));
        assert!(!list.allows(&headers("api.example", "https://other.example")));
        let custom = OriginPolicy::Custom(Arc::new(|origin| origin == "null"));
        assert!(custom.allows(&headers("a", "null")));
        assert!(!custom.allows(&headers("a", "http://a")));
    }
}
