//! Tunnels through proxies with TLS to the proxy.

use std::{net::SocketAddr, sync::Arc};

use e2e_tests::certificates::{Authority, Identity};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use ws_client::{
    CloseCode, Roots, Tls,
    error::ConnectError,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use ws_server::Server;

use crate::{
    proxies::{echo_server, echo_server_with, listen, through},
    support::run,
};

/// An HTTP proxy with TLS for one connection. Returns the request that it received.
async fn https_proxy(listener: TcpListener, identity: &Identity, to: SocketAddr) -> String {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let mut server = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut server).await;
    String::from_utf8(head).unwrap()
}

#[test]
fn a_proxy_may_be_reached_by_tls_and_tls_goes_through_it() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["far.example"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let (plain, secure) = (echo_server().await, echo_server_with(Server::builder().tls(tls)).await);
        let identity = authority.issue(&["localhost"]);
        let trusted = Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
        for (scheme, server) in [("ws", &plain), ("wss", &secure)] {
            let (listener, proxy) = listen().await;
            let connector = through(&format!("https://me:pass@localhost:{}", proxy.port()));
            let connector = match scheme {
                "ws" => connector.proxy_tls(trusted.clone()),
                _ => connector.tls(trusted.clone()),
            };
            let url = format!("{scheme}://far.example:8080/");
            let hello = async {
                let mut ws = connector.connect(&url).await.unwrap();
                let layers = ws.with_io(|io| (io.tls().is_some(), io.proxy_tls().is_some()));
                assert_eq!(layers, Some((scheme == "wss", true)));
                ws.send("hello").await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"));
                ws.close(CloseCode::NORMAL, "").await;
            };
            let (head, ()) = tokio::join!(https_proxy(listener, &identity, server.addr()), hello);
            assert!(head.starts_with("CONNECT far.example:8080 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{head}");
        }
        plain.stop().await;
        secure.stop().await;
    });
}

#[test]
fn a_proxy_with_a_certificate_that_is_not_trusted_gets_no_credentials() {
    run(async {
        let identity = Authority::new().issue(&["localhost"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let proxy = echo_server_with(Server::builder().tls(tls)).await;
        let url = format!("https://me:secret@localhost:{}", proxy.addr().port());
        match through(&url).connect("ws://far.example/").await {
            Err(ConnectError::TlsHandshake { host, source, .. }) => {
                assert_eq!(host, "localhost");
                assert!(source.to_string().contains("UnknownIssuer"), "{source}");
            }
            other => panic!("{other:?}"),
        }
        proxy.stop().await;
    });
}
