//! `chat-server`: the page, the room, and a chat between two browser tabs.

use std::net::SocketAddr;

use e2e_tests::{
    certificates::CertificateFiles,
    harness::{self, Options},
    peers::Peer,
    raw_peer::RawClient,
};
#[cfg(unix)]
use {e2e_tests::raw_peer::RawFrame, rustix::process::Signal};

use crate::program::{CHAT_SERVER, Program, run};

fn start() -> (Program, SocketAddr) {
    let (server, url) = Program::server(CHAT_SERVER, &["127.0.0.1:0"], "listening on http://");
    let addr = url.strip_suffix('/').expect("the URL of the page").parse().expect("an address");
    (server, addr)
}

#[test]
fn the_page_is_served_on_the_same_port() {
    harness::run(async {
        let (_server, addr) = start();
        let mut browser = RawClient::connect(addr).await;
        let head = browser.upgrade_with(format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await;
        assert_eq!((head.status(), head.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
        let page = String::from_utf8(browser.recv_body(&head).await).expect("text");
        assert!(page.starts_with("<!doctype html>") && page.contains("new WebSocket("), "{page}");
        let mut browser = RawClient::connect(addr).await;
        let head = browser.upgrade_with(format!("GET /missing HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await;
        assert_eq!(head.status(), 404);
    });
}

#[cfg(unix)]
#[test]
fn all_visitors_get_every_line_and_see_others_enter_and_leave() {
    harness::run(async {
        let (server, addr) = start();
        let mut first = RawClient::open(addr, "/").await;
        first.expect_text("visitor 1 entered").await;
        let mut second = RawClient::open(addr, "/").await;
        first.expect_text("visitor 2 entered").await;
        second.expect_text("visitor 2 entered").await;
        second.send(RawFrame::text("hello")).await;
        first.expect_text("visitor 2: hello").await;
        second.expect_text("visitor 2: hello").await;
        second.into_connection().reset();
        first.expect_text("visitor 2 left").await;
        server.signal(Signal::INT);
        first.expect_close(1001).await;
        first.send(RawFrame::close(1001, "")).await;
        first.expect_eof().await;
        drop(first);
        assert!(server.end().await.status.success());
    });
}

#[test]
fn a_page_of_another_origin_gets_403() {
    harness::run(async {
        let (_server, addr) = start();
        let mut client = RawClient::connect(addr).await;
        let request = client.request("/").with("Origin", "https://other.example");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 403);
    });
}

#[test]
fn two_tabs_of_chromium_talk_to_each_other() {
    // A browser may take long to start.
    let options = Options { deadline: std::time::Duration::from_secs(60), ..Options::default() };
    harness::run_with(options, async {
        let Some(chromium) = Peer::Chromium.find() else { return };
        let (_server, addr) = start();
        chromium.client(&format!("http://{addr}/"), &["--deflate"]).expect_ok().await;
    });
}

#[test]
fn two_tabs_of_chromium_talk_to_each_other_over_tls() {
    let options = Options { deadline: std::time::Duration::from_secs(60), ..Options::default() };
    harness::run_with(options, async {
        let Some(chromium) = Peer::Chromium.find() else { return };
        let files = CertificateFiles::new();
        let (cert, key) = (files.path("cert"), files.path("key"));
        let args = ["127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        let (_server, page) = Program::server(CHAT_SERVER, &args, "listening on https://");
        chromium.client(&format!("https://{page}"), &["--deflate", "--ca", &cert]).expect_ok().await;
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        for help in ["--help", "-h"] {
            let usage = "usage: chat-server [ADDR] [--tls-cert PEM --tls-key PEM]\n";
            run(CHAT_SERVER, &[help]).await.assert(0, usage, "");
        }
        for (args, message) in [
            (&["--what"][..], "invalid option '--what'"),
            (&["--tls-cert"], "missing argument for option '--tls-cert'"),
            (&["--tls-cert", "a.pem"], "--tls-cert and --tls-key must be used together"),
        ] {
            run(CHAT_SERVER, args).await.assert(2, "", &format!("chat-server: {message}\n"));
        }
    });
}
