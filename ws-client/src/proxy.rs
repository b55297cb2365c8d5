//! Proxy settings: proxy URLs, and the environment variables that select a proxy.

use std::{fmt, net::IpAddr};

use crate::{
    credentials::Credentials,
    error::ProxyUrlError,
    url::{AuthorityError, Host, host_and_port, redacted},
};

/// The proxy that a client connects through.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Proxy {
    /// The proxy that environment variables select.
    ///
    /// `HTTPS_PROXY` is used if it is set and not empty, then `ALL_PROXY`. The lower-case form of each name
    /// takes precedence. Both `ws` and `wss` use these variables, because a proxy is always used through a
    /// tunnel (RFC 6455 section 4.1).
    ///
    /// Connections to `localhost` and to loopback addresses use no proxy, nor do connections to hosts in
    /// `NO_PROXY`. That is a comma-separated list of names, addresses and networks such as `10.0.0.0/8`. A
    /// name includes all its subdomains. An entry with a port, such as `example.com:8080`, applies to that
    /// port only. `*` matches every host.
    #[default]
    Environment,
    /// No proxy.
    None,
    /// This proxy, for all servers.
    Through(ProxyUrl),
}

/// The URL of a proxy.
///
/// Credentials are written as `user:password@` before the host. The supported schemes are:
///
/// - `http://host:3128`: an HTTP proxy, used through a `CONNECT` tunnel. The only supported authentication
///   scheme is Basic, not Digest, NTLM or Negotiate.
/// - `https://host:3128`: an HTTP proxy that is reached by TLS. TLS to the server runs inside. Requires the
///   feature `tls-core`.
/// - `socks5://host:1080`: a SOCKS5 proxy. The client resolves host names.
/// - `socks5h://host:1080`: a SOCKS5 proxy that resolves host names.
/// - `socks4://host:1080`: a SOCKS4 proxy, for IPv4 addresses only and without a password. The client
///   resolves host names.
/// - `socks4a://host:1080`: a SOCKS4 proxy that resolves host names.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    pub(crate) kind: ProxyKind,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    HttpConnect,
    /// The same over TLS to the proxy.
    HttpsConnect,
    Socks4,
    Socks4a,
    Socks5,
    Socks5h,
}

impl ProxyKind {
    /// Kind, scheme and default port.
    const SCHEMES: [(Self, &str, u16); 6] = [
        (Self::HttpConnect, "http", 80),
        (Self::HttpsConnect, "https", 443),
        (Self::Socks4, "socks4", 1080),
        (Self::Socks4a, "socks4a", 1080),
        (Self::Socks5, "socks5", 1080),
        (Self::Socks5h, "socks5h", 1080),
    ];

    const fn is_socks4(self) -> bool {
        matches!(self, Self::Socks4 | Self::Socks4a)
    }
}

impl ProxyUrl {
    /// Parses a proxy URL. A URL without a scheme is an HTTP proxy.
    ///
    /// # Errors
    /// [`ProxyUrlError`] if the URL is invalid or its scheme is not supported.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let known = ProxyKind::SCHEMES.iter().find(|(_, name, _)| scheme.eq_ignore_ascii_case(name));
        let Some((kind, _, default_port)) = known else {
            return Err(ProxyUrlError::Scheme(redacted(scheme).to_ascii_lowercase()));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (info, authority) =
            authority.rsplit_once('@').map_or((None, authority), |(info, rest)| (Some(info), rest));
        let credentials = info.map(Credentials::parse).transpose().map_err(|_| ProxyUrlError::Credentials)?;
        let exceeds_socks4 = |it: &Credentials| !it.password.is_empty() || it.user.contains(&0);
        if kind.is_socks4() && credentials.as_ref().is_some_and(exceeds_socks4) {
            return Err(ProxyUrlError::Socks4Credentials);
        }
        let (host, port) = host_and_port(authority, *default_port).map_err(|error| {
            let reason = match error {
                AuthorityError::NoHost => "it has no host",
                AuthorityError::Host(reason) => reason,
                AuthorityError::Port => "its port is not a number up to 65535",
            };
            ProxyUrlError::Invalid { proxy: redacted(url).to_owned(), reason }
        })?;
        Ok(Self { kind: *kind, host, port, credentials })
    }
}

/// Omits the user name and the password.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = ProxyKind::SCHEMES.iter().find(|(kind, ..)| *kind == self.kind);
        write!(f, "{}://{}:{}", scheme.map_or("", |(_, name, _)| name), self.host, self.port)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Proxy {
    /// The proxy for a server, or `None` for a direct connection.
    pub(crate) fn for_target(&self, host: &str, port: u16) -> Result<Option<ProxyUrl>, ProxyUrlError> {
        match self {
            Self::None => Ok(None),
            Self::Through(proxy) => Ok(Some(proxy.clone())),
            Self::Environment => from_environment(|name| std::env::var(name).ok(), host, port),
        }
    }
}

fn from_environment(
    get: impl Fn(&str) -> Option<String>,
    host: &str,
    port: u16,
) -> Result<Option<ProxyUrl>, ProxyUrlError> {
    let either = |lower: &str, upper: &str| {
        [lower, upper].into_iter().find_map(|name| get(name).filter(|value| !value.trim().is_empty()))
    };
    let proxy = either("https_proxy", "HTTPS_PROXY").or_else(|| either("all_proxy", "ALL_PROXY"));
    let Some(proxy) = proxy else { return Ok(None) };
    let exceptions = either("no_proxy", "NO_PROXY").unwrap_or_default();
    if is_loopback_host(host) || exceptions.split(',').any(|entry| entry_matches(entry.trim(), host, port)) {
        return Ok(None);
    }
    ProxyUrl::parse(proxy.trim()).map(Some)
}

