//! The PROXY protocol.

use super::{Observed, PROXY, STRANGER, expect_status, trusted, with_each_api};
use e2e_tests::{
    certificates::Authority,
    harness,
    raw_peer::{RawClient, RawFrame, SAMPLE_KEY},
    server::{Api, close_normally},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use ws_client::{CloseCode, Connector, tls::Roots};
use ws_server::{
    Server, ServerBuilder, Tls,
    proxy::{Networks, ProxyProtocol},
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

/// Names 192.0.2.1:56324, with a TLV behind it.
fn v2_ipv4() -> Vec<u8> {
    v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 187, 4, 0, 1, 7])
}

fn required(builder: ServerBuilder) -> ServerBuilder {
    builder.proxy_protocol(ProxyProtocol::from_proxies(trusted()))
}

fn optional(builder: ServerBuilder) -> ServerBuilder {
    builder.proxy_protocol(ProxyProtocol::from_proxies(trusted()).optional())
}

#[test]
fn the_header_of_a_trusted_proxy_names_the_client() {
    let ipv6 =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0, 80, 0, 90]].concat();
    let cases = [
        (V1.to_vec(), Some("192.0.2.1:56324")),
        (b"PROXY TCP6 2001:db8::7 ::1 80 90\r\n".to_vec(), Some("[2001:db8::7]:80")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (v2_ipv4(), Some("192.0.2.1:56324")),
        (v2(0x21, 0x21, &ipv6), Some("[2001:db8::7]:80")),
        (v2(0x21, 0x00, b"?"), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &[1; 4000]), None),
    ];
    with_each_api(required, async |server| {
        for (header, expected) in &cases {
            let mut client = server.open_from(PROXY, header, |request| request, *expected).await;
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
            close_normally(client).await;
        }
    });
}

#[test]
fn a_client_that_reached_the_proxy_by_a_unix_socket_has_no_address() {
    with_each_api(required, async |server| {
        let mut client = server.send_from(PROXY, &v2(0x21, 0x31, &[0; 216]), |request| request).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        assert_eq!(server.seen().await, (None, Some(client.local_addr())));
        close_normally(client).await;
    });
}

#[test]
fn the_header_may_arrive_in_any_pieces() {
    with_each_api(required, async |server| {
        for header in [V1.to_vec(), v2_ipv4()] {
            // The server has read the first part before the rest is sent.
            for first in 1..=header.len() {
                let mut client = server.connect_from(PROXY).await;
                let request = client.request("/").to_bytes();
                client.send_bytes(&header[..first]).await;
                server.server.wait_for_handshakes(1).await;
                tokio::task::yield_now().await;
                client.send_bytes([&header[first..], &request].concat()).await;
                client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
                assert_eq!(server.seen().await.0, Some("192.0.2.1:56324".parse().unwrap()));
                close_normally(client).await;
                server.server.wait_for_handshakes(0).await;
            }
            let mut client = server.connect_from(PROXY).await;
            let request = client.request("/").to_bytes();
            client.send_in_pieces([&header, &request[..]].concat(), 1).await;
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            assert_eq!(server.seen().await.0, Some("192.0.2.1:56324".parse().unwrap()));
            close_normally(client).await;
        }
    });
}

#[test]
fn a_header_of_another_peer_is_a_malformed_request() {
    for configure in [required, optional, |builder: ServerBuilder| builder] {
        with_each_api(configure, async |server| {
            for header in [V1.to_vec(), v2_ipv4()] {
                let client = server.send_from(STRANGER, &header, |request| request).await;
                expect_status(client, 400).await;
            }
            // Without a header it is a request as any other.
            close_normally(server.open_from(STRANGER, b"", |request| request, None).await).await;
        });
    }
}

