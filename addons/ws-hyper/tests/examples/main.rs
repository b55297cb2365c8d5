//! Runs the examples as programs.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use rustix::process::{Pid, Signal, kill_process};

/// A running example. Dropping it kills the process.
struct Example(Child);

impl Example {
    /// Starts an example and returns its address, which follows `prefix` in the first line that it prints.
    fn start(name: &str, prefix: &str) -> (Self, SocketAddr) {
        // `cargo test` builds the examples next to the folder of this test.
        let tests = std::env::current_exe().unwrap();
        let path = tests.parent().unwrap().with_file_name("examples").join(name);
        let process = Command::new(&path).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn();
        let mut process =
            process.unwrap_or_else(|error| panic!("{}: {error}; build the examples", path.display()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().trim_end_matches('/').strip_prefix(prefix).map(str::parse);
        (Self(process), addr.unwrap().unwrap())
    }

    fn interrupt(&self) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), Signal::INT).unwrap();
    }

    async fn expect_success(mut self) {
        let status = tokio::task::spawn_blocking(move || self.0.wait()).await.unwrap();
        assert!(status.unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both fail if the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn hyper_echo_echoes_and_shuts_down_with_1001() {
    harness::run(async {
        let (example, addr) = Example::start("hyper-echo", "listening on ws://");
        let mut client = RawClient::open(addr, "/").await;
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;
        example.interrupt();
        client.expect_close(1001).await;
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
        drop(client);
        example.expect_success().await;
    });
}

#[test]
fn axum_chat_has_a_page_rooms_an_origin_policy_and_a_graceful_shutdown() {
    harness::run(async {
        let (example, addr) = Example::start("axum-chat", "listening on http://");
        let mut browser = RawClient::connect(addr).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        let head = browser.upgrade_with(request).await;
        assert_eq!((head.status(), head.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
        assert!(String::from_utf8(browser.recv_body(&head).await).unwrap().contains("new WebSocket("));

        let mut foreign = RawClient::connect(addr).await;
        let request = foreign.request("/ws/a").with("Origin", "https://evil.example");
        assert_eq!(foreign.upgrade_with(request.to_bytes()).await.status(), 403);

        let (mut one, mut two) = (RawClient::open(addr, "/ws/a").await, RawClient::open(addr, "/ws/a").await);
        let mut other = RawClient::open(addr, "/ws/b").await;
        one.send(RawFrame::text("hello")).await;
        one.expect_text("hello").await;
        two.expect_text("hello").await;
        other.send(RawFrame::text("elsewhere")).await;
        other.expect_text("elsewhere").await;
        drop((browser, foreign));

        example.interrupt();
        for mut client in [one, two, other] {
            client.expect_close(1001).await;
            client.send(RawFrame::close(1001, "")).await;
            client.expect_eof().await;
        }
        example.expect_success().await;
    });
}
