//! `--resolve HOST:PORT:ADDRESS`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ws_client::Connector;

use crate::exit::{Failure, Outcome};

struct Entry {
    host: String,
    port: u16,
    address: IpAddr,
}

/// Makes the connector use the addresses of `entries`. All other names are resolved by the operating system.
pub(super) fn with_addresses(connector: Connector, entries: &[String]) -> Outcome<Connector> {
    let entries: Outcome<Vec<Entry>> = entries.iter().map(|text| parse(text)).collect();
    let entries: Arc<[Entry]> = entries?.into();
    Ok(connector.resolver(move |host, port| {
        let entries = Arc::clone(&entries);
        async move {
            let matches = |entry: &&Entry| entry.port == port && entry.host.eq_ignore_ascii_case(&host);
            let known: Vec<SocketAddr> =
                entries.iter().filter(matches).map(|entry| SocketAddr::new(entry.address, port)).collect();
            if known.is_empty() {
                return Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect());
            }
            Ok(known)
        }
    }))
}

fn parse(text: &str) -> Outcome<Entry> {
    let parts = || {
        let (host, rest) = text.split_once(':')?;
        let (port, address) = rest.split_once(':')?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Some(Entry { host: host.to_owned(), port: port.parse().ok()?, address: address.parse().ok()? })
    };
    parts().ok_or_else(|| Failure::usage(format!("--resolve: expected HOST:PORT:ADDRESS, got {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_host_a_port_and_an_address() {
        let entry = parse("a.example:443:[::1]").unwrap();
        assert_eq!(
            (entry.host.as_str(), entry.port, entry.address),
            ("a.example", 443, "::1".parse().unwrap())
        );
        for text in ["a.example", "a.example:443", "a.example:x:127.0.0.1", "a.example:443:b.example"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