#[test]
fn a_trusted_proxy_without_a_valid_header_gets_no_answer() {
    let bad: [&[u8]; 6] = [
        b"",
        b"\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\xc0\x00\x02\x01",
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\xff\xff",
    ];
    with_each_api(required, async |server| {
        for header in bad {
            let mut client = server.send_from(PROXY, header, |request| request).await;
            client.expect_end().await;
        }
        // The end of the stream within a header.
        for header in [&V1[..20], &v2_ipv4()[..20]] {
            let mut client = server.connect_from(PROXY).await;
            client.send_bytes(header).await;
            client.half_close().await;
            client.expect_end().await;
        }
        server.server.wait_for_handshakes(0).await;
    });
}

#[test]
fn an_optional_header_may_be_there_or_not() {
    with_each_api(optional, async |server| {
        for header in [V1.to_vec(), v2_ipv4()] {
            let named = server.open_from(PROXY, &header, |request| request, "192.0.2.1:56324").await;
            close_normally(named).await;
        }
        close_normally(server.open_from(PROXY, b"", |request| request, None).await).await;
        // An empty line before a request is allowed (RFC 9112 section 2.2), and version 2 begins with one.
        close_normally(server.open_from(PROXY, b"\r\n", |request| request, None).await).await;
        // What begins as a header has to be one.
        for bad in [&b"PROXY nonsense\r\n"[..], &v2(0x22, 0, &[])] {
            server.send_from(PROXY, bad, |request| request).await.expect_end().await;
        }
    });
}

#[test]
fn a_header_that_does_not_come_ends_the_handshake_in_time() {
    let hasty = |builder| required(builder).handshake_timeout(Duration::from_millis(300));
    with_each_api(hasty, async |server| {
        for part in [&b""[..], &V1[..1], &V1[..V1.len() - 1], &v2_ipv4()[..15]] {
            let mut client = server.connect_from(PROXY).await;
            client.send_bytes(part).await;
            client.expect_end().await;
        }
        // The header does not extend the time for the request.
        let mut client = server.connect_from(PROXY).await;
        client.send_bytes(V1).await;
        client.expect_end().await;
        server.server.wait_for_handshakes(0).await;
    });
}

#[test]
fn limits_per_address_count_the_clients_and_not_the_proxy() {
    let limited = |builder| required(builder).max_connections_per_address(2);
    with_each_api(limited, async |server| {
        let header = |client: &str| format!("PROXY TCP4 {client} 198.51.100.1 1 443\r\n").into_bytes();
        let mut open = Vec::new();
        for (client, named) in [("192.0.2.1", "192.0.2.1:1"), ("192.0.2.2", "192.0.2.2:1")] {
            for _ in 0..2 {
                open.push(server.open_from(PROXY, &header(client), |request| request, named).await);
            }
            let refused = server.send_from(PROXY, &header(client), |request| request).await;
            expect_status(refused, 429).await;
        }
        // Without a client's name they count as the proxy's own.
        for _ in 0..2 {
            open.push(server.open_from(PROXY, b"PROXY UNKNOWN\r\n", |request| request, None).await);
        }
        expect_status(server.send_from(PROXY, b"PROXY UNKNOWN\r\n", |request| request).await, 429).await;
        for client in open {
            close_normally(client).await;
        }
    });
}

#[test]
fn a_handshake_counts_for_its_client_from_the_header_on() {
    let limited = |builder| required(builder).max_connections_per_address(2);
    with_each_api(limited, async |server| {
        // More than an address may have: these have named no client yet.
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(server.connect_from(PROXY).await);
        }
        server.server.wait_for_handshakes(5).await;
        for client in &mut silent {
            client.send_bytes(V1).await;
        }
        let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
        let waiting: Vec<_> = silent
            .into_iter()
            .map(|mut client| {
                let refused = refused.clone();
                tokio::spawn(async move {
                    let status = client.recv_head().await.status();
                    refused.send(status).unwrap();
                })
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(refusals.recv().await, Some(429));
        }
        // The first two wait for their requests.
        server.server.wait_for_handshakes(2).await;
        for client in waiting {
            client.abort();
            let _ = client.await;
        }
        server.server.wait_for_handshakes(0).await;
        assert!(refusals.try_recv().is_err());
    });
}

