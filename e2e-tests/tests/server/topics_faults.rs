//! Members that compress, that are cut off, and that end while a topic is published to.

use super::topics::topics_test;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::close_normally;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use ws_client::{CloseCode, Connector, DeflateConfig, WebSocket};
use ws_server::{Sender, Server};

fn keeping(keeps: bool) -> DeflateConfig {
    let mut config = DeflateConfig::server();
    (config.send_takeover, config.receive_takeover) = (keeps, keeps);
    config
}

/// Long enough to be compressed, and similar to others.
fn json(of: &str, number: usize) -> String {
    let items: Vec<_> =
        (0..20).map(|item| format!(r#"{{"item":{item},"of":"{of}","n":{number}}}"#)).collect();
    format!("[{}]", items.join(","))
}

#[test]
fn each_member_can_read_what_is_compressed_whatever_it_has_negotiated() {
    topics_test(
        || Server::builder().deflate(Some(keeping(true))),
        async |server| {
            let url = format!("ws://{}/", server.runner.addr());
            let mut clients: Vec<(WebSocket<_>, Sender)> = Vec::new();
            for deflate in [None, Some(keeping(false)), Some(keeping(true)), Some(keeping(true))] {
                let is_compressed = deflate.is_some();
                let client = Connector::new().deflate(deflate).connect(&url).await.unwrap();
                assert_eq!(client.deflate_params().is_some(), is_compressed);
                clients.push((client, server.accepted().await));
            }
            for (client, _) in &mut clients {
                client.send("join room").await.unwrap();
                assert_eq!(client.recv().await.unwrap(), "joined");
            }
            for round in 0..30 {
                // Direct messages make the contexts differ: each client gets one less often than the one before.
                for (at, (_, sender)) in clients.iter().enumerate() {
                    if round % (at + 1) == 0 {
                        sender.send(json(&format!("client {at}"), round)).await.unwrap();
                    }
                }
                server.topics.publish("room", json("room", round)).unwrap();
            }
            for (at, (client, _)) in clients.iter_mut().enumerate() {
                for round in 0..30 {
                    if round % (at + 1) == 0 {
                        assert_eq!(client.recv().await.unwrap(), *json(&format!("client {at}"), round));
                    }
                    assert_eq!(client.recv().await.unwrap(), *json("room", round));
                }
            }
            for (mut client, _) in clients {
                assert!(client.close(CloseCode::NORMAL, "").await.is_clean());
            }
        },
    );
}

#[test]
fn a_member_whose_peer_closes_its_write_half_without_a_close_is_none_any_more() {
    topics_test(Server::builder, async |server| {
        let (mut client, _) = server.join("room").await;
        client.half_close().await;
        client.expect_end().await;
        while server.topics.topic_count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.topics.publish("room", "x").unwrap().members, 0);
    });
}

#[test]
fn members_that_end_while_their_topic_is_published_to_cost_no_other_member_a_message() {
    topics_test(Server::builder, async |server| {
        let (mut steady, _) = server.join("room").await;
        let mut next = 0;
        for round in 0..20 {
            let mut others = Vec::new();
            for _ in 0..6 {
                others.push(server.join("room").await.0);
            }
            let (topics, is_over) = (server.topics.clone(), Arc::new(AtomicBool::new(false)));
            let for_thread = Arc::clone(&is_over);
            let publishing = tokio::task::spawn_blocking(move || {
                let mut count = 0;
                while !for_thread.load(SeqCst) || count < 50 {
                    // Far from the steady member's limit of 1024.
                    if count < 500 {
                        topics.publish("room", (next + count).to_string()).unwrap();
                        count += 1;
                    }
                    std::thread::yield_now();
                }
                count
            });
            for (at, client) in others.into_iter().enumerate() {
                let mut connection = client.into_connection();
                match (at + round) % 3 {
                    0 => connection.reset(),
                    1 => {
                        connection.half_close().await;
                        while connection.try_recv_frame().await.is_ok() {}
                    }
                    _ => {
                        connection.send(RawFrame::close(1000, "")).await;
                        while connection.try_recv_frame().await.is_ok() {}
                    }
                }
            }
            is_over.store(true, SeqCst);
            let count = publishing.await.unwrap();
            for number in next..next + count {
                steady.expect_text(&number.to_string()).await;
            }
            next += count;
        }
        close_normally(steady).await;
    });
}
