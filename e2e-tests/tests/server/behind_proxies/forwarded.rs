//! `Forwarded` and `X-Forwarded-For`.

use super::{Observed, PROXY, STRANGER, expect_status, trusted, with_each_api};
use e2e_tests::{
    harness,
    raw_peer::RequestHead,
    server::{Api, close_normally},
};
use http::Request;
use ws_server::{
    Server, ServerBuilder,
    adopt::OpeningRequest,
    proxy::{Forwarded, ProxyProtocol},
};

fn x_forwarded_for(builder: ServerBuilder) -> ServerBuilder {
    builder.forwarded(Forwarded::x_forwarded_for(trusted()))
}

fn rfc_7239(builder: ServerBuilder) -> ServerBuilder {
    builder.forwarded(Forwarded::rfc_7239(trusted()))
}

/// A change that appends lines of a header.
fn with<'a>(name: &'a str, values: &'a [&str]) -> impl FnOnce(RequestHead) -> RequestHead + 'a {
    move |request| values.iter().fold(request, |request, value| request.with(name, value))
}

#[test]
fn a_trusted_proxy_names_the_client_in_the_request() {
    for (configure, name, values) in [
        (
            x_forwarded_for as fn(_) -> _,
            "X-Forwarded-For",
            [
                &["192.0.2.1:80"][..],
                &["203.0.113.9, 192.0.2.1:80, 10.0.0.1"],
                &["10.0.0.9, x", "192.0.2.1:80"],
            ],
        ),
        (
            rfc_7239,
            "Forwarded",
            [
                &["for=\"192.0.2.1:80\""][..],
                &["for=203.0.113.9, for=\"192.0.2.1:80\";proto=https, for=10.0.0.1"],
                &["for=\"", "for=\"192.0.2.1:80\""],
            ],
        ),
    ] {
        with_each_api(configure, async |server| {
            for values in values {
                let client = server.open_from(PROXY, b"", with(name, values), "192.0.2.1:80").await;
                close_normally(client).await;
            }
        });
    }
}

#[test]
fn what_a_stranger_says_about_addresses_changes_nothing() {
    for configure in [x_forwarded_for, rfc_7239, |builder: ServerBuilder| builder] {
        with_each_api(configure, async |server| {
            for (name, value) in [
                ("X-Forwarded-For", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.1"),
                ("X-Real-IP", "192.0.2.1"),
                ("X-Forwarded-For", "192.0.2.1, 127.0.0.2"),
            ] {
                let client = server.open_from(STRANGER, b"", with(name, &[value]), None).await;
                close_normally(client).await;
            }
        });
    }
}

#[test]
fn what_a_client_says_through_a_trusted_proxy_changes_nothing() {
    with_each_api(x_forwarded_for, async |server| {
        // The proxy has appended 192.0.2.66 to what the client sent.
        for sent in ["127.0.0.1", "10.0.0.1, 127.0.0.2", "unknown", "\"", ","] {
            let value = format!("{sent}, 192.0.2.66");
            let client =
                server.open_from(PROXY, b"", with("X-Forwarded-For", &[&value]), "192.0.2.66:0").await;
            close_normally(client).await;
        }
    });
}

#[test]
fn a_value_without_an_address_and_the_other_header_change_nothing() {
    for (configure, name, values) in [
        (
            x_forwarded_for as fn(_) -> _,
            "X-Forwarded-For",
            ["unknown", "192.0.2.1, x", "192.0.2.1 10.0.0.1", ""],
        ),
        (rfc_7239, "Forwarded", ["192.0.2.1", "for=unknown", "for=_x", "proto=https"]),
    ] {
        let other = if name == "Forwarded" {
            ("X-Forwarded-For", "192.0.2.1")
        } else {
            ("Forwarded", "for=192.0.2.1")
        };
        with_each_api(configure, async |server| {
            for value in values {
                let client = server.open_from(PROXY, b"", with(name, &[value]), None).await;
                close_normally(client).await;
            }
            let client = server.open_from(PROXY, b"", with(other.0, &[other.1]), None).await;
            close_normally(client).await;
        });
    }
}

#[test]
fn limits_per_address_count_the_clients_once_the_request_is_read() {
    let limited = |builder| x_forwarded_for(builder).max_connections_per_address(1);
    with_each_api(limited, async |server| {
        // More handshakes of the proxy than one address may have.
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(server.connect_from(PROXY).await);
        }
        server.server.wait_for_handshakes(3).await;
        let one = server.open_from(PROXY, b"", with("X-Forwarded-For", &["192.0.2.1"]), "192.0.2.1:0").await;
        let other =
            server.open_from(PROXY, b"", with("X-Forwarded-For", &["192.0.2.2"]), "192.0.2.2:0").await;
        let refused = server.send_from(PROXY, b"", with("X-Forwarded-For", &["192.0.2.1"])).await;
        expect_status(refused, 429).await;
        // A stranger cannot use up the share of another client.
        let stranger = server.open_from(STRANGER, b"", with("X-Forwarded-For", &["192.0.2.3"]), None).await;
        let third =
            server.open_from(PROXY, b"", with("X-Forwarded-For", &["192.0.2.3"]), "192.0.2.3:0").await;
        for client in [one, other, stranger, third] {
            close_normally(client).await;
        }
    });
}

