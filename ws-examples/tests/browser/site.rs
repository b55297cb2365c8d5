//! The files of a page, as a browser gets them.

use std::net::SocketAddr;

use e2e_tests::raw_peer::RawClient;

/// The status, the type and the text of a file.
async fn file(addr: SocketAddr, path: &str) -> (u16, String, String) {
    let mut browser = RawClient::connect(addr).await;
    let head = browser.upgrade_with(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await;
    let text = String::from_utf8(browser.recv_body(&head).await).expect("text");
    assert!(
        head.header("Content-Security-Policy").is_some_and(|policy| policy.contains("script-src 'self';"))
    );
    (head.status(), head.header("Content-Type").unwrap_or_default().to_owned(), text)
}

/// Checks that a page is served, and more than `least` files that it and its scripts name.
pub(crate) async fn expect_files(addr: SocketAddr, least: usize) {
    let (status, kind, page) = file(addr, "/").await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.starts_with("<!doctype html>"), "{page}");
    let mut names: Vec<String> = names_in(&page, &["href=\"", "src=\""]);
    let mut seen = 0;
    while let Some(name) = names.pop() {
        let (status, kind, text) = file(addr, &format!("/{name}")).await;
        assert_eq!(status, 200, "{name}");
        let expected = match name.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(kind, expected, "{name}");
        names.extend(names_in(&text, &["from \"./"]));
        seen += 1;
    }
    assert!(seen > least, "only {seen} files");
    assert_eq!(file(addr, "/missing").await.0, 404);
}

/// The names of files of this server that follow one of these texts, without a fragment.
fn names_in(text: &str, before: &[&str]) -> Vec<String> {
    let names = before.iter().flat_map(|before| text.split(before).skip(1));
    let names = names.filter_map(|rest| rest.split(['"', '#']).next());
    let mut names: Vec<String> = names.filter(|name| name.contains('.')).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}
