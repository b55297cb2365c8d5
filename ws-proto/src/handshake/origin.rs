//! Which web pages may connect. A page of any site can open a WebSocket to any host, and the browser sends the user's
//! cookies with it. Only the `Origin` header names the page's site (RFC 6455 section 10.2).

use std::{fmt, sync::Arc};

use http::{HeaderMap, Uri, header};

use super::authority::split_authority;

/// Which `Origin` headers are accepted. Requests without one do not come from a web page and are always accepted.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// The origin's host and port must be those of the request: of its target if that has an authority, as in HTTP/2
    /// and in the absolute form of HTTP/1.1, or of the `Host` header. Over TLS the origin's scheme must be `https`.
    /// Without TLS it may be `http` or `https`, because a proxy in front of the server may terminate TLS. The default.
    #[default]
    SameHost,
    /// Any page may connect. Safe only if connections carry no authority of the user, such as cookies.
    Any,
    /// The same host, and these origins, such as `https://example.com`. The comparison ignores case.
    List(Vec<String>),
    /// The function gets the header's value and returns whether it is accepted.
    Custom(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

/// Whether a request came over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportSecurity {
    /// Without TLS, or with TLS that a proxy in front of the server terminates.
    #[default]
    Plain,
    /// Over TLS.
    Tls,
}

impl OriginPolicy {
    /// Whether the policy accepts a request with these headers and this target.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap, target: &Uri, security: TransportSecurity) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return matches!(self, Self::Any) };
        let is_same_host = || is_same_host(origin, headers, target, security);
        match self {
            Self::Any => true,
            Self::SameHost => is_same_host(),
            Self::List(list) => is_same_host() || list.iter().any(|entry| entry.eq_ignore_ascii_case(origin)),
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

/// Compares host and port. A missing port is the scheme's default port.
fn is_same_host(origin: &str, headers: &HeaderMap, target: &Uri, security: TransportSecurity) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" if security == TransportSecurity::Plain => 80,
        "https" => 443,
        _ => return false,
    };
    let own = match target.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (Some((host, port)), Some((own_host, own_port))) =
        (split_authority(authority), own.and_then(split_authority))
    else {
        return false;
    };
    host.eq_ignore_ascii_case(own_host) && port.unwrap_or(default_port) == own_port.unwrap_or(default_port)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::{
        TransportSecurity::{Plain, Tls},
        *,
    };

    fn allows(policy: &OriginPolicy, request: &Request<()>, security: TransportSecurity) -> bool {
        policy.allows(request.headers(), request.uri(), security)
    }

    fn request(host: &'static str, origin: &'static str) -> Request<()> {
        let request = Request::builder().header(header::HOST, host).header(header::ORIGIN, origin);
        request.body(()).unwrap()
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
            assert!(allows(&policy, &request(host, origin), Plain), "{host} {origin}");
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
            ("example.com", "http://example.com#path"),
            ("example.com", "http://example.com:99999"),
            ("example.com", "http://example.com:+80"),
            ("example.com", "chrome-extension://example.com"),
        ] {
            for security in [Plain, Tls] {
                assert!(!allows(&policy, &request(host, origin), security), "{host} {origin}");
            }
        }
    }

    #[test]
    fn over_tls_a_page_without_it_is_of_another_origin() {
        for policy in [OriginPolicy::SameHost, OriginPolicy::List(Vec::new())] {
            assert!(allows(&policy, &request("example.com", "https://example.com"), Tls));
            assert!(allows(&policy, &request("example.com:8443", "HTTPS://example.com:8443"), Tls));
            assert!(!allows(&policy, &request("example.com", "http://example.com"), Tls));
            assert!(!allows(&policy, &request("example.com:8443", "http://example.com:8443"), Tls));
            assert!(!allows(&policy, &request("example.com:443", "http://example.com:443"), Tls));
        }
        let list = OriginPolicy::List(vec!["http://example.com".to_owned()]);
        assert!(allows(&list, &request("example.com", "http://example.com"), Tls));
    }

    #[test]
    fn the_host_of_a_target_in_absolute_form_counts_and_not_the_header() {
        let mut request = request("proxy.example", "https://chat.example");
        *request.uri_mut() = "https://chat.example/room".parse().unwrap();
        assert!(allows(&OriginPolicy::SameHost, &request, Tls));
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://proxy.example"));
        assert!(!allows(&OriginPolicy::SameHost, &request, Tls));
    }

    #[test]
    fn an_http_2_request_without_a_host_header_is_compared_by_its_authority() {
        let mut request = Request::new(());
        *request.uri_mut() = "https://chat.example:8443/room".parse().unwrap();
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://chat.example:8443"));
        assert!(allows(&OriginPolicy::SameHost, &request, Tls));
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!allows(&OriginPolicy::SameHost, &request, Tls));
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(allows(&OriginPolicy::SameHost, &Request::new(()), Tls));
    }

    #[test]
    fn two_origins_are_never_right() {
        let mut twice = request("a", "http://a");
        twice.headers_mut().append(header::ORIGIN, HeaderValue::from_static("http://a"));
        assert!(!allows(&OriginPolicy::SameHost, &twice, Plain));
        assert!(allows(&OriginPolicy::Any, &twice, Plain));
    }

    #[test]
    fn a_list_adds_to_the_same_host_and_a_function_decides_alone() {
        let list = OriginPolicy::List(vec!["https://app.example".to_owned()]);
        assert!(allows(&list, &request("api.example", "https://APP.example"), Plain));
        assert!(allows(&list, &request("api.example", "https://api.example"), Plain));
        assert!(!allows(&list, &request("api.example", "https://other.example"), Plain));
        let custom = OriginPolicy::Custom(Arc::new(|origin| origin == "null"));
        assert!(allows(&custom, &request("a", "null"), Plain));
        assert!(!allows(&custom, &request("a", "http://a"), Plain));
    }
}