#[test]
fn a_plain_request_counts_for_its_client_while_it_is_answered() {
    let limited = |builder| {
        x_forwarded_for(builder)
            .max_connections_per_address(1)
            .http(|_| http::Response::new(vec![b'x'; 32 * 1024 * 1024].into()))
    };
    with_each_api(limited, async |server| {
        let plain =
            |client| move |request: RequestHead| request.without("Upgrade").with("X-Forwarded-For", client);
        // It does not read the answer, which is larger than what the kernel takes.
        let mut slow = server.send_from(PROXY, b"", plain("192.0.2.1")).await;
        assert_eq!(slow.recv_head().await.status(), 200);
        expect_status(server.send_from(PROXY, b"", plain("192.0.2.1")).await, 429).await;
        let mut other = server.send_from(PROXY, b"", plain("192.0.2.2")).await;
        assert_eq!(other.recv_head().await.status(), 200);
        drop((slow, other));
        server.server.wait_for_handshakes(0).await;
    });
}

#[test]
fn a_client_that_the_proxy_protocol_names_may_be_a_trusted_proxy() {
    let both = |builder| {
        x_forwarded_for(builder)
            .proxy_protocol(ProxyProtocol::from_proxies(trusted()))
            .max_connections_per_address(1)
    };
    with_each_api(both, async |server| {
        let through = |second: &str| format!("PROXY TCP4 {second} 198.51.100.1 1 443\r\n").into_bytes();
        let header = with("X-Forwarded-For", &["192.0.2.1"]);
        let named = server.open_from(PROXY, &through("10.0.0.5"), header, "192.0.2.1:0").await;
        let header = with("X-Forwarded-For", &["192.0.2.1"]);
        expect_status(server.send_from(PROXY, &through("10.0.0.5"), header).await, 429).await;
        // This one is not trusted.
        let header = with("X-Forwarded-For", &["192.0.2.2"]);
        let stranger = server.open_from(PROXY, &through("203.0.113.9"), header, "203.0.113.9:1").await;
        close_normally(named).await;
        close_normally(stranger).await;
    });
}

#[test]
fn adopted_connections_follow_the_same_rule() {
    let limited = |builder| x_forwarded_for(builder).max_connections_per_address(1);
    with_each_api(limited, async |server| {
        let opening = |peer: &str, client: &str| {
            let request = RequestHead::new("localhost", "/").with("X-Forwarded-For", client);
            let mut builder = Request::builder().uri("/");
            for (name, value) in &request.headers {
                builder = builder.header(name, value);
            }
            OpeningRequest::new(builder.body(()).unwrap()).peer_addr(peer.parse().unwrap())
        };
        let adopter = server.server.adopter().clone();
        let first = adopter.reserve(opening("10.0.0.1:7", "192.0.2.1")).await.unwrap();
        let seen = (Some("192.0.2.1:0".parse().unwrap()), Some("10.0.0.1:7".parse().unwrap()));
        assert_eq!(server.seen().await, seen);
        let error = adopter.reserve(opening("10.0.0.1:8", "192.0.2.1")).await.expect_err("one too many");
        assert_eq!(error.into_rejection().response().status(), 429);
        let stranger = adopter.reserve(opening("203.0.113.9:7", "192.0.2.1")).await.unwrap();
        assert_eq!(server.seen().await, (Some("203.0.113.9:7".parse().unwrap()), None));
        drop((first, stranger));
    });
}

#[cfg(unix)]
#[test]
fn on_a_unix_socket_all_peers_are_trusted_or_none() {
    harness::run(async {
        let path = std::env::temp_dir().join(format!("ws-server-forwarded-{}.sock", std::process::id()));
        for is_trusted in [true, false] {
            let forwarded = Forwarded::x_forwarded_for(trusted());
            let forwarded = if is_trusted { forwarded.on_unix_sockets() } else { forwarded };
            let (seen, mut addresses) = tokio::sync::mpsc::unbounded_channel();
            let builder = Server::builder().forwarded(forwarded).on_request(move |request| {
                let _ = seen.send((request.peer_addr(), request.proxy_addr()));
                Ok(())
            });
            let server = builder.bind_unix(&path).unwrap();
            let handle = server.shutdown_handle();
            let serving = tokio::spawn(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}));
            let connector = ws_client::Connector::new().header("x-forwarded-for", "192.0.2.1");
            let mut ws = connector.connect(&format!("ws+unix:{}", path.display())).await.unwrap();
            let expected = is_trusted.then(|| "192.0.2.1:0".parse().unwrap());
            assert_eq!(addresses.recv().await, Some((expected, None)));
            assert!(ws.close(ws_client::CloseCode::NORMAL, "").await.is_clean());
            handle.shutdown(e2e_tests::server::GRACE).await;
            serving.await.unwrap();
        }
    });
}

#[test]
fn a_plain_request_has_the_clients_address_too() {
    harness::run(async {
        let builder = x_forwarded_for(Server::builder()).http(|request| {
            let text = format!("{:?} {}", request.peer_addr().unwrap(), request.proxy_addr().is_some());
            http::Response::new(text.into())
        });
        let server = Observed::start(Api::Handler, builder).await;
        let change = |request: RequestHead| request.without("Upgrade").with("X-Forwarded-For", "192.0.2.1");
        let mut client = server.send_from(PROXY, b"", change).await;
        let head = client.recv_head().await;
        assert_eq!(client.recv_body(&head).await, b"192.0.2.1:0 true");
        drop(client);
        server.stop().await;
    });
}