/// Passes connections on to a server, each with a header in front.
async fn proxy(server: SocketAddr, header: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let passing = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut upstream = TcpStream::connect(server).await.unwrap();
            upstream.write_all(&header).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    (addr, passing)
}

#[test]
fn the_header_comes_before_tls() {
    harness::run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let client_tls =
            ws_client::Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
        let connector = Connector::new().tls(client_tls);
        let protocols = [
            (ProxyProtocol::from_proxies(Networks::loopback()), false),
            (ProxyProtocol::from_proxies(Networks::loopback()).optional(), true),
        ];
        for (protocol, is_optional) in protocols {
            for api in Api::ALL {
                let tls = Tls::from_pem(&identity.chain, &identity.key).unwrap();
                let builder = Server::builder().tls(tls).proxy_protocol(protocol.clone());
                let mut server = Observed::start(api, builder).await;
                let long = v2(0x21, 0x11, &[&v2_ipv4()[16..28], &[5, 4, 0], &[0; 1024]].concat());
                for header in [V1.to_vec(), v2_ipv4(), long] {
                    let (addr, passing) = proxy(server.server.addr(), header).await;
                    let url = format!("wss://localhost:{}/", addr.port());
                    let mut ws = connector.connect(&url).await.unwrap();
                    ws.send("hello").await.unwrap();
                    assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"));
                    assert_eq!(server.seen().await.0, Some("192.0.2.1:56324".parse().unwrap()));
                    ws.close(CloseCode::NORMAL, "").await;
                    passing.abort();
                }
                let url = format!("wss://localhost:{}/", server.server.addr().port());
                match connector.connect(&url).await {
                    Ok(mut ws) if is_optional => {
                        assert_eq!(server.seen().await.1, None);
                        ws.close(CloseCode::NORMAL, "").await;
                    }
                    Err(_) if !is_optional => {}
                    outcome => panic!("{outcome:?}"),
                }
                // Neither a header nor TLS.
                let mut client = RawClient::connect(server.server.addr()).await;
                client.send_bytes("PRI * HTTP/2.0\r\n\r\n").await;
                client.expect_end().await;
                server.stop().await;
            }
        }
    });
}

#[cfg(unix)]
#[test]
fn on_a_unix_socket_all_peers_are_trusted_or_none() {
    harness::run(async {
        let path = std::env::temp_dir().join(format!("ws-server-proxy-{}.sock", std::process::id()));
        for trusted in [true, false] {
            let (seen, mut addresses) = tokio::sync::mpsc::unbounded_channel();
            let protocol = ProxyProtocol::from_proxies(Networks::loopback());
            let protocol = if trusted { protocol.on_unix_sockets() } else { protocol };
            let builder = Server::builder().proxy_protocol(protocol).on_request(move |request| {
                let _ = seen.send((request.peer_addr(), request.proxy_addr()));
                Ok(())
            });
            let server = builder.bind_unix(&path).unwrap();
            let handle = server.shutdown_handle();
            let serving = tokio::spawn(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}));
            let mut peer = tokio::net::UnixStream::connect(&path).await.unwrap();
            let request = e2e_tests::raw_peer::RequestHead::new("localhost", "/").to_bytes();
            peer.write_all(&[V1, &request].concat()).await.unwrap();
            let mut status = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut peer, &mut status).await.unwrap();
            assert_eq!(&status, if trusted { b"HTTP/1.1 101" } else { b"HTTP/1.1 400" });
            let expected = trusted.then_some((Some("192.0.2.1:56324".parse().unwrap()), None));
            assert_eq!(addresses.try_recv().ok(), expected);
            drop(peer);
            handle.shutdown(e2e_tests::server::GRACE).await;
            serving.await.unwrap();
        }
    });
}
