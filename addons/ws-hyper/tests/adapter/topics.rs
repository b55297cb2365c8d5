//! Connections that hyper upgraded are members of topics as those of a server are.

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use ws_hyper::{HyperStream, Upgrader, WebSocket};
use ws_server::topics::Topics;

use crate::support::{ALL, HyperServer};

/// Publishes each message to all members, and sends an answer behind it.
async fn member(mut ws: WebSocket<HyperStream>, topics: Topics) {
    let member = topics.join(&ws.sender()).unwrap();
    member.subscribe("room").unwrap();
    ws.send("joined").await.unwrap();
    while let Some(message) = ws.recv().await {
        topics.publish("room", message).unwrap();
        ws.send("published").await.unwrap();
    }
}

#[test]
fn what_is_published_and_sent_arrives_in_order_until_the_connection_ends() {
    harness::run(async {
        for how in ALL {
            let topics = Topics::new();
            let joining = topics.clone();
            let serve = move |ws| member(ws, joining.clone());
            let server = HyperServer::sockets(how, Upgrader::default(), serve).await;
            let mut clients = Vec::new();
            for _ in 0..2 {
                let mut client = RawClient::open(server.addr, "/").await;
                client.expect_text("joined").await;
                clients.push(client);
            }
            for number in 0..20 {
                clients[0].send(RawFrame::text(number.to_string())).await;
                clients[0].expect_text(&number.to_string()).await;
                clients[0].expect_text("published").await;
                clients[1].expect_text(&number.to_string()).await;
            }
            for mut client in clients {
                client.send(RawFrame::close(1000, "")).await;
                client.expect_close(1000).await;
                client.expect_eof().await;
            }
            // The only topic is freed with its last member.
            while topics.topic_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    });
}
