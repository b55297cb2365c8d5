//! TLS on a server's listener.

use std::{sync::Arc, time::Duration};

use e2e_tests::{
    certificates::{Authority, Identity},
    harness::run,
    raw_peer::{DEADLINE, RawClient},
    server::{Api, ServerRunner, start_echo},
};
use http::{HeaderValue, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use ws_client::{CloseCode, Connector, error::ConnectError, tls::Roots};
use ws_server::{Acceptor, Server, Tls, error::TlsError, rustls, tls::TlsStream};

fn tls(identity: &Identity) -> Tls {
    Tls::from_pem(&identity.chain, &identity.key).unwrap()
}

fn trusting(authority: &Authority) -> Connector {
    let tls = ws_client::Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
    Connector::new().tls(tls)
}

fn url(server: &ServerRunner) -> String {
    format!("wss://localhost:{}/", server.addr().port())
}

#[test]
fn both_styles_speak_tls() {
    run(async {
        let authority = Authority::new();
        let tls = tls(&authority.issue(&["localhost"]));
        for api in [Api::Handler, Api::Async] {
            let server = start_echo(api, Server::builder().tls(tls.clone())).await;
            let url = format!("wss://localhost:{}/", server.addr().port());
            let mut ws = trusting(&authority).connect(&url).await.unwrap();
            for size in [0, 1, 20_000, 70_000, 3_000_000] {
                let message = "x".repeat(size);
                ws.send(message.as_str()).await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some(message.as_str()));
            }
            assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
            server.stop().await;
        }
    });
}

