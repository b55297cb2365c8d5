//! TLS on a transport of the caller's, and what the client's streams say about TLS.

use e2e_tests::{certificates::Authority, server::ServerRunner};
use tokio::net::TcpStream;
use ws_client::{
    CloseCode, Connector, Tls,
    error::{ConnectError, UrlError},
    rustls::{ClientConnection, ProtocolVersion},
    tls::Roots,
};
use ws_server::Server;

use crate::support::{open, run, soon, with_short_handshake};

/// An echo server for `localhost`, and a connector that trusts it.
async fn secure_echo() -> (ServerRunner, Connector) {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
    let server = ServerRunner::serve(Server::builder().tls(tls), |mut ws| async move {
        while let Some(message) = ws.recv().await {
            let _ = ws.send(message).await;
        }
    })
    .await;
    let tls = Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
    (server, Connector::new().tls(tls))
}

#[track_caller]
fn assert_negotiated(tls: &ClientConnection) {
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(tls.peer_certificates().map(<[_]>::len), Some(1));
}

#[test]
fn tls_runs_over_a_given_stream_whatever_the_scheme() {
    run(async {
        let (server, connector) = secure_echo().await;
        for scheme in ["wss", "ws"] {
            let io = TcpStream::connect(server.addr()).await.unwrap();
            let url = format!("{scheme}://localhost/");
            let mut ws = soon(connector.connect_tls_on(&url, io)).await.unwrap().ws;
            ws.send("hello").await.unwrap();
            assert_eq!(soon(ws.recv()).await.unwrap().as_text(), Some("hello"));
            let peer = ws.with_io(|io| {
                assert_negotiated(io.tls());
                let text = format!("{io:?}");
                assert!(text.contains("TLSv1_3") && text.contains("http/1.1"), "{text}");
                io.get_ref().peer_addr().unwrap()
            });
            assert_eq!(peer, Some(server.addr()));
            assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        }
        server.stop().await;
    });
}

#[test]
fn tls_over_a_given_stream_checks_the_certificate_for_the_host_of_the_url() {
    run(async {
        let (server, connector) = secure_echo().await;
        let io = TcpStream::connect(server.addr()).await.unwrap();
        match soon(connector.connect_tls_on("wss://other.example/", io)).await {
            Err(ConnectError::TlsHandshake { host, source, .. }) => {
                assert_eq!(host, "other.example");
                assert!(source.to_string().contains("not valid for name"), "{source}");
            }
            other => panic!("{other:?}"),
        }
        server.stop().await;
    });
}

#[test]
fn a_unix_url_has_no_name_for_a_certificate() {
    run(async {
        let (io, _peer) = tokio::io::duplex(64);
        let error = Connector::new().connect_tls_on("ws+unix:/tmp/socket", io).await.unwrap_err();
        assert!(matches!(error, ConnectError::Url(UrlError::NoHost(_))), "{error:?}");
    });
}

#[test]
fn the_deadline_covers_tls_over_a_given_stream() {
    run(async {
        let (io, _silent) = tokio::io::duplex(1024);
        let error = soon(with_short_handshake().connect_tls_on("wss://localhost/", io)).await.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)), "{error:?}");
    });
}

#[test]
fn a_client_stream_tells_what_tls_negotiated() {
    run(async {
        let (server, connector) = secure_echo().await;
        let url = format!("wss://localhost:{}/", server.addr().port());
        let mut ws = connector.connect(&url).await.unwrap();
        ws.with_io(|io| {
            assert_negotiated(io.tls().unwrap());
            assert!(io.proxy_tls().is_none() && io.unix().is_none());
            assert_eq!(io.peer_addr().unwrap(), io.tcp().unwrap().peer_addr().unwrap());
        })
        .unwrap();
        ws.close(CloseCode::NORMAL, "").await;
        server.stop().await;

        let (ws, _server) = open().await;
        assert_eq!(ws.with_io(|io| io.tls().is_none() && io.proxy_tls().is_none()), Some(true));
    });
}
