//! HTTP/2 connections to the server of a URL: ALPN, prior knowledge, proxies. `ws-hyper` and `ws-client/tests/http2`
//! have the tests of the WebSockets on them.

use std::sync::Arc;

use e2e_tests::certificates::{Authority, Identity};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use ws_client::{
    Connector, Message, Tls,
    error::ConnectError,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    tls::Roots,
};

use crate::{
    proxies::{listen, through},
    support::{run, with_short_handshake},
};

fn acceptor(identity: &Identity, alpn: &[&str]) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn alpn<S>(stream: &TlsStream<S>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

fn trusting(authority: &Authority) -> Tls {
    Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap()
}

/// Offers extended CONNECT, accepts one request, sends the message `hi`, and waits until the client leaves.
async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1];
    const STATUS_200: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
    const HI: &[u8] = &[0, 0, 4, 0, 0, 0, 0, 0, 1, 0x81, 2, b'h', b'i'];
    io.write_all(SETTINGS).await.unwrap();
    io.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut head = [0; 9];
        if io.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        tokio::io::copy(&mut (&mut io).take(length), &mut tokio::io::sink()).await.unwrap();
        if head[3] == 1 {
            io.write_all(&[STATUS_200, HI].concat()).await.unwrap();
        }
    }
}

async fn expect_hi(connector: &Connector, url: &str) {
    let http2 = connector.http2(url).await.unwrap();
    assert!(http2.offers_websockets());
    let mut ws = connector.connect_http2(url, &http2).await.unwrap().ws;
    assert_eq!(ws.recv().await, Some(Message::from("hi")));
}

#[test]
fn by_tls_the_client_offers_h2_alone() {
    run(async {
        let authority = Authority::new();
        let acceptor = acceptor(&authority.issue(&["localhost"]), &["http/1.1", "h2"]);
        let (listener, addr) = listen().await;
        let connector = Connector::new().tls(trusting(&authority));
        let serving = async {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            assert_eq!(alpn(&stream), Some(&b"h2"[..]));
            serve(stream).await;
        };
        let url = format!("wss://localhost:{}/", addr.port());
        tokio::join!(expect_hi(&connector, &url), serving);
    });
}

#[test]
fn a_server_that_does_not_choose_h2_is_an_error() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let connector = Connector::new().tls(trusting(&authority));
        // Without ALPN, and with another protocol only, which ends the TLS handshake.
        for protocols in [&[][..], &["http/1.1"]] {
            let acceptor = acceptor(&identity, protocols);
            let (listener, addr) = listen().await;
            let serving = async {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut received = Vec::new();
                    let _ = stream.read_to_end(&mut received).await;
                    assert!(received.is_empty(), "nothing of HTTP/2 is sent");
                }
            };
            let connecting = async { connector.http2(format!("wss://localhost:{}/", addr.port())).await };
            let (result, ()) = tokio::join!(connecting, serving);
            match result.unwrap_err() {
                ConnectError::Http2NotNegotiated if protocols.is_empty() => {}
                ConnectError::TlsHandshake { .. } if !protocols.is_empty() => {}
                error => panic!("{protocols:?}: {error}"),
            }
        }
    });
}

#[test]
fn without_tls_http_2_is_spoken_at_once() {
    run(async {
        let (listener, addr) = listen().await;
        let connector = Connector::new();
        let serving = async { serve(listener.accept().await.unwrap().0).await };
        let url = format!("ws://{addr}/");
        tokio::join!(expect_hi(&connector, &url), serving);
    });
}

#[test]
fn through_a_proxy_with_tls_only_the_server_is_offered_h2() {
    run(async {
        let authority = Authority::new();
        let to_proxy = acceptor(&authority.issue(&["localhost"]), &["h2", "http/1.1"]);
        let to_server = acceptor(&authority.issue(&["far.example"]), &["h2"]);
        let (proxy, proxy_addr) = listen().await;
        let (server, server_addr) = listen().await;
        let connector =
            through(&format!("https://localhost:{}", proxy_addr.port())).tls(trusting(&authority));
        let proxying = async {
            let mut stream = to_proxy.accept(proxy.accept().await.unwrap().0).await.unwrap();
            assert_eq!(alpn(&stream), Some(&b"http/1.1"[..]));
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let mut tunnel = TcpStream::connect(server_addr).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut tunnel).await;
        };
        let serving = async {
            serve(to_server.accept(server.accept().await.unwrap().0).await.unwrap()).await;
        };
        tokio::join!(expect_hi(&connector, "wss://far.example/"), proxying, serving);
    });
}

#[test]
fn one_timeout_covers_dialling_and_the_settings() {
    run(async {
        let (listener, addr) = listen().await;
        let connector = with_short_handshake();
        let silent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let connecting = async { connector.http2(format!("ws://{addr}/")).await };
        let (result, ()) = tokio::join!(connecting, silent);
        assert!(matches!(result, Err(ConnectError::TimedOut(_))), "{result:?}");
    });
}
