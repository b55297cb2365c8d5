use std::{sync::Arc, time::Instant};

use ws_cluster::{Backplane as _, BackplaneEvent, Interest};

use crate::{
    node::{Node, builder, bytes, live_event, logged_event},
    server::{NatsServer, PATIENCE},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_topics_are_watched_again_after_a_reconnect() {
    const TOPICS: usize = 100_000;
    let Some(mut server) = NatsServer::start() else { return };
    let (mut node, mut other) = (Node::start_with(builder(&server)).await, Node::start(&server).await);
    let topic = |number: usize| Arc::<str>::from(format!("room:{number}"));
    let began = Instant::now();
    let mut interest = Interest::default();
    interest.add_live = (0..TOPICS / 2).map(topic).collect();
    interest.add_logged = (TOPICS / 2..TOPICS).map(topic).collect();
    node.watch(interest).await.unwrap();
    println!("{TOPICS} topics are watched after {:?}", began.elapsed());

    server.kill();
    node.until(|event| *event == BackplaneEvent::Down).await;
    server.restart();
    let began = Instant::now();
    let up = node.until(|event| *event == BackplaneEvent::Up);
    tokio::time::timeout(2 * PATIENCE, up).await.expect("in time");
    println!("{TOPICS} topics are watched again {:?} after the server's restart", began.elapsed());

    other.until(|event| *event == BackplaneEvent::Up).await;
    for number in (0..TOPICS / 2).step_by(5_000) {
        other.publish_live(&topic(number), bytes("x")).await.unwrap();
        assert_eq!(node.next().await, live_event(&topic(number), "x"));
        let logged = topic(TOPICS / 2 + number);
        let position = other.append(&logged, "y").await;
        assert_eq!(node.next().await, logged_event(&logged, position, None, "y"));
    }
}
