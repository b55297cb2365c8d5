//! A server behind nginx and HAProxy with TLS, and a client through other implementations of proxies.

use std::{net::SocketAddr, path::Path, time::Duration};

use e2e_tests::{
    certificates::CertificateFiles,
    free_port, harness,
    peers::{Child, Peer, program},
    raw_peer::DEADLINE,
    server::{Api, ObservedServer, start_echo, start_sharded_echo},
};
use tokio::sync::watch;
use ws_client::{
    CloseCode, Connector, DeflateConfig, Proxy, ProxyUrl,
    error::{ConnectError, ProxyError},
};
use ws_server::{
    Rejection, Request, Server, Tls,
    proxy::{Forwarded, Networks, ProxyProtocol},
};

use crate::{guide, our_client::converse};

/// An error and its causes, as a program prints them.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Waits until a program listens on the port.
async fn listens(port: u16) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    while tokio::net::TcpStream::connect(addr).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "no program listens on port {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// nginx with TLS in front of a server, as the guide configures it.
async fn nginx(files: &CertificateFiles, upstream: SocketAddr) -> Option<(Child, u16)> {
    let (port, folder) = (free_port(), files.folder().display().to_string());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let server = guide::configuration(
        "nginx",
        &[
            ("listen 443", &format!("listen 127.0.0.1:{port}")),
            ("/etc/ssl/app/cert.pem", &files.path("cert")),
            ("/etc/ssl/app/key.pem", &files.path("key")),
            ("127.0.0.1:9001", &upstream.to_string()),
        ],
    );
    let config = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n\
        events {{}}\n\
        http {{\n  access_log off;\n{temporary}{server}}}\n"
    );
    let path = files.folder().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let child = program("nginx", &["-c", text(&path), "-p", &folder, "-e", "stderr"])?;
    listens(port).await;
    Some((child, port))
}

/// HAProxy with TLS in front of a server, as the guide configures it.
async fn haproxy(files: &CertificateFiles, upstream: SocketAddr) -> Option<(Child, u16)> {
    let port = free_port();
    let pem = files.folder().join("app.pem");
    std::fs::write(&pem, [files.read("cert"), files.read("key")].concat()).unwrap();
    let config = guide::configuration(
        "haproxy",
        &[
            ("bind :443", &format!("bind 127.0.0.1:{port}")),
            ("/etc/haproxy/app.pem", text(&pem)),
            ("127.0.0.1:9001", &upstream.to_string()),
        ],
    );
    let path = files.folder().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let child = program("haproxy", &["-db", "-f", text(&path)])?;
    listens(port).await;
    Some((child, port))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn compressing() -> ws_server::ServerBuilder {
    Server::builder().deflate(Some(DeflateConfig::server()))
}

async fn closed_with_bye(server: &mut ObservedServer) {
    let info = server.closed().await;
    assert!(info.is_clean(), "{info:?}");
    assert_eq!((info.code(), info.reason()), (1000, "bye"));
}

/// Refuses a request unless the proxy has replaced the client's `X-Forwarded-For` with the address, and the server has
/// read it.
fn forwarded(request: &mut Request) -> Result<(), Rejection> {
    let lines = request.headers().get_all("x-forwarded-for").iter().count();
    let is_right = lines == 1
        && request.header("x-forwarded-for") == Some("127.0.0.1")
        && request.peer_addr() == Some(SocketAddr::from(([127, 0, 0, 1], 0)))
        && request.proxy_addr().is_some_and(|proxy| proxy.port() != 0);
    if is_right { Ok(()) } else { Err(Rejection::default()) }
}

/// Talks to servers through a proxy with TLS. The proxy passes on the host, which the origin policy checks.
/// `has_health_checks`: the proxy requests `/health` by itself.
async fn works_behind(
    proxy: impl AsyncFn(&CertificateFiles, SocketAddr) -> Option<(Child, u16)>,
    has_health_checks: bool,
) {
    for api in Api::ALL {
        let files = CertificateFiles::new();
        let (checked, mut check) = watch::channel(!has_health_checks);
        let trusted = Forwarded::x_forwarded_for(Networks::loopback());
        let builder = compressing().forwarded(trusted).on_request(forwarded).http(move |request| {
            if request.path() == "/health" {
                checked.send_replace(true);
            }
            http::Response::new("ok\n".into())
        });
        let mut server = start_sharded_echo(api, builder, 1).await;
        let Some((proxy, port)) = proxy(&files, server.addr()).await else {
            server.stop().await;
            return;
        };
        let url = format!("wss://localhost:{port}/path?a=b");
        let tls = ws_client::Tls::builder().authority(files.authority().pem()).build().unwrap();
        let connector = Connector::new()
            .tls(tls)
            .deflate(Some(DeflateConfig::client()))
            .header(http::header::ORIGIN, format!("https://localhost:{port}"))
            .header("x-forwarded-for", "192.0.2.1");
        let mut ws = connector.connect(&url).await.unwrap();
        assert!(ws.deflate_params().is_some());
        converse(&mut ws).await;
        assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());
        closed_with_bye(&mut server).await;
        for peer in Peer::ECHO {
            let Some(peer) = peer.find() else { continue };
            peer.client(&url, &["--deflate", "--ca", &files.path("ca")]).expect_ok().await;
            closed_with_bye(&mut server).await;
        }
        check.wait_for(|checked| *checked).await.unwrap();
        drop(proxy);
        server.stop().await;
    }
}

