//! permessage-deflate and TLS with other implementations, in both roles and with all parameters.

use e2e_tests::{
    certificates::CertificateFiles,
    harness,
    peers::Peer,
    server::{Api, start_echo, start_sharded_echo},
};
use ws_client::{CloseCode, Connector, DeflateConfig};
use ws_server::{Server, Tls};

use crate::our_client::converse;

/// A peer's option, with the parameters that it offers or accepts.
const PARAMS: [&str; 8] = [
    "client_max_window_bits",
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_no_context_takeover,client_no_context_takeover",
    "server_max_window_bits=9",
    "client_max_window_bits=10",
    "server_max_window_bits=12,client_max_window_bits=11",
    "server_no_context_takeover,client_no_context_takeover,server_max_window_bits=9,client_max_window_bits=9",
];

/// Our settings: with or without context takeover, with large or small windows.
fn ours(base: &DeflateConfig) -> impl Iterator<Item = DeflateConfig> {
    (0..4_u8).map(|bits| {
        let mut config = base.clone();
        config.threshold = 0;
        config.send_takeover = bits & 1 != 0;
        config.receive_takeover = bits & 1 != 0;
        if bits & 2 != 0 {
            config.send_window_bits = 11;
            // npm `ws` refuses a connection with a smaller window than its setting.
            config.receive_window_bits = 12;
        }
        config
    })
}

/// Their client against our server.
fn their_client(peer: Peer) {
    harness::run(async {
        let Some(client) = peer.find() else { return };
        for (number, config) in ours(&DeflateConfig::server()).enumerate() {
            let builder = Server::builder().deflate(Some(config));
            let api = Api::ALL[number % 2];
            let mut server = if number < 2 {
                start_echo(api, builder).await
            } else {
                start_sharded_echo(api, builder, 1).await
            };
            let url = format!("ws://{}/", server.addr());
            let mut options = vec!["--deflate"];
            options.extend(PARAMS.iter().flat_map(|params| ["--deflate-params", params]));
            client.client(&url, &options).expect_ok().await;
            for params in PARAMS {
                let info = server.closed().await;
                assert!(info.is_clean(), "{params}: {info:?}");
            }
            server.stop().await;
        }
    });
}

/// Our client against their server.
fn their_server(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        for params in PARAMS {
            if params == "client_max_window_bits" {
                // Only a client may send it without a value.
                continue;
            }
            let (server, url) = peer.server(&["--deflate", "--deflate-params", params]).await;
            for config in ours(&DeflateConfig::client()) {
                let connector = Connector::new().deflate(Some(config));
                let mut ws = connector.connect(&url).await.unwrap();
                assert!(ws.deflate_params().is_some(), "{params}");
                converse(&mut ws).await;
                assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean(), "{params}");
            }
            drop(server);
        }
    });
}

fn their_client_over_tls(peer: Peer) {
    harness::run(async {
        let Some(client) = peer.find() else { return };
        let files = CertificateFiles::new();
        let tls = Tls::from_pem(files.read("cert"), files.read("key")).unwrap();
        for api in Api::ALL {
            let builder = Server::builder().tls(tls.clone()).deflate(Some(DeflateConfig::server()));
            let mut server = start_echo(api, builder).await;
            let url = format!("wss://localhost:{}/", server.addr().port());
            client.client(&url, &["--deflate", "--ca", &files.path("ca")]).expect_ok().await;
            assert!(server.closed().await.is_clean());
            server.stop().await;
        }
    });
}

fn their_server_over_tls(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        let files = CertificateFiles::new();
        let options = ["--deflate", "--tls-cert", &files.path("cert"), "--tls-key", &files.path("key")];
        let (server, url) = peer.server(&options).await;
        let tls = ws_client::Tls::builder().authority(files.authority().pem()).build().unwrap();
        let connector = Connector::new().tls(tls).deflate(Some(DeflateConfig::client()));
        let mut ws = connector.connect(&url).await.unwrap();
        converse(&mut ws).await;
        assert!(ws.close(CloseCode::NORMAL, "bye").await.is_clean());
        drop(server);
    });
}

#[test]
fn python_compresses_for_our_server() {
    their_client(Peer::Python);
}

#[test]
fn node_compresses_for_our_server() {
    their_client(Peer::Node);
}

#[test]
fn python_compresses_for_our_client() {
    their_server(Peer::Python);
}

#[test]
fn node_compresses_for_our_client() {
    their_server(Peer::Node);
}

#[test]
fn python_speaks_tls_with_our_server() {
    their_client_over_tls(Peer::Python);
}

#[test]
fn node_speaks_tls_with_our_server() {
    their_client_over_tls(Peer::Node);
}

#[test]
fn python_speaks_tls_with_our_client() {
    their_server_over_tls(Peer::Python);
}

#[test]
fn node_speaks_tls_with_our_client() {
    their_server_over_tls(Peer::Node);
}