#[test]
fn the_application_sees_what_tls_knows() {
    run(async {
        let authority = Authority::new();
        let builder = Server::builder().tls(tls(&authority.issue(&["localhost"])));
        let server = ServerRunner::serve(builder, |mut ws| async move {
            let seen = ws.with_io(|io| {
                let tls = io.tls().unwrap();
                let alpn = String::from_utf8_lossy(tls.alpn_protocol().unwrap_or_default()).into_owned();
                format!("{} {alpn} {}", tls.server_name().unwrap_or_default(), io.nodelay().unwrap())
            });
            ws.send(seen.unwrap()).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let mut ws = trusting(&authority).connect(&url(&server)).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some("localhost http/1.1 true"));
        ws.close(CloseCode::NORMAL, "").await;
        server.stop().await;
    });
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    run(async {
        let (old, new) = (Authority::new(), Authority::new());
        let tls = tls(&old.issue(&["localhost"]));
        let server = ServerRunner::serve(Server::builder().tls(tls.clone()), |mut ws| async move {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
        })
        .await;
        let mut before = trusting(&old).connect(&url(&server)).await.unwrap();
        let identity = new.issue(&["localhost"]);
        assert!(matches!(tls.reload(&identity.chain, "no key"), Err(TlsError::Pem { .. })));
        drop(trusting(&old).connect(&url(&server)).await.unwrap());
        tls.reload(&identity.chain, &identity.key).unwrap();
        assert!(matches!(
            trusting(&old).connect(&url(&server)).await,
            Err(ConnectError::TlsHandshake { .. })
        ));
        drop(trusting(&new).connect(&url(&server)).await.unwrap());
        before.send("still here").await.unwrap();
        assert!(before.recv().await.is_some());
        before.close(CloseCode::NORMAL, "").await;
        server.stop().await;
    });
}

#[test]
fn a_client_without_tls_is_no_trouble() {
    run(async {
        let authority = Authority::new();
        let server =
            start_echo(Api::Async, Server::builder().tls(tls(&authority.issue(&["localhost"])))).await;
        let mut client = RawClient::connect(server.addr()).await.into_connection();
        client.writer.try_send_bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        drop(client);
        let mut ws = trusting(&authority)
            .connect(&format!("wss://localhost:{}/", server.addr().port()))
            .await
            .unwrap();
        ws.send("hello").await.unwrap();
        assert!(ws.recv().await.is_some());
        ws.close(CloseCode::NORMAL, "").await;
        server.stop().await;
    });
}

#[test]
fn a_page_without_tls_may_not_connect_to_a_server_with_it() {
    run(async {
        let authority = Authority::new();
        let server =
            start_echo(Api::Async, Server::builder().tls(tls(&authority.issue(&["localhost"])))).await;
        let from = |origin: &str| {
            let origin = HeaderValue::from_str(&format!("{origin}:{}", server.addr().port())).unwrap();
            trusting(&authority).header(header::ORIGIN, origin)
        };
        let url = url(&server);
        let refused = from("http://localhost").connect(&url).await.expect_err("another origin");
        assert!(matches!(&refused, ConnectError::Refused(refusal) if refusal.status() == 403), "{refused}");
        let mut ws = from("https://localhost").connect(&url).await.unwrap();
        ws.close(CloseCode::NORMAL, "").await;
        server.stop().await;
    });
}

#[test]
fn a_tls_handshake_has_a_deadline() {
    run(async {
        let authority = Authority::new();
        let builder = Server::builder()
            .tls(tls(&authority.issue(&["localhost"])))
            .handshake_timeout(Duration::from_millis(100));
        let server = ServerRunner::serve(builder, |_| async {}).await;
        let mut silent = TcpStream::connect(server.addr()).await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(DEADLINE, silent.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
        // The same in the middle of the handshake.
        let mut half = TcpStream::connect(server.addr()).await.unwrap();
        half.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        let _ = tokio::time::timeout(DEADLINE, half.read_to_end(&mut rest)).await.unwrap();
        server.wait_for_handshakes(0).await;
        server.stop().await;
    });
}

#[test]
fn client_certificates_can_be_asked_for() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(authority.pem()) {
            roots.add(certificate).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .build()
        .unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&identity.chain), key(&identity))
            .unwrap();
        let builder = Server::builder().tls(Tls::from_config(Arc::new(config)));
        let server = ServerRunner::serve(builder, |mut ws| async move {
            let count =
                ws.with_io(|io| io.tls().and_then(|tls| tls.peer_certificates()).map_or(0, <[_]>::len));
            ws.send(count.unwrap().to_string()).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let me = authority.issue(&["me"]);
        let known = ws_client::Tls::builder()
            .roots(Roots::None)
            .authority(authority.pem())
            .identity(me.chain, me.key)
            .build()
            .unwrap();
        let mut ws = Connector::new().tls(known).connect(&url(&server)).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some("1"));
        ws.close(CloseCode::NORMAL, "").await;
        assert!(trusting(&authority).connect(&url(&server)).await.is_err());
        server.stop().await;
    });
}

fn certificates(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

fn key(identity: &Identity) -> rustls::pki_types::PrivateKeyDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap()
}

#[test]
fn an_acceptor_works_over_tls_on_a_stream_of_the_application() {
    run(async {
        let authority = Authority::new();
        let tls = tls(&authority.issue(&["localhost"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
        let serve = async {
            let (tcp, addr) = listener.accept().await.unwrap();
            let stream: TlsStream<TcpStream> = tls.accept(tcp).await.unwrap();
            assert_eq!(stream.io().peer_addr().unwrap(), addr);
            assert_eq!(stream.tls().server_name(), Some("localhost"));
            let mut ws = Acceptor::new().over_tls(true).accept(stream).await.unwrap();
            while let Some(message) = ws.recv().await {
                ws.send(message).await.unwrap();
            }
        };
        let dial = async {
            let mut ws = trusting(&authority).connect(&url).await.unwrap();
            for size in [0, 1, 70_000, 3_000_000] {
                let message = "x".repeat(size);
                ws.send(message.as_str()).await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some(message.as_str()));
            }
            assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        };
        tokio::join!(serve, dial);
    });
}

#[test]
fn the_debug_output_of_tls_has_no_settings() {
    let tls = tls(&Authority::new().issue(&["localhost"]));
    assert_eq!(format!("{tls:?}"), "Tls { .. }");
}
