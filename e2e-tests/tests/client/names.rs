//! Resolving a URL's host to addresses.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use e2e_tests::{harness, raw_peer::RawAcceptor, server::ServerRunner};
use ws_client::{Connector, error::ConnectError};
use ws_server::Server;

use crate::support::{run, with_causes};

#[test]
fn names_can_be_looked_up_in_another_way() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let (addr, asked) = (acceptor.addr(), Arc::new(Mutex::new(Vec::new())));
        let connector = Connector::new().resolver({
            let asked = Arc::clone(&asked);
            move |host, port| {
                asked.lock().unwrap().push((host, port));
                async move { Ok(vec![addr]) }
            }
        });
        let server = async {
            let request = acceptor.accept().await.upgrade().await;
            assert_eq!(request.header("Host"), Some("nowhere.invalid:7"));
        };
        let (ws, ()) = tokio::join!(connector.connect("ws://nowhere.invalid:7/"), server);
        ws.unwrap();
        assert_eq!(*asked.lock().unwrap(), [("nowhere.invalid".to_owned(), 7)]);
    });
}

#[test]
fn an_international_name_is_looked_up_and_sent_as_idna_has_it() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let (addr, asked) = (acceptor.addr(), Arc::new(Mutex::new(Vec::new())));
        let connector = Connector::new().resolver({
            let asked = Arc::clone(&asked);
            move |host, _| {
                asked.lock().unwrap().push(host);
                async move { Ok(vec![addr]) }
            }
        });
        for host in ["b\u{fc}cher.example", "B%C3%9CCHER.example", "bu\u{308}cher\u{3002}example"] {
            let server = async {
                let request = acceptor.accept().await.upgrade().await;
                assert_eq!(request.header("Host"), Some("xn--bcher-kva.example"));
            };
            let url = format!("ws://{host}/");
            tokio::join!(async { connector.connect(&url).await.unwrap() }, server);
        }
        assert_eq!(*asked.lock().unwrap(), ["xn--bcher-kva.example"; 3]);
    });
}

/// A link-local address of this machine with the index and the name of its interface, if there is one.
fn link_local() -> Option<(std::net::SocketAddrV6, String)> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ip = std::net::Ipv6Addr::from_bits(u128::from_str_radix(fields[0], 16).ok()?);
        let index = u32::from_str_radix(fields[1], 16).ok()?;
        let addr = std::net::SocketAddrV6::new(ip, 0, 0, index);
        // An address that is still being checked for duplicates cannot be bound to.
        let is_usable = std::net::TcpListener::bind(addr).is_ok();
        (ip.is_unicast_link_local() && is_usable).then(|| (addr, fields[5].to_owned()))
    })
}

#[test]
fn a_zone_names_the_interface_and_stays_out_of_the_host_header() {
    run(async {
        // The loopback interface has the index 1. Its address needs no zone, but a numeric zone is valid for any
        // address.
        let loopback = std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, 0, 0, 0);
        let mut cases = vec![(loopback, "1".to_owned())];
        if let Some((addr, interface)) = link_local() {
            cases.extend([(addr, interface), (addr, addr.scope_id().to_string())]);
        }
        for (addr, zone) in cases {
            let acceptor = RawAcceptor::bind_to(addr.into(), None);
            let (ip, port) = (addr.ip(), acceptor.addr().port());
            let url = format!("ws://[{ip}%25{zone}]:{port}/");
            let server = async {
                let request = acceptor.accept().await.upgrade().await;
                assert_eq!(request.header("Host"), Some(&*format!("[{ip}]:{port}")));
            };
            let connected = async { ws_client::connect(&url).await.unwrap_or_else(|e| panic!("{url}: {e}")) };
            tokio::join!(connected, server);
        }
    });
}