#[test]
fn our_server_works_behind_nginx_as_the_guide_configures_it() {
    harness::run(works_behind(nginx, false));
}

#[test]
fn our_server_works_behind_haproxy_as_the_guide_configures_it() {
    harness::run(works_behind(haproxy, true));
}

/// HAProxy, which passes the bytes of TCP connections on, with a header of the PROXY protocol in front.
async fn haproxy_on_tcp(files: &CertificateFiles, upstream: SocketAddr, send: &str) -> Option<(Child, u16)> {
    let port = free_port();
    let config = format!(
        "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
        frontend in\n    bind 127.0.0.1:{port}\n    default_backend out\n\
        backend out\n    server one {upstream} {send}\n"
    );
    let path = files.folder().join("tcp.cfg");
    std::fs::write(&path, config).unwrap();
    let child = program("haproxy", &["-db", "-f", text(&path)])?;
    listens(port).await;
    Some((child, port))
}

#[test]
fn our_server_knows_the_clients_of_haproxy() {
    harness::run(async {
        for (send, with_tls) in [
            ("send-proxy", false),
            ("send-proxy", true),
            ("send-proxy-v2", false),
            ("send-proxy-v2", true),
            ("send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 20", false),
        ] {
            let files = CertificateFiles::new();
            let (seen, mut clients) = tokio::sync::mpsc::unbounded_channel();
            let mut builder = Server::builder()
                .proxy_protocol(ProxyProtocol::from_proxies(Networks::loopback()))
                .on_request(move |request| {
                    let _ = seen.send((request.peer_addr().unwrap(), request.proxy_addr().unwrap()));
                    Ok(())
                });
            if with_tls {
                builder = builder.tls(Tls::from_pem(files.read("cert"), files.read("key")).unwrap());
            }
            let mut server = start_sharded_echo(Api::Handler, builder, 1).await;
            let Some((proxy, port)) = haproxy_on_tcp(&files, server.addr(), send).await else {
                server.stop().await;
                return;
            };
            let tls = ws_client::Tls::builder().authority(files.authority().pem()).build().unwrap();
            let scheme = if with_tls { "wss" } else { "ws" };
            let url = format!("{scheme}://localhost:{port}/");
            let mut ws = Connector::new().tls(tls).connect(&url).await.unwrap();
            let own = ws.with_io(|io| io.local_addr()).unwrap().unwrap();
            let (client, through) = clients.recv().await.unwrap();
            assert_eq!(client, own, "{send}");
            assert!(through.ip().is_loopback() && through != own, "{send}: {through}");
            ws.send("hello").await.unwrap();
            assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"));
            assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());
            closed_with_bye(&mut server).await;
            drop(proxy);
            server.stop().await;
        }
    });
}

/// HAProxy, which appends to `Forwarded` what it knows of the client.
async fn haproxy_with_forwarded(files: &CertificateFiles, upstream: SocketAddr) -> Option<(Child, u16)> {
    let port = free_port();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
        frontend in\n    bind 127.0.0.1:{port}\n    default_backend out\n\
        backend out\n    http-request add-header Forwarded 'for=\"%[src]:%[src_port]\";proto=http'\n    server one {upstream} source 127.0.0.2\n"
    );
    let path = files.folder().join("forwarded.cfg");
    std::fs::write(&path, config).unwrap();
    let child = program("haproxy", &["-db", "-f", text(&path)])?;
    listens(port).await;
    Some((child, port))
}

