//! Chromium over HTTP/2, and HAProxy with HTTP/2 on either side. Where they are not installed, the tests are skipped;
//! see e2e-tests/peers.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use e2e_tests::{
    certificates::CertificateFiles,
    harness,
    peers::{Child, Peer, program},
    raw_peer::DEADLINE,
};
use tokio::{net::TcpStream, sync::mpsc};
use ws_client::{CloseCode, DeflateConfig, Message};
use ws_hyper::{Config, Upgrader};

use crate::{
    axum::AxumServer,
    http2_client::expect_echo,
    tls_server::{Seen, TlsServer, app, connect_http2, connector},
};

const OVER_HTTP_1_1: Seen = Seen { is_http2: false, is_tcp: true };
const OVER_HTTP_2: Seen = Seen { is_http2: true, is_tcp: false };

/// With TLS in front, the same-host policy accepts `https` pages only.
fn upgrader() -> Upgrader {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::server());
    Upgrader::new(config.validate().unwrap()).over_tls(true)
}

/// Opens the chat in two tabs of Chromium. Both WebSockets must use HTTP/2.
async fn chat(chromium: &e2e_tests::peers::Installed, page: &str, files: &CertificateFiles) {
    chromium.client(page, &["--http2", "--deflate", "--ca", &files.path("cert")]).expect_ok().await;
}

#[test]
fn chromium_uses_http_2_for_its_websockets() {
    harness::run(async {
        let Some(chromium) = Peer::Chromium.find() else { return };
        let upgrader = upgrader();
        let mut server = TlsServer::start(upgrader.clone()).await;
        chat(&chromium, &server.url("https"), &server.files).await;
        for _ in 0..2 {
            assert_eq!(server.seen.recv().await, Some(OVER_HTTP_2));
        }
        upgrader.shutdown(Duration::from_secs(3600)).await;
    });
}

/// Waits until a program listens on the port.
async fn listens(port: u16) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "no program listens on port {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const PAGE: &str = include_str!("../../../../docs/axum.md");

/// HAProxy with TLS and HTTP/2 in front of a server, as docs/axum.md configures it. `server` is what the line of the
/// server has at its end.
async fn haproxy(files: &CertificateFiles, upstream: SocketAddr, server: &str) -> Option<(Child, u16)> {
    let port = e2e_tests::free_port();
    let pem = files.folder().join("app.pem");
    std::fs::write(&pem, [files.read("cert"), files.read("key")].concat()).unwrap();
    let (_, rest) = PAGE.split_once("```haproxy\n").expect("a configuration");
    let mut config = rest.split_once("```").expect("its end").0.to_owned();
    for (from, to) in [
        ("bind :443", format!("bind 127.0.0.1:{port}")),
        ("/etc/haproxy/app.pem", pem.display().to_string()),
        ("127.0.0.1:3000 proto h2", format!("{upstream} {server}")),
    ] {
        assert_eq!(config.matches(from).count(), 1, "{from}");
        config = config.replace(from, &to);
    }
    let path = files.folder().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let child = program("haproxy", &["-db", "-f", path.to_str().unwrap()])?;
    listens(port).await;
    Some((child, port))
}

/// Clients of both versions, and Chromium, through HAProxy to a server that HAProxy reaches with one version.
async fn works_behind_haproxy(line: &str, expected: Seen) {
    let files = CertificateFiles::new();
    let (app, mut seen): (Router, mpsc::UnboundedReceiver<Seen>) = app(upgrader());
    let server = AxumServer::start(app).await;
    let Some((proxy, port)) = haproxy(&files, server.addr, line).await else { return };

    let connector = connector(&files)
        .deflate(Some(DeflateConfig::client()))
        .header(http::header::ORIGIN, format!("https://localhost:{port}"));
    let mut ws = connector.connect(&format!("wss://localhost:{port}/ws")).await.unwrap();
    assert_eq!(seen.recv().await, Some(expected));
    assert!(ws.deflate_params().is_some());
    for message in [Message::from("hello"), Message::from("hello ".repeat(100_000))] {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(ws.recv().await, Some(message));
    }
    assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());

    let mut client = connect_http2(&files, port).await;
    let (mut one, mut other) = (client.open().await, client.open().await);
    for _ in 0..2 {
        assert_eq!(seen.recv().await, Some(expected));
    }
    expect_echo(&mut one, "hello").await;
    expect_echo(&mut other, vec![7_u8; 1 << 20]).await;
    assert!(one.close(CloseCode::NORMAL, "").await.is_clean());
    expect_echo(&mut other, "still there").await;
    assert!(other.close(CloseCode::NORMAL, "").await.is_clean());

    if let Some(chromium) = Peer::Chromium.find() {
        chat(&chromium, &format!("https://localhost:{port}/"), &files).await;
        for _ in 0..2 {
            assert_eq!(seen.recv().await, Some(expected));
        }
    }
    drop(proxy);
}

#[test]
fn haproxy_passes_http_2_on_as_http_2() {
    harness::run(works_behind_haproxy("proto h2", OVER_HTTP_2));
}

#[test]
fn haproxy_passes_http_2_on_as_http_1_1() {
    harness::run(works_behind_haproxy("", OVER_HTTP_1_1));
}
