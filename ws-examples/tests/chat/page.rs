//! `chat-server`: its command line and the files of its page.

use std::net::SocketAddr;

use e2e_tests::{harness, raw_peer::RawClient};

use crate::program::{Program, run};

pub(crate) const CHAT_SERVER: &str = env!("CARGO_BIN_EXE_chat-server");

/// Starts a server on a free port.
pub(crate) fn start(options: &[&str]) -> (Program, SocketAddr) {
    let args = [&["127.0.0.1:0"], options].concat();
    let (server, url) = Program::server(CHAT_SERVER, &args, "listening on http://");
    let addr = url.strip_suffix('/').expect("the URL of the page").parse().expect("an address");
    (server, addr)
}

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

#[test]
fn the_page_and_each_file_that_it_names_are_served_on_the_same_port() {
    harness::run(async {
        let (_server, addr) = start(&[]);
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
        assert!(seen > 8, "only {seen} files");
        assert_eq!(file(addr, "/missing").await.0, 404);
    });
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

#[test]
fn a_page_of_another_origin_gets_403() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut client = RawClient::connect(addr).await;
        let request = client.request("/socket").with("Origin", "https://other.example");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 403);
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        for help in ["--help", "-h"] {
            let help = run(CHAT_SERVER, &[help]).await;
            assert!(
                help.status.success() && help.stdout.starts_with("usage: chat-server [ADDR] "),
                "{help:?}"
            );
        }
        for (args, message) in [
            (&["--what"][..], "invalid option '--what'"),
            (&["--tls-cert"], "missing argument for option '--tls-cert'"),
            (&["--redis", "redis://a", "--nats", "nats://b"], "--redis or --nats may be used once"),
            (&["--tls-cert", "a.pem"], "--tls-cert and --tls-key must be used together"),
        ] {
            run(CHAT_SERVER, args).await.assert(2, "", &format!("chat-server: {message}\n"));
        }
        let none = run(CHAT_SERVER, &["--history", "0"]).await;
        assert_eq!(none.status.code(), Some(2));
        assert!(none.stderr.contains("0 is not from 1 to 100000"), "{none:?}");
    });
}
