//! Their clients with our server, with both APIs.

use e2e_tests::{
    harness,
    peers::{Installed, Peer},
    server::{Api, ObservedServer, start_echo, start_sharded_echo},
};
use ws_server::Server;

/// Runs their client to its end. It sends messages of each kind, checks their echoes and closes with 1000 `bye`.
async fn converse(client: &Installed, server: &mut ObservedServer, options: &[&str]) {
    client.client(&format!("ws://{}/", server.addr()), options).expect_ok().await;
    let info = server.closed().await;
    assert!(info.is_clean(), "{info:?}");
    assert_eq!((info.code(), info.reason()), (1000, "bye"));
}

fn with(peer: Peer) {
    harness::run(async {
        let Some(client) = peer.find() else { return };
        for api in Api::ALL {
            let mut server = start_echo(api, Server::builder()).await;
            converse(&client, &mut server, &[]).await;
            server.stop().await;
            let mut server = start_sharded_echo(api, Server::builder(), 2).await;
            converse(&client, &mut server, &[]).await;
            server.stop().await;
        }
    });
}

fn with_subprotocol(peer: Peer) {
    harness::run(async {
        let Some(client) = peer.find() else { return };
        for api in Api::ALL {
            let builder = Server::builder().on_request(|request| {
                assert_eq!(request.select_subprotocol(&["other", "chat"]).as_deref(), Some("chat"));
                Ok(())
            });
            let mut server = start_echo(api, builder).await;
            converse(&client, &mut server, &["--subprotocol", "chat"]).await;
            server.stop().await;
        }
    });
}

#[test]
fn python_is_content() {
    with(Peer::Python);
}

#[test]
fn python_agrees_on_a_subprotocol() {
    with_subprotocol(Peer::Python);
}

#[test]
fn node_is_content() {
    with(Peer::Node);
}

#[test]
fn node_agrees_on_a_subprotocol() {
    with_subprotocol(Peer::Node);
}