#[test]
fn a_missing_zone_is_an_error() {
    run(async {
        match ws_client::connect("ws://[fe80::1%25no-such-link]:1/").await {
            Err(ConnectError::Resolve { host, .. }) => assert_eq!(host, "fe80::1%no-such-link"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_resolvers_error_is_reported() {
    run(async {
        let fails = |_, _| async { Err::<Vec<SocketAddr>, _>(io::Error::other("the moon is in the way")) };
        let error = Connector::new().resolver(fails).connect("ws://host/").await.unwrap_err();
        assert_eq!(with_causes(&error), "cannot resolve host: the moon is in the way");
        let nothing = |_, _| async { Ok(Vec::new()) };
        let error = Connector::new().resolver(nothing).connect("ws://host/").await.unwrap_err();
        assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    });
}

#[test]
fn a_resolver_that_panics_panics_only_the_connecting_task() {
    let options = harness::Options { allow_panics: true, ..harness::Options::default() };
    harness::run_with(options, async {
        let acceptor = RawAcceptor::bind();
        let (addr, first) = (acceptor.addr(), Arc::new(Mutex::new(true)));
        let connector = Connector::new().resolver(move |_, _| {
            let first = std::mem::take(&mut *first.lock().unwrap());
            async move {
                assert!(!first, "on purpose");
                Ok(vec![addr])
            }
        });
        let again = connector.clone();
        let connecting = tokio::spawn(async move { connector.connect("ws://host/").await.is_ok() });
        assert!(connecting.await.unwrap_err().is_panic());
        let (ws, server) = tokio::join!(again.connect("ws://host/"), acceptor.accept_upgraded());
        ws.unwrap();
        drop(server);
    });
}

#[test]
fn an_address_that_refuses_makes_way_for_the_next_one() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let dead = RawAcceptor::bind();
        let addrs = vec![dead.addr(), acceptor.addr()];
        drop(dead);
        let connector = Connector::new().resolver(move |_, _| {
            let addrs = addrs.clone();
            async move { Ok(addrs) }
        });
        let (ws, server) = tokio::join!(connector.connect("ws://host/"), acceptor.accept_upgraded());
        ws.unwrap();
        drop(server);
    });
}

#[cfg(unix)]
#[test]
fn a_unix_socket_has_a_url_too() {
    use ws_client::CloseCode;

    run(async {
        let path = std::env::temp_dir().join(format!("ws-client-names-{}.sock", std::process::id()));
        let server = Server::builder().bind_unix(&path).unwrap();
        let handle = server.shutdown_handle();
        let serving = tokio::spawn(server.serve(|mut ws, request| async move {
            let target = format!("{} {:?} {:?}", request.uri(), request.header("Host"), request.peer_addr());
            ws.send(target).await.unwrap();
            while ws.recv().await.is_some() {}
        }));
        let url = format!("ws+unix:{}:/chat?room=1", path.display());
        let mut ws = ws_client::connect(&url).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some("/chat?room=1 Some(\"localhost\") None"));
        assert_eq!(ws.with_io(|io| io.unix().is_some() && io.tcp().is_none()), Some(true));
        assert_eq!(ws.with_io(|io| io.peer_addr().unwrap_err().kind()), Some(io::ErrorKind::Unsupported));
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        handle.shutdown(e2e_tests::server::GRACE).await;
        serving.await.unwrap();
        assert!(!path.exists(), "the file goes with the server");
        let error = ws_client::connect(&url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    });
}

#[test]
fn credentials_in_the_url_become_basic_authentication() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = format!("ws://Aladdin:open%20sesame@{}/", acceptor.addr());
        for (connector, expected) in [
            (Connector::new(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (Connector::new().header("Authorization", "Bearer mine"), "Bearer mine"),
        ] {
            let server = async {
                let request = acceptor.accept().await.upgrade().await;
                assert_eq!(request.header("Authorization"), Some(expected));
                assert_eq!(request.header("Host"), Some(&*acceptor.addr().to_string()));
            };
            tokio::join!(async { connector.connect(&url).await.unwrap() }, server);
        }
    });
}

#[test]
fn many_addresses_do_not_outlive_the_deadline() {
    run(async {
        let server = ServerRunner::serve(Server::builder(), |_| async {}).await;
        let never = |_, _| std::future::pending::<io::Result<Vec<SocketAddr>>>();
        let error =
            crate::support::with_short_handshake().resolver(never).connect("ws://host/").await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
        server.stop().await;
    });
}