#[test]
fn our_server_reads_the_forwarded_header_of_haproxy() {
    harness::run(async {
        let files = CertificateFiles::new();
        let (seen, mut clients) = tokio::sync::mpsc::unbounded_channel();
        let builder = Server::builder()
            .forwarded(Forwarded::rfc_7239("127.0.0.2".parse::<Networks>().unwrap()))
            .on_request(move |request| {
                let _ =
                    seen.send((request.peer_addr().unwrap(), request.header("forwarded").map(str::to_owned)));
                Ok(())
            });
        let server = start_echo(Api::Async, builder).await;
        let Some((proxy, port)) = haproxy_with_forwarded(&files, server.addr()).await else {
            server.stop().await;
            return;
        };
        // What the client claims about itself comes first.
        for claim in ["for=192.0.2.1", "for=\"", "nonsense"] {
            let connector = Connector::new().header("forwarded", claim);
            let mut ws = connector.connect(&format!("ws://127.0.0.1:{port}/")).await.unwrap();
            let own = ws.with_io(|io| io.local_addr()).unwrap().unwrap();
            let (client, header) = clients.recv().await.unwrap();
            assert_eq!(client, own, "{header:?}");
            assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        }
        drop(proxy);
        server.stop().await;
    });
}

#[test]
fn our_client_goes_through_tinyproxy() {
    harness::run(async {
        let files = CertificateFiles::new();
        let port = free_port();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth me secret\nLogLevel Critical\n"
        );
        let path = files.folder().join("tinyproxy.conf");
        std::fs::write(&path, config).unwrap();
        let Some(proxy) = program("tinyproxy", &["-d", "-c", text(&path)]) else { return };
        listens(port).await;
        through(&files, &format!("http://me:secret@127.0.0.1:{port}")).await;
        let wrong = ProxyUrl::parse(&format!("http://me:wrong@127.0.0.1:{port}")).unwrap();
        let connector = Connector::new().proxy(Proxy::Through(wrong));
        match connector.connect("ws://127.0.0.1:9/").await {
            Err(ConnectError::Proxy { source: ProxyError::Refused(status), .. }) => {
                assert!(status.is_client_error(), "{status}");
            }
            other => panic!("{other:?}"),
        }
        drop(proxy);
    });
}

#[test]
fn our_client_goes_through_microsocks() {
    harness::run(async {
        let port = free_port();
        let args = ["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "me", "-P", "secret"];
        let Some(proxy) = program("microsocks", &args) else { return };
        listens(port).await;
        let files = CertificateFiles::new();
        for scheme in ["socks5", "socks5h"] {
            through(&files, &format!("{scheme}://me:secret@127.0.0.1:{port}")).await;
        }
        for (url, expected) in [
            (format!("socks5h://me:wrong@127.0.0.1:{port}"), "did not accept the credentials"),
            (
                format!("socks5h://me:secret@127.0.0.1:{port}"),
                "refused the tunnel with reply 5: connection refused",
            ),
        ] {
            let connector = Connector::new().proxy(Proxy::Through(ProxyUrl::parse(&url).unwrap()));
            let target = format!("ws://127.0.0.1:{}/", free_port());
            let error = with_causes(&connector.connect(&target).await.unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        drop(proxy);
    });
}

/// Connects through the proxy with `ws` and with `wss`, and checks an echo.
async fn through(files: &CertificateFiles, proxy: &str) {
    let proxy = Proxy::Through(ProxyUrl::parse(proxy).unwrap());
    let mut server = start_echo(Api::Async, compressing()).await;
    let connector = Connector::new().proxy(proxy).deflate(Some(DeflateConfig::client()));
    let mut ws = connector.connect(&format!("ws://localhost:{}/", server.addr().port())).await.unwrap();
    converse(&mut ws).await;
    assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());
    closed_with_bye(&mut server).await;
    server.stop().await;

    let tls = Tls::from_pem(files.read("cert"), files.read("key")).unwrap();
    let mut server = start_echo(Api::Handler, compressing().tls(tls)).await;
    let tls = ws_client::Tls::builder().authority(files.authority().pem()).build().unwrap();
    let connector = connector.tls(tls);
    let mut ws = connector.connect(&format!("wss://localhost:{}/", server.addr().port())).await.unwrap();
    converse(&mut ws).await;
    assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());
    closed_with_bye(&mut server).await;
    server.stop().await;
}
