//! What `--verbose` shows on stderr: `>` the request, `<` the response, `*` the connection.

use http::{HeaderMap, StatusCode};
use tokio::io::AsyncReadExt as _;
use ws_client::{ClientStream, Connector, rustls::ClientConnection};

use crate::{console, escape};

/// The most bytes of a request head that are shown.
const MAX_HEAD: usize = 256 * 1024;

/// Shows the head of the request that the connector is about to send.
///
/// The connector has no access to it, so it runs a handshake on a pipe that answers nothing. Its seed is fixed, so the
/// second handshake sends the same bytes. The requests after a redirect are not shown.
pub(super) async fn show_request(connector: &Connector, url: &str, with_credentials: bool) {
    let (ours, mut theirs) = tokio::io::duplex(16 * 1024);
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
            if theirs.read_buf(&mut head).await.unwrap_or(0) == 0 {
                break;
            }
        }
        head
    };
    let head = tokio::select! {
        // The settings are invalid; the real attempt reports that.
        _ = connector.connect_on(url, ours) => return,
        head = read => head,
    };
    for (index, line) in String::from_utf8_lossy(&head).lines().enumerate() {
        match line.split_once(": ") {
            _ if index == 0 => {
                console::err(format!("> {}", escape::line(&redacted_request_line(line, with_credentials))))
            }
            Some((name, value)) => show_header('>', name, value, with_credentials),
            None => console::err(">"),
        }
    }
}

pub(super) fn show_response(status: StatusCode, headers: &HeaderMap, with_credentials: bool) {
    console::err(format!("< HTTP/1.1 {} {}", status.as_str(), status.canonical_reason().unwrap_or_default()));
    for (name, value) in headers {
        show_header('<', name.as_str(), &String::from_utf8_lossy(value.as_bytes()), with_credentials);
    }
    console::err("<");
}

fn show_header(direction: char, name: &str, value: &str, with_credentials: bool) {
    let value = if with_credentials { value.to_owned() } else { redacted(name, value) };
    console::err(format!("{direction} {}: {}", escape::line(name), escape::line(&value)));
}

/// Parts of names whose values are credentials.
const SECRET_NAMES: [&str; 9] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "signature",
    "credential",
];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET_NAMES.iter().any(|part| name.contains(part))
        || matches!(name.as_str(), "key" | "sig" | "auth" | "code")
}

/// A header's value without credentials. The scheme of an `Authorization` is shown.
fn redacted(name: &str, value: &str) -> String {
    if name.eq_ignore_ascii_case("sec-websocket-protocol") {
        let names = value.split(',').map(|name| {
            let name = name.trim();
            // Kubernetes: base64url.bearer.authorization.k8s.io.TOKEN
            let end = name.find("bearer.").map_or(name.len(), |start| start + "bearer.".len());
            if end < name.len() { format!("{}…", &name[..end]) } else { name.to_owned() }
        });
        return names.collect::<Vec<_>>().join(", ");
    }
    if !is_secret(name) {
        return value.to_owned();
    }
    match value.split_once(' ') {
        Some((scheme, _)) if name.to_ascii_lowercase().ends_with("authorization") => format!("{scheme} …"),
        _ => "…".to_owned(),
    }
}

/// The request line without values of the query that look like credentials.
fn redacted_request_line(line: &str, with_credentials: bool) -> String {
    let Some((path, query)) = line.split_once('?').filter(|_| !with_credentials) else {
        return line.to_owned();
    };
    let (query, version) = query.rsplit_once(' ').unwrap_or((query, ""));
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=…"),
        _ => pair.to_owned(),
    });
    format!("{path}?{} {version}", pairs.collect::<Vec<_>>().join("&"))
}

/// Describes the stream of a connection.
pub(super) fn of_stream(stream: &ClientStream) -> Vec<String> {
    let mut lines = Vec::new();
    if let Ok(address) = stream.peer_addr() {
        lines.push(format!("connected to {address}"));
    }
    lines.extend(tls(stream.proxy_tls()).into_iter().map(|line| format!("{line}, to the proxy")));
    lines.extend(tls(stream.tls()));
    lines
}

/// Describes a TLS connection: version, cipher suite, ALPN.
pub(super) fn tls(connection: Option<&ClientConnection>) -> Vec<String> {
    let Some(connection) = connection else { return Vec::new() };
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let version = version
        .strip_prefix("TLSv")
        .map_or_else(|| version.to_owned(), |number| format!("TLS {}", number.replace('_', ".")));
    let suite = connection.negotiated_cipher_suite();
    let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("an unknown cipher suite");
    let alpn = connection.alpn_protocol().map(|name| format!(", ALPN {}", String::from_utf8_lossy(name)));
    vec![format!("{version}, {suite}{}", alpn.unwrap_or_default())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out() {
        for (name, value, shown) in [
            ("authorization", "Bearer secret", "Bearer …"),
            ("proxy-authorization", "Basic secret", "Basic …"),
            ("authorization", "secret", "…"),
            ("cookie", "id=secret; a=b", "…"),
            ("set-cookie", "id=secret", "…"),
            ("x-api-key", "secret", "…"),
            ("x-auth-token", "secret", "…"),
            (
                "sec-websocket-protocol",
                "a, base64url.bearer.authorization.k8s.io.secret",
                "a, base64url.bearer.…",
            ),
            ("sec-websocket-protocol", "chat, v2", "chat, v2"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("user-agent", "x", "x"),
        ] {
            assert_eq!(redacted(name, value), shown, "{name}");
        }
    }

    #[test]
    fn credentials_in_a_query_are_left_out() {
        let line = "GET /a?x=1&access_token=secret&sig=secret HTTP/1.1";
        assert_eq!(redacted_request_line(line, false), "GET /a?x=1&access_token=…&sig=… HTTP/1.1");
        assert_eq!(redacted_request_line(line, true), line);
    }
}
