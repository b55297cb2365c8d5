//! Pages of other sites that connect with the user's cookies (cross-site WebSocket hijacking).

use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::RequestHead;
use ws_server::Server;

const ORIGINS: Row = Row::new(6, "cross-site hijacking");

/// Host, Origin, and whether the page may connect.
const MATRIX: [(&str, &str, bool); 34] = [
    ("example.com", "http://example.com", true),
    ("example.com", "https://example.com", true),
    ("example.com", "https://EXAMPLE.com", true),
    ("EXAMPLE.com", "https://example.com", true),
    ("example.com:80", "http://example.com", true),
    ("example.com", "https://example.com:443", true),
    ("example.com:8080", "http://example.com:8080", true),
    ("[::1]:8080", "http://[::1]:8080", true),
    ("127.0.0.1:9001", "http://127.0.0.1:9001", true),
    ("example.com", "null", false),
    ("example.com", "", false),
    ("example.com", "http://evil.example", false),
    ("example.com", "http://example.com.evil.example", false),
    ("example.com", "http://evilexample.com", false),
    ("example.com", "http://sub.example.com", false),
    ("sub.example.com", "http://example.com", false),
    ("example.com", "http://example.com.", false),
    ("example.com", "http://example.com:81", false),
    ("example.com", "http://example.com:443", false),
    ("example.com:8080", "http://example.com", false),
    ("example.com", "http://example.com:80:80", false),
    ("example.com", "http://example.com@evil.example", false),
    ("example.com", "http://evil.example@example.com", false),
    ("example.com", "http://evil.example#example.com", false),
    ("example.com", "http://evil.example/example.com", false),
    ("example.com", "http://evil.example?example.com", false),
    ("example.com", "http://evil.example\\example.com", false),
    ("example.com", "http://example.com/", true),
    ("example.com", "http://example.com/page", false),
    ("example.com", "example.com", false),
    ("example.com", "//example.com", false),
    ("example.com", "file://example.com", false),
    ("example.com", "ftp://example.com", false),
    ("example.com", "chrome-extension://example.com", false),
];

#[test]
fn a_page_of_another_site_is_refused_whatever_its_origin_looks_like() {
    attack(async || {
        let mut wrong = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            for (host, origin, allowed) in MATRIX {
                let request = RequestHead::new(host, "/").with("Origin", origin);
                let mut peer = server.connect().await;
                let status = peer.upgrade_with(request.to_bytes()).await.status();
                if status != if allowed { 101 } else { 403 } {
                    println!("{host} {origin}: {status}");
                    wrong += 1;
                }
            }
            // The right origin twice is refused.
            let request = RequestHead::new("a", "/").with("Origin", "http://a").with("Origin", "http://a");
            let mut peer = server.connect().await;
            wrong += usize::from(peer.upgrade_with(request.to_bytes()).await.status() != 403);
            drop(peer);
            server.stop().await;
        }
        ORIGINS.exactly(&format!("{} origins: wrong decisions", MATRIX.len() + 1), wrong, 0, "");
    });
}