fn is_loopback_host(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether an entry of `NO_PROXY` matches a server.
fn entry_matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let host = host.trim_end_matches('.');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return name.parse::<IpAddr>().is_ok_and(|other| other == ip) || network_contains(name, ip);
    }
    let Some(start) = host.len().checked_sub(name.len()).filter(|_| !name.is_empty()) else { return false };
    host.is_char_boundary(start)
        && host[start..].eq_ignore_ascii_case(name)
        && (start == 0 || host[..start].ends_with('.'))
}

/// Splits off the port after the last colon, unless the colon belongs to an IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether a network such as `10.0.0.0/8` contains an address.
fn network_contains(network: &str, ip: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(environment: &[(&str, &str)], host: &str, port: u16) -> Option<String> {
        let get = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        from_environment(get, host, port).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_proxy_url_is_parsed() {
        for (url, expected, user) in [
            ("http://proxy:3128", "http://proxy:3128", None),
            ("proxy:3128/", "http://proxy:3128", None),
            ("HTTP://proxy", "http://proxy:80", None),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080", None),
            ("socks5h://me:p%40ss@[::1]:9", "socks5h://[::1]:9", Some("me")),
            ("https://proxy", "https://proxy:443", None),
            ("socks4://me@proxy", "socks4://proxy:1080", Some("me")),
            ("SOCKS4A://proxy:1", "socks4a://proxy:1", None),
        ] {
            let proxy = ProxyUrl::parse(url).unwrap();
            assert_eq!(proxy.to_string(), expected, "{url}");
            assert_eq!(format!("{proxy:?}"), expected, "`Debug` shows no password");
            let user_of = proxy.credentials.map(|credentials| credentials.user);
            assert_eq!(user_of.as_deref(), user.map(str::as_bytes));
        }
        for url in [
            "",
            "ftp://proxy",
            "socks://proxy",
            "http://",
            "http://a b",
            "http://proxy:99999",
            "http://proxy:+80",
            "http://[proxy]",
            "http://[::1]proxy",
        ] {
            assert!(ProxyUrl::parse(url).is_err(), "{url}");
        }
        for url in ["socks4://me:secret@proxy", "socks4a://m%00e@proxy"] {
            assert_eq!(ProxyUrl::parse(url), Err(ProxyUrlError::Socks4Credentials), "{url}");
        }
        for url in [
            "http://me:secret%@proxy",
            "me:secret@x://proxy",
            "http://me:secret/x@proxy",
            "me:secret#x@proxy",
        ] {
            let error = ProxyUrl::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_environment_selects_the_proxy() {
        let both = [("HTTPS_PROXY", "http://a:1"), ("ALL_PROXY", "socks5://b:2")];
        assert_eq!(chosen(&both, "example.com", 443).as_deref(), Some("http://a:1"));
        assert_eq!(chosen(&both[1..], "example.com", 443).as_deref(), Some("socks5://b:2"));
        let small = [("https_proxy", "http://c:3"), ("HTTPS_PROXY", "http://a:1")];
        assert_eq!(chosen(&small, "example.com", 443).as_deref(), Some("http://c:3"));
        assert_eq!(chosen(&[("https_proxy", ""), ("HTTP_PROXY", "http://d:4")], "example.com", 80), None);
        for host in ["localhost", "LOCALHOST.", "127.0.0.1", "127.3.2.1", "::1"] {
            assert_eq!(chosen(&both, host, 80), None, "{host}");
        }
    }

    #[test]
    fn no_proxy_lists_hosts_without_a_proxy() {
        let direct = |list: &str, host: &str, port| {
            chosen(&[("ALL_PROXY", "http://a:1"), ("NO_PROXY", list)], host, port).is_none()
        };
        for (list, host, port) in [
            ("*", "example.com", 1),
            ("other, example.com", "example.com", 1),
            ("example.com", "a.b.EXAMPLE.com.", 1),
            (".example.com", "a.example.com", 1),
            ("*.example.com", "a.example.com", 1),
            ("example.com:8080", "example.com", 8080),
            ("10.1.2.3", "10.1.2.3", 1),
            ("10.0.0.0/8", "10.1.2.3", 1),
            ("0.0.0.0/0", "10.1.2.3", 1),
            ("fd00::/8", "fd12::1", 1),
            ("fd12::1", "fd12::1", 1),
            ("[fd12::1]:7", "fd12::1", 7),
        ] {
            assert!(direct(list, host, port), "{list} {host}:{port}");
        }
        for (list, host, port) in [
            ("", "example.com", 1),
            (",", "example.com", 1),
            ("example.com", "badexample.com", 1),
            ("example.com", "example.org", 1),
            ("example.com:8080", "example.com", 80),
            ("10.0.0.0/8", "11.1.2.3", 1),
            ("10.0.0.0/33", "10.0.0.0", 1),
            ("[fd12::1]:7", "fd12::1", 8),
            ("fd00::/8", "10.1.2.3", 1),
        ] {
            assert!(!direct(list, host, port), "{list} {host}:{port}");
        }
    }
}
