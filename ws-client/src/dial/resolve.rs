//! Name resolution.

use std::{fmt, io, net::SocketAddr, pin::Pin, sync::Arc};

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The application's resolver, or the operating system's by default.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Option<Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>>);

impl Resolver {
    pub(crate) fn new<F, Fut>(resolve: F) -> Self
    where
        F: Fn(String, u16) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Some(Arc::new(move |host, port| Box::pin(resolve(host, port)))))
    }

    /// The addresses in the order in which to try them.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addrs = match &self.0 {
            Some(resolve) => resolve(host.to_owned(), port).await?,
            None => tokio::net::lookup_host((host, port)).await?.collect(),
        };
        Ok(interleave(addrs))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(custom)" } else { "Resolver(system)" })
    }
}

/// Alternates between IPv6 and IPv4, starting with the family of the first address (RFC 8305 section 4). If
/// one family does not work on a network, this costs a single attempt delay.
fn interleave(addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addrs.first().map(SocketAddr::is_ipv4) else { return addrs };
    let (preferred, other): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|addr| addr.is_ipv4() == first);
    let mut other = other.into_iter();
    let mut mixed: Vec<_> =
        preferred.into_iter().flat_map(|addr| [Some(addr), other.next()]).flatten().collect();
    mixed.extend(other);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_alternate() {
        let parse = |list: &str| -> Vec<SocketAddr> {
            list.split(' ').filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).collect()
        };
        for (given, tried) in [
            ("", ""),
            ("1.1.1.1:1", "1.1.1.1:1"),
            ("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1", "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"),
            ("1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1", "1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1"),
        ] {
            assert_eq!(interleave(parse(given)), parse(tried), "{given}");
        }
    }
}
