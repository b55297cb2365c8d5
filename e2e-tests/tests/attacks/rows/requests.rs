//! Requests that are malformed, or that a proxy and this server could parse differently.

use crate::scale::number;
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawFrame, RequestHead, SAMPLE_KEY, Side};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use ws_server::Server;

const SMUGGLING: Row = Row::new(3, "request smuggling");
const KEYS: Row = Row::new(7, "wrong keys and versions");
const PROXIES: Row = Row::new(35, "proxies between client and server");

/// Headers that announce a body.
const BODIES: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\nContent-Length: 5\r\n",
    "Content-Length: 0, 5\r\n",
    "Content-Length: +0\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 00000000000000000000000000000001\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\nTransfer-Encoding:\r\n",
];

/// Bytes that only some parsers accept as a line.
const LINES: &[&str] = &[
    "X: a\n",
    "X: a\nContent-Length: 5\r\n",
    "X: a\rContent-Length: 5\r\n",
    " X: a\r\n",
    "\tX: a\r\n",
    "X: a\r\n b\r\n",
    "X: a\r\n\tTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Content-Length\t: 5\r\n",
    "X\0: a\r\n",
    "X: a\0b\r\n",
    "X: a\u{7f}\r\n",
    ": a\r\n",
    "no colon\r\n",
    "X(Y): a\r\n",
    "X\u{e9}: a\r\n",
    "\u{b}X: a\r\n",
];

/// A valid request, and ways to make it invalid.
struct Requests {
    valid: RequestHead,
    list: Vec<Vec<u8>>,
}

impl Requests {
    fn new(addr: SocketAddr) -> Self {
        Self { valid: RequestHead::new(addr, "/"), list: Vec::new() }
    }

    fn add(&mut self, request: RequestHead) {
        self.list.push(request.to_bytes());
    }

    /// Replaces one part of the valid request's bytes.
    fn replaced(&mut self, part: &str, replacements: &[&str]) {
        let text = String::from_utf8(self.valid.to_bytes()).unwrap();
        assert!(text.contains(part), "{part:?}");
        self.list.extend(replacements.iter().map(|by| text.replacen(part, by, 1).into_bytes()));
    }

