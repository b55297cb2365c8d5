//! From URLs to addresses.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use e2e_tests::{raw_peer::RawAcceptor, server::ServerRunner};
use ws_client::{ConnectError, Connector};
use ws_server::Server;

use crate::support::run;

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
fn a_resolvers_error_is_told() {
    run(async {
        let fails = |_, _| async { Err::<Vec<SocketAddr>, _>(io::Error::other("the moon is in the way")) };
        let error = Connector::new().resolver(fails).connect("ws://host/").await.unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve host: the moon is in the way");
        let nothing = |_, _| async { Ok(Vec::new()) };
        let error = Connector::new().resolver(nothing).connect("ws://host/").await.unwrap_err();
        assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
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
    use ws_client::{ClientStream, CloseCode};

    run(async {
        let path = std::env::temp_dir().join(format!("ws-client-names-{}.sock", std::process::id()));
        let server = Server::builder().bind_unix(&path).unwrap();
        let handle = server.shutdown_handle();
        let serving = tokio::spawn(server.serve_with_request(|mut ws, request| async move {
            let target = format!("{} {:?} {:?}", request.uri(), request.header("Host"), request.peer_addr());
            ws.send(target).await.unwrap();
            while ws.recv().await.is_some() {}
        }));
        let url = format!("ws+unix:{}:/chat?room=1", path.display());
        let mut ws = ws_client::connect(&url).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some("/chat?room=1 Some(\"localhost\") None"));
        assert_eq!(ws.with_io(|io| matches!(io, ClientStream::Unix(_))), Some(true));
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
            (
                Connector::new()
                    .header(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer mine")),
                "Bearer mine",
            ),
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
        let error = crate::support::hasty().resolver(never).connect("ws://host/").await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
        server.stop().await;
    });
}
