//! The address of the client in the headers `Forwarded` (RFC 7239) and `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use super::{Networks, Trusted};

mod rfc7239;

/// Which header of trusted proxies names the client: `Forwarded` or `X-Forwarded-For`, never both. For
/// [`ServerBuilder::forwarded`](crate::ServerBuilder::forwarded).
///
/// Each proxy on the way appends the address that the request came from. So the addresses are read from the right: the
/// rightmost one that is not trusted is the client's, because a trusted proxy has written it. What is further to the
/// left comes from the client and means nothing. If all addresses are trusted, the leftmost one counts. Several lines
/// of the header are one list.
///
/// The address becomes [`Request::peer_addr`](crate::Request::peer_addr), and the limits per address count it once the
/// request is read. Its port is 0 if the header has none. [`Request::proxy_addr`](crate::Request::proxy_addr) has the
/// address of the proxy.
///
/// Nothing changes if the peer is not trusted, if there is no such header, or if the reading from the right meets
/// something that is not an address: a malformed element, `unknown`, or an obfuscated name (RFC 7239 section 6.3). The
/// connection then counts as one of the proxy.
///
/// ```
/// use ws_server::{Server, proxy::{Forwarded, Networks}};
///
/// let server = Server::builder().forwarded(Forwarded::x_forwarded_for(Networks::loopback()));
/// ```
///
/// Trust only proxies that append to the header, or replace it. Behind one that passes it on unchanged, clients choose
/// their address. So do clients whose own address is trusted.
#[derive(Debug, Clone)]
#[must_use]
pub struct Forwarded {
    trusted: Trusted,
    header: Header,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Forwarded,
    XForwardedFor,
}

impl Forwarded {
    /// Reads `Forwarded` (RFC 7239) in requests of these proxies.
    pub fn rfc_7239(trusted: impl Into<Networks>) -> Self {
        Self { trusted: Trusted::new(trusted), header: Header::Forwarded }
    }

    /// Reads `X-Forwarded-For` in requests of these proxies. An address may have a port: `192.0.2.1:80`,
    /// `[2001:db8::1]:80`.
    pub fn x_forwarded_for(trusted: impl Into<Networks>) -> Self {
        Self { trusted: Trusted::new(trusted), header: Header::XForwardedFor }
    }

    /// Also trusts all peers on Unix sockets.
    pub const fn on_unix_sockets(mut self) -> Self {
        self.trusted.unix_sockets = true;
        self
    }

    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        self.trusted.contains(peer)
    }

    /// The address of the client that a request of a trusted peer names.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Option<SocketAddr> {
        const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        match self.header {
            Header::Forwarded => {
                let lines = headers.get_all(header::FORWARDED).iter().rev();
                let elements = lines.flat_map(|line| rfc7239::elements_from_the_right(line.as_bytes()));
                self.rightmost_untrusted(elements.map(rfc7239::address_of))
            }
            Header::XForwardedFor => {
                let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
                let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
                // RFC 9110 section 5.6.1.2: empty elements of a list are ignored.
                let elements = elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty());
                self.rightmost_untrusted(elements.map(|element| address(std::str::from_utf8(element).ok()?)))
            }
        }
    }

    /// Takes addresses from the right. An element without an address ends it without a result.
    fn rightmost_untrusted(&self, addresses: impl Iterator<Item = Option<SocketAddr>>) -> Option<SocketAddr> {
        let mut last = None;
        for address in addresses {
            last = Some(address?);
            if !address.is_some_and(|address| self.trusted.networks.contains(address.ip())) {
                break;
            }
        }
        last
    }
}

/// Parses an address with or without a port. An IPv6 address may be in brackets; with a port it must be.
fn address(text: &str) -> Option<SocketAddr> {
    let without_port = |ip: IpAddr| SocketAddr::new(ip, 0);
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    text.parse().map(without_port).ok().or_else(|| in_brackets().map(without_port)).or_else(|| {
        let (_, port) = text.rsplit_once(':')?;
        port.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    })
}

#[cfg(test)]
mod tests;
