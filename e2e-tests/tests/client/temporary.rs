//! Which failed attempts may succeed later, and which must not be repeated.

use e2e_tests::certificates::Authority;
use e2e_tests::{raw_peer::RawAcceptor, server::ServerRunner};
use ws_client::{
    Connector, Reconnecting, Tls,
    error::ConnectError,
    reconnecting::{Event, Outcome},
    tls::Roots,
};
use ws_server::Server;

use crate::{
    proxies::{listen, through},
    support::run,
};

fn without_roots() -> Connector {
    Connector::new().tls(Tls::builder().roots(Roots::None).build().unwrap())
}

#[test]
fn a_tls_handshake_that_the_network_interrupts_is_temporary() {
    run(async {
        for reset in [false, true] {
            let acceptor = RawAcceptor::bind();
            let url = format!("wss://localhost:{}/", acceptor.addr().port());
            let server = async {
                let mut server = acceptor.accept().await;
                // The client's hello.
                server.reader.recv_bytes(1).await;
                if reset {
                    server.into_connection().reset();
                    None
                } else {
                    server.half_close().await;
                    Some(server)
                }
            };
            let connector = without_roots();
            let (result, _server) = tokio::join!(connector.connect(&url), server);
            let error = result.unwrap_err();
            assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{error}");
            assert!(error.is_temporary(), "{error}");
        }
    });
}

#[test]
fn an_invalid_certificate_is_final() {
    run(async {
        let identity = Authority::new().issue(&["localhost"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let server = ServerRunner::serve(Server::builder().tls(tls), |_| async {}).await;
        let url = format!("wss://localhost:{}/", server.addr().port());
        let error = without_roots().connect(&url).await.unwrap_err();
        assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{error}");
        assert!(!error.is_temporary(), "{error}");
        let mut client = Reconnecting::builder(without_roots(), move |_| {
            let url = url.clone();
            async move { Ok(url) }
        })
        .build();
        let event = client.next_event().await;
        assert!(
            matches!(&event, Some(Event::AttemptFailed(failed)) if failed.retry_in.is_none()),
            "{event:?}"
        );
        assert!(client.next_event().await.is_none());
        assert_eq!(client.outcome(), Some(Outcome::Stopped));
        server.stop().await;
    });
}

#[test]
fn a_proxy_that_cannot_reach_the_server_is_temporary_and_one_that_refuses_is_not() {
    run(async {
        for (status, temporary) in
            [(429, true), (502, true), (503, true), (504, true), (403, false), (404, false), (407, false)]
        {
            let (listener, proxy) = listen().await;
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            let server = async {
                let mut stream = listener.accept().await.unwrap().0;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
                }
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
            };
            let connector = through(&format!("http://{proxy}"));
            let (result, ()) = tokio::join!(connector.connect("ws://server.example/"), server);
            let error = result.unwrap_err();
            assert!(matches!(error, ConnectError::Proxy { .. }), "{error}");
            assert_eq!(error.is_temporary(), temporary, "{error}");
        }
    });
}
