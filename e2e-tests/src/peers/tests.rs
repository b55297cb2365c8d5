//! The other implementations against each other and against the raw peer. Their checks have to fail when they should.

use super::*;
use crate::harness;
use crate::raw_peer::{RawAcceptor, RawClient, RawFrame};

fn python_and_node() -> Option<[Installed; 2]> {
    let [python, node] = Peer::ECHO;
    Some([python.find()?, node.find()?])
}

/// Runs each client against each server with these options.
async fn all_pairs(server_options: &[&str], client_options: &[&str]) {
    let Some(peers) = python_and_node() else { return };
    for server_peer in &peers {
        let (mut server, url) = server_peer.server(server_options).await;
        for client in &peers {
            client.client(&format!("{url}/path?a=b"), client_options).expect_ok().await;
            server.expect_line("open /path?a=b").await;
            server.expect_line("closed 1000 bye").await;
        }
        assert_eq!(server.stop().await, Vec::<String>::new());
    }
}

#[test]
fn every_client_works_with_every_server() {
    harness::run(all_pairs(&[], &[]));
}

#[test]
fn every_pair_compresses_and_agrees_on_a_subprotocol() {
    let options = &["--deflate", "--subprotocol", "chat"];
    harness::run(all_pairs(options, options));
}

#[test]
fn a_client_insists_on_the_compression_that_it_wants() {
    harness::run(async {
        let Some(peers) = python_and_node() else { return };
        for server in &peers {
            let (_server, url) = server.server(&[]).await;
            for client in &peers {
                let outcome = client.client(&url, &["--deflate"]).outcome().await;
                let failure = outcome.expect_err("there is no compression");
                assert!(failure.contains("permessage-deflate"), "{failure}");
            }
        }
    });
}

#[test]
fn a_client_notices_a_wrong_echo() {
    harness::run(async {
        let Some(peers) = python_and_node() else { return };
        for client in &peers {
            let acceptor = RawAcceptor::bind();
            let client = client.client(&acceptor.url("/"), &[]);
            let mut server = acceptor.accept_upgraded().await;
            server.expect_text("Hello").await;
            server.send(RawFrame::text("hello")).await;
            assert!(client.outcome().await.is_err());
        }
    });
}

#[test]
fn a_server_pings_closes_and_reports() {
    harness::run(async {
        let Some(peers) = python_and_node() else { return };
        for server in &peers {
            let (mut server, url) = server.server(&["--ping", "--close", "4000:enough"]).await;
            let address = url.strip_prefix("ws://").expect("a plain URL").parse().expect("an address");
            let mut client = RawClient::open(address, "/").await;
            server.expect_line("open /").await;
            client.expect_ping(b"are you there?").await;
            client.send(RawFrame::pong("are you there?")).await;
            server.expect_line("pong").await;
            client.send(RawFrame::text("x")).await;
            client.expect_text("x").await;
            assert_eq!(client.expect_close(4000).await, "enough");
            client.send(RawFrame::close(4001, "indeed")).await;
            client.expect_eof().await;
            // `ws` reports a connection as closed when both directions of TCP have ended.
            drop(client);
            server.expect_line("closed 4001 indeed").await;
        }
    });
}

#[test]
fn a_server_reports_an_abnormal_end() {
    harness::run(async {
        let Some(peers) = python_and_node() else { return };
        for server in &peers {
            let (mut server, url) = server.server(&["--listen", "[::1]:0"]).await;
            let address = url.strip_prefix("ws://").expect("a plain URL").parse().expect("an address");
            let client = RawClient::open(address, "/").await;
            server.expect_line("open /").await;
            client.into_connection().reset();
            server.expect_line("closed 1006").await;
        }
    });
}

#[test]
fn a_dropped_child_leaves_nothing_behind() {
    harness::run(async {
        let Some(peers) = python_and_node() else { return };
        for server in &peers {
            let (server, url) = server.server(&[]).await;
            drop(server);
            let address: std::net::SocketAddr = url.strip_prefix("ws://").unwrap().parse().unwrap();
            let refused = tokio::net::TcpStream::connect(address).await.expect_err("it is gone");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    });
}
