//! Tunnels through proxies.

use std::net::SocketAddr;

use e2e_tests::{raw_peer::RawAcceptor, server::ServerRunner};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use ws_client::{
    CloseCode, Connector, Proxy, ProxyUrl,
    error::{ConnectError, ProxyError},
};
use ws_server::{Server, ServerBuilder};

use crate::support::{run, with_causes};

pub(crate) async fn echo_server() -> ServerRunner {
    echo_server_with(Server::builder()).await
}

pub(crate) async fn echo_server_with(builder: ServerBuilder) -> ServerRunner {
    ServerRunner::serve(builder, |mut ws| async move {
        while let Some(message) = ws.recv().await {
            let _ = ws.send(message).await;
        }
    })
    .await
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

pub(crate) fn through(url: &str) -> Connector {
    Connector::new().proxy(Proxy::Through(ProxyUrl::parse(url).unwrap()))
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn bytes<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// An HTTP proxy for one connection. Returns the request that it received.
async fn http_proxy(listener: TcpListener, answer: &str, to: Option<SocketAddr>) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = head_of(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    if let Some(to) = to {
        let mut server = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
    head
}

pub(crate) async fn says_hello(connector: &Connector, url: &str) {
    let mut ws = connector.connect(url).await.unwrap();
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"));
    assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
}

#[test]
fn an_http_proxy_opens_a_tunnel() {
    run(async {
        let server = echo_server().await;
        let (listener, proxy) = listen().await;
        let connector = through(&format!("http://me:pa%20ss@{proxy}"));
        let answer = "HTTP/1.1 103 Wait\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
        let (head, ()) = tokio::join!(
            http_proxy(listener, answer, Some(server.addr())),
            says_hello(&connector, "ws://far.example:8080/path"),
        );
        let expected = "CONNECT far.example:8080 HTTP/1.1\r\nHost: far.example:8080\r\n\
            Proxy-Authorization: Basic bWU6cGEgc3M=\r\n\r\n";
        assert_eq!(head, expected, "the name goes to the proxy as it is");
        server.stop().await;
    });
}

#[test]
fn an_http_proxy_may_refuse() {
    run(async {
        for (answer, status) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", 407),
            ("HTTP/1.0 502 Bad Gateway\r\nContent-Length: 5\r\n\r\noops!", 502),
        ] {
            let (listener, proxy) = listen().await;
            let connector = through(&format!("http://user:secret@{proxy}"));
            let (_, result) =
                tokio::join!(http_proxy(listener, answer, None), connector.connect("ws://[2001:db8::1]:9/"),);
            let error = result.unwrap_err();
            assert!(!with_causes(&error).contains("secret"), "{error}");
            match error {
                ConnectError::Proxy { proxy: named, source: ProxyError::Refused(told), .. } => {
                    assert_eq!((named, told.as_u16()), (format!("http://{proxy}"), status));
                }
                error => panic!("{error}"),
            }
        }
    });
}

#[test]
fn a_malformed_response_of_a_proxy_is_an_error() {
    run(async {
        let cases = [
            ("SSH-2.0-OpenSSH\r\n\r\n", "the response of the proxy is invalid: malformed HTTP response"),
            ("HTTP/1.1 200 OK\r\n\r\nsmuggled", "sent data before the tunnel"),
        ];
        for (answer, expected) in cases {
            let (listener, proxy) = listen().await;
            let connector = through(&proxy.to_string());
            let (_, result) =
                tokio::join!(http_proxy(listener, answer, None), connector.connect("ws://far.example/"));
            let error = with_causes(&result.unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn a_socks_proxy_opens_a_tunnel() {
    run(async {
        let server = echo_server().await;
        let local = move |_, _| async { Ok(vec!["192.0.2.7:99".parse().unwrap()]) };
        let cases: [(&str, &[u8]); 2] = [
            (
                "socks5h",
                &[3, 11, b'f', b'a', b'r', b'.', b'e', b'x', b'a', b'm', b'p', b'l', b'e', 0x1f, 0x90],
            ),
            ("socks5", &[1, 192, 0, 2, 7, 0, 99]),
        ];
        for (scheme, expected) in cases {
            let (listener, proxy) = listen().await;
            // The resolver would also be asked for the proxy's host name, but this is an address.
            let connector = through(&format!("{scheme}://me:pass@{proxy}"));
            let connector = if scheme == "socks5" {
                connector.resolver(move |host, port| async move {
                    match host.parse() {
                        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
                        Err(_) => local(host, port).await,
                    }
                })
            } else {
                connector
            };
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_eq!(bytes(&mut stream).await, [5, 2, 0, 2]);
                stream.write_all(&[5, 2]).await.unwrap();
                assert_eq!(bytes(&mut stream).await, *b"\x01\x02me\x04pass");
                stream.write_all(&[1, 0]).await.unwrap();
                assert_eq!(bytes(&mut stream).await, [5, 1, 0]);
                let mut asked = vec![0; expected.len()];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, expected);
                stream.write_all(&[5, 0, 0, 3, 1, b'x', 0, 0]).await.unwrap();
                let mut to = TcpStream::connect(server.addr()).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            };
            tokio::join!(serving, says_hello(&connector, "ws://far.example:8080/"));
        }
        server.stop().await;
    });
}

#[test]
fn a_socks_proxy_may_refuse() {
    run(async {
        // The proxy's answers, each sent after a read from the client.
        let cases: [(&[&[u8]], &str); 4] = [
            (&[&[5, 0xff]], "did not accept the credentials"),
            (&[&[4, 0]], "not SOCKS5"),
            (&[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]], "refused the tunnel: connection refused"),
            (&[&[5, 2]], "did not accept the credentials"),
        ];
        for (answers, expected) in cases {
            let (listener, proxy) = listen().await;
            let connector = through(&format!("socks5h://{proxy}"));
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in answers {
                    let _ = stream.read(&mut [0; 512]).await.unwrap();
                    stream.write_all(answer).await.unwrap();
                }
                // Waits until the client has read it.
                let _ = stream.read(&mut [0; 16]).await;
            };
            let (result, ()) = tokio::join!(connector.connect("ws://far.example/"), serving);
            let error = with_causes(&result.unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn a_socks4_proxy_opens_a_tunnel() {
    run(async {
        let server = echo_server().await;
        let to = server.addr();
        let cases: [(&str, &str, &[u8]); 3] = [
            ("socks4", "far.example", b"\x04\x01\x1f\x90\xc0\x00\x02\x07me\0"),
            ("socks4a", "far.example", b"\x04\x01\x1f\x90\x00\x00\x00\x01me\0far.example\0"),
            ("socks4a", "192.0.2.9", b"\x04\x01\x1f\x90\xc0\x00\x02\x09me\0"),
        ];
        for (scheme, host, expected) in cases {
            let (listener, proxy) = listen().await;
            let connector =
                through(&format!("{scheme}://me@{proxy}")).resolver(|host: String, port| async move {
                    match host.parse() {
                        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
                        // SOCKS4 has no form for the first one.
                        Err(_) => Ok(vec![
                            SocketAddr::new("2001:db8::1".parse().unwrap(), port),
                            SocketAddr::new("192.0.2.7".parse().unwrap(), port),
                        ]),
                    }
                });
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; expected.len()];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, expected);
                stream.write_all(&[0, 90, 1, 2, 3, 4, 5, 6]).await.unwrap();
                let mut to = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            };
            let url = format!("ws://{host}:8080/");
            tokio::join!(serving, says_hello(&connector, &url));
        }
        server.stop().await;
    });
}

#[test]
fn a_socks4_proxy_may_refuse() {
    run(async {
        let cases: [(&str, &str, &[u8], &str); 4] = [
            ("socks4a", "far.example", &[0, 91, 0, 0, 0, 0, 0, 0], "refused the tunnel: rejected or failed"),
            ("socks4a", "far.example", &[0, 93, 0, 0, 0, 0, 0, 0], "different user"),
            ("socks4a", "far.example", &[5, 0, 0, 0, 0, 0, 0, 0], "not SOCKS4"),
            ("socks4", "[2001:db8::1]", &[], "IPv4 addresses only"),
        ];
        for (scheme, host, answer, expected) in cases {
            let (listener, proxy) = listen().await;
            let connector = through(&format!("{scheme}://{proxy}"));
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 512]).await.unwrap();
                let _ = stream.write_all(answer).await;
                let _ = stream.read(&mut [0; 16]).await;
            };
            let url = format!("ws://{host}/");
            let result = tokio::select! {
                biased;
                result = connector.connect(&url) => result,
                // The client may give up before it has connected.
                () = async { serving.await; std::future::pending().await } => unreachable!(),
            };
            let error = with_causes(&result.unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    });
}

#[test]
fn an_unsupported_authentication_scheme_is_an_error() {
    run(async {
        for (challenges, expected) in [
            ("Proxy-Authenticate: Digest realm=\"a, b\", qop=\"auth\", nonce=\"x\"", Some("Digest")),
            ("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", Some("Negotiate, NTLM")),
            ("Proxy-Authenticate: NTLM TlRMTVNTUAAB, Digest realm=\"Basic x\"", Some("NTLM, Digest")),
            ("Proxy-Authenticate: Digest realm=\"x\", basic realm=\"y\"", None),
            ("Proxy-Authenticate: Basic", None),
            ("X: y", None),
        ] {
            let (listener, proxy) = listen().await;
            let connector = through(&format!("http://user:secret@{proxy}"));
            let answer = format!("HTTP/1.1 407 Authenticate\r\n{challenges}\r\n\r\n");
            let (_, result) =
                tokio::join!(http_proxy(listener, &answer, None), connector.connect("ws://far.example/"));
            let error = with_causes(&result.unwrap_err());
            let expected = expected.map_or_else(
                || "407".to_owned(),
                |schemes| format!("the proxy requires {schemes} authentication, but only Basic is supported"),
            );
            assert!(error.contains(&expected) && !error.contains("secret"), "{challenges}: {error}");
        }
    });
}

#[test]
fn a_zone_is_not_sent_to_a_proxy() {
    run(async {
        let (listener, proxy) = listen().await;
        let connector = through(&proxy.to_string());
        let (head, _) = tokio::join!(
            http_proxy(listener, "HTTP/1.1 502 No\r\n\r\n", None),
            connector.connect("ws://[fe80::1%25eth0]:8080/"),
        );
        assert!(head.starts_with("CONNECT [fe80::1]:8080 HTTP/1.1\r\nHost: [fe80::1]:8080\r\n"), "{head}");
    });
}

#[test]
fn a_missing_proxy_is_an_error() {
    run(async {
        let gone = RawAcceptor::bind();
        let connector = through(&format!("socks5://{}", gone.addr()));
        let addr = gone.addr();
        drop(gone);
        match connector.connect("ws://127.0.0.1:1/").await {
            Err(ConnectError::Connect { host, .. }) => assert_eq!(host, addr.to_string()),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_next_address_is_tried_through_a_socks_proxy() {
    run(async {
        let server = echo_server().await;
        let (listener, proxy) = listen().await;
        let connector = through(&format!("socks5://{proxy}")).resolver(|host: String, port| async move {
            match host.parse() {
                Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
                Err(_) => Ok(vec!["[2001:db8::1]:1".parse().unwrap(), "192.0.2.7:1".parse().unwrap()]),
            }
        });
        let serving = async {
            for answer in [4, 0] {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_eq!(bytes(&mut stream).await, [5, 1, 0]);
                stream.write_all(&[5, 0]).await.unwrap();
                let [_, _, _, kind] = bytes(&mut stream).await;
                stream.read_exact(&mut [0; 18][..if kind == 4 { 18 } else { 6 }]).await.unwrap();
                stream.write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                if answer == 0 {
                    let mut to = TcpStream::connect(server.addr()).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut to).await;
                }
            }
        };
        tokio::join!(serving, says_hello(&connector, "ws://far.example:1/"));
        server.stop().await;
    });
}
