//! `wss`: trusted roots and client certificates.

use e2e_tests::{
    certificates::{Authority, Identity},
    server::ServerRunner,
};
use ws_client::{
    CloseCode, Connector, Tls,
    error::{ConnectError, RedirectError, TlsError},
    tls::{PemItem, Roots},
};
use ws_server::Server;

use crate::support::run;

/// An echo server with a certificate.
async fn secure_echo(identity: &Identity) -> ServerRunner {
    let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
    ServerRunner::serve(Server::builder().tls(tls), |mut ws| async move {
        while let Some(message) = ws.recv().await {
            let _ = ws.send(message).await;
        }
    })
    .await
}

fn trusting(authority: &Authority) -> Connector {
    let tls = Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
    Connector::new().tls(tls)
}

#[track_caller]
fn is_refused(result: Result<ws_client::WebSocket<ws_client::ClientStream>, ConnectError>, expected: &str) {
    match result {
        Err(ConnectError::TlsHandshake { source, .. }) => {
            assert!(source.to_string().contains(expected), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_go_over_tls() {
    run(async {
        let authority = Authority::new();
        let server = secure_echo(&authority.issue(&["localhost", "127.0.0.1"])).await;
        let connector = trusting(&authority);
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("wss://{host}:{}/", server.addr().port());
            let mut ws = connector.connect(&url).await.unwrap();
            for message in ["hello".to_owned(), "x".repeat(300_000)] {
                ws.send(message.as_str()).await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some(message.as_str()));
            }
            assert!(ws.with_io(|io| io.tcp().unwrap().nodelay().unwrap()).unwrap());
            assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        }
        server.stop().await;
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    run(async {
        let authority = Authority::new();
        let server = secure_echo(&authority.issue(&["example.com", "localhost.example.com"])).await;
        let connector = trusting(&authority);
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("wss://{host}:{}/", server.addr().port());
            is_refused(connector.connect(&url).await, "not valid for name");
        }
        server.stop().await;
    });
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    run(async {
        let server = secure_echo(&Authority::new().issue(&["localhost"])).await;
        let url = format!("wss://localhost:{}/", server.addr().port());
        is_refused(trusting(&Authority::new()).connect(&url).await, "UnknownIssuer");
        is_refused(Connector::new().connect(&url).await, "UnknownIssuer");
        server.stop().await;
    });
}

#[test]
fn any_certificate_is_accepted_only_if_asked_for() {
    run(async {
        let server = secure_echo(&Authority::new().issue(&["example.com"])).await;
        let url = format!("wss://localhost:{}/", server.addr().port());
        let tls = Tls::builder().danger_accept_any_certificate().build().unwrap();
        let mut ws = Connector::new().tls(tls).connect(&url).await.unwrap();
        ws.send("to whom it may concern").await.unwrap();
        assert!(ws.recv().await.is_some());
        ws.close(CloseCode::NORMAL, "").await;
        server.stop().await;
    });
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let build = |chain: &str, key: &str| Tls::builder().identity(chain, key).build();
    assert!(build(&one.chain, &one.key).is_ok());
    assert!(matches!(build(&one.chain, &other.key), Err(TlsError::Rustls(_))));
    assert!(matches!(build("", &one.key), Err(TlsError::Pem { expected: PemItem::Certificates, .. })));
    assert!(matches!(build(&one.chain, ""), Err(TlsError::Pem { expected: PemItem::PrivateKey, .. })));
    let error = Tls::builder().authority("nonsense").build().unwrap_err();
    assert!(matches!(error, TlsError::Pem { expected: PemItem::Certificates, .. }), "{error}");
}

#[test]
fn tls_to_a_server_that_speaks_none_fails() {
    run(async {
        let server = ServerRunner::serve(Server::builder(), |_| async {}).await;
        let url = format!("wss://localhost:{}/", server.addr().port());
        match Connector::new().connect(&url).await {
            Err(ConnectError::TlsHandshake { host, .. }) => assert_eq!(host, "localhost"),
            other => panic!("{other:?}"),
        }
        server.stop().await;
    });
}

#[test]
fn the_deadline_covers_tls() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        let error = crate::support::with_short_handshake().connect(&url).await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error}");
    });
}

#[test]
fn no_redirection_leads_from_wss_to_ws() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let builder = Server::builder().tls(tls).on_request(|request| {
            let Some(location) = request.query() else { return Ok(()) };
            let location = http::HeaderValue::from_str(location).unwrap();
            Err(ws_server::Rejection::new(http::StatusCode::FOUND)
                .with_header(http::header::LOCATION, location))
        });
        let server =
            ServerRunner::serve(builder, |mut ws| async move { while ws.recv().await.is_some() {} }).await;
        let port = server.addr().port();
        let connector = trusting(&authority).redirects(3);
        for scheme in ["ws", "http"] {
            let url = format!("wss://localhost:{port}/?{scheme}://localhost:{port}/");
            match connector.connect(&url).await {
                Err(ConnectError::Redirect { source, .. }) => assert_eq!(source, RedirectError::Downgrade),
                other => panic!("{other:?}"),
            }
        }
        let url = format!("wss://localhost:{port}/?https://localhost:{port}/there");
        let mut ws = connector.connect(&url).await.unwrap();
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        server.stop().await;
    });
}