    /// Adds a line, unchanged, after the first.
    fn lines(&mut self, lines: &[&str]) {
        let line = |line: &&str| format!(" HTTP/1.1\r\n{line}");
        let with: Vec<String> = lines.iter().map(line).collect();
        self.replaced(" HTTP/1.1\r\n", &with.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn malformed(addr: SocketAddr) -> Vec<Vec<u8>> {
    let mut all = Requests::new(addr);
    for method in ["POST", "get", "PUT", "HEAD", "OPTIONS", "CONNECT", "GE T", "G\0ET", ""] {
        all.add(all.valid.clone().method(method));
    }
    for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/1.x", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/1.1\t", ""]
    {
        all.add(all.valid.clone().version(version));
    }
    for target in
        ["ftp://a/", "http://a@b/", "*", "a", "a:80", "", "/a b", "/\0", "/\u{7f}", "/\t", "/\u{e9}"]
    {
        let mut request = all.valid.clone();
        request.target = target.into();
        all.add(request);
    }
    all.add(all.valid.clone().line_end("\n"));
    all.add(all.valid.clone().line_end("\r"));
    all.add(all.valid.clone().line_end("\r\r\n"));
    all.lines(BODIES);
    all.lines(LINES);
    // The Host header.
    let host = format!("Host: {addr}\r\n");
    all.replaced(
        &host,
        &[
            "",
            &host.repeat(2),
            &format!("{host}Host: other.example\r\n"),
            "Host: a b\r\n",
            "Host: a, b\r\n",
            "Host: [::1\r\n",
            "Host: a/b\r\n",
            "Host: user@a\r\n",
            "Host: a\r\n b\r\n",
            "Host : a\r\n",
            "Host: \u{e9}\r\n",
        ],
    );
    all.replaced("Upgrade: websocket\r\n", &["", "Upgrade: h2c\r\n", "Upgrade: websocket2\r\n"]);
    all.replaced("Connection: Upgrade\r\n", &["", "Connection: close\r\n", "Connection: upgraded\r\n"]);
    // Garbage, a second blank line, a head without one.
    all.replaced("GET / ", &["\r\n\r\nGET / ", "\0GET / ", " GET / ", "GET /\r\n", "GET  / "]);
    all.replaced("\r\n\r\n", &["\r\n"]);
    all.list
}

/// Sends a request, and right behind it a valid one and a frame. The answer must be one refusal and the end of the
/// stream.
async fn is_refused(server: &TargetServer, request: &[u8]) -> Result<u16, String> {
    let good = RequestHead::new(server.addr, "/").to_bytes();
    let all = [request, &good, &RawFrame::text("smuggled").encode(Side::Client)].concat();
    let mut peer = server.connect().await;
    let _ = peer.writer.try_send_bytes(&all).await;
    let answer = String::from_utf8_lossy(&peer.reader.recv_to_eof().await).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let once = answer.matches("HTTP/1.1 ").count() == 1 && !answer.contains("smuggled");
    // A response to HEAD has a Content-Length and no body.
    let headless = request.starts_with(b"HEAD ") && body.is_empty();
    let framed = headless || head.contains(&format!("Content-Length: {}", body.len()));
    let framed = framed && head.contains("Connection: close");
    match status {
        400..600 if once && framed => Ok(status),
        _ => Err(answer),
    }
}

async fn count_accepted(server: &TargetServer, requests: &[Vec<u8>]) -> usize {
    let mut accepted = 0;
    for request in requests {
        if let Err(answer) = is_refused(server, request).await {
            println!("{:?}\n  was answered\n{answer:?}", String::from_utf8_lossy(request));
            accepted += 1;
        }
    }
    server.settled(0).await;
    accepted + server.counts.opened.load(SeqCst)
}

#[test]
fn no_malformed_request_is_accepted_and_nothing_behind_it_is_read() {
    attack(async || {
        let (mut tried, mut accepted) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let requests = malformed(server.addr);
            tried = requests.len();
            accepted += count_accepted(&server, &requests).await;
            server.stop().await;
        }
        assert!(tried >= 60);
        SMUGGLING.exactly(
            &format!(
                "{tried} malformed requests, each followed by a valid one: accepted, or the valid one read"
            ),
            accepted,
            0,
            "",
        );
    });
}

#[test]
fn wrong_keys_are_400_and_other_versions_426_with_ours() {
    attack(async || {
        let mut keys: Vec<String> = [
            "!!!!!!!!!!!!!!!!!!!!!!==",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZ_==",
        ]
        .map(str::to_owned)
        .into();
        // Keys of all lengths except 24, and of 24 characters that decode to 17 and 18 bytes.
        keys.extend((0..64).chain([255, 256, 1000, 4096]).filter(|n| *n != 24).map(|n| "A".repeat(n)));
        keys.extend(["A".repeat(23) + "=", "A".repeat(24)]);
        let versions = ["", "0", "7", "8", "12", "14", "013", "+13", "13, 8", "13.0", "thirteen", "-13"];
        let (mut tried, mut wrong) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let valid = RequestHead::new(server.addr, "/");
            let twice = |name, value| valid.clone().with(name, value);
            let without = |name: &str| valid.clone().without(name);
            let key = |key: &String| (valid.clone().replacing("Sec-WebSocket-Key", key), 400);
            let mut table: Vec<_> = keys.iter().map(key).collect();
            table
                .extend([(without("Sec-WebSocket-Key"), 400), (twice("Sec-WebSocket-Key", SAMPLE_KEY), 400)]);
            let version = |text| (valid.clone().replacing("Sec-WebSocket-Version", text), 426);
            table.extend(versions.map(version));
            table.extend([
                (without("Sec-WebSocket-Version"), 426),
                (twice("Sec-WebSocket-Version", "13"), 426),
            ]);
            tried = table.len();
            for (request, expected) in table {
                let mut peer = server.connect().await;
                let head = peer.upgrade_with(request.to_bytes()).await;
                let names_ours = head.header("Sec-WebSocket-Version") == Some("13");
                wrong += usize::from(head.status() != expected || names_ours != (expected == 426));
            }
            server.settled(0).await;
            server.stop().await;
        }
        KEYS.exactly(
            &format!("{} requests: not answered with the right status", number(tried)),
            wrong,
            0,
            "",
        );
    });
}

#[test]
fn a_header_of_the_proxy_protocol_is_not_a_request() {
    attack(async || {
        let good = |server: &TargetServer| RequestHead::new(server.addr, "/").to_bytes();
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\0\x51";
        let headers: [&[u8]; 5] = [
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n",
            b"PROXY UNKNOWN\r\n",
            b"PROXY TCP6 ::1 ::1 1 2\r\n",
            v2,
            &v2[..16],
        ];
        let mut accepted = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let requests: Vec<_> =
                headers.iter().map(|header| [header, &good(&server)[..]].concat()).collect();
            accepted += count_accepted(&server, &requests).await;
            server.stop().await;
        }
        PROXIES.exactly("5 forged PROXY headers, versions 1 and 2: accepted", accepted, 0, "");
    });
}
