use std::sync::Arc;

use tokio::time::{Instant, timeout};
use ws_cluster::{Backplane, BackplaneEvent, Interest, Topics, redis::RedisBackplane};

use crate::{
    nodes::{Node, quick},
    server::{LIMIT, Server},
};

/// How many commands of this name the server has executed.
async fn calls(server: &Server, command: &str) -> usize {
    let stats: String = server.command(&["INFO", "commandstats"]).await;
    let start = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start)).expect("it was executed");
    line.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_topics_are_watched_again_after_a_lost_connection() {
    const COUNT: usize = 100_000;
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::new(quick(RedisBackplane::builder([server.url()])).deadline(LIMIT));
    let mut interest = Interest::default();
    interest.add_live = (0..COUNT).map(|number| Arc::from(format!("topic {number}"))).collect();
    let begin = Instant::now();
    node.backplane.watch(interest).await.unwrap();
    println!("{COUNT} topics watched in {:?}", begin.elapsed());

    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    let first = calls(&server, "subscribe").await;
    let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    let begin = Instant::now();
    let mut gaps = 0;
    let watched = async {
        loop {
            match node.any_event().await {
                BackplaneEvent::Gap { topics: Topics::Some(topics), .. } => gaps += topics.len(),
                // Gaps that wait together are merged, and many topics become all.
                BackplaneEvent::Gap { topics: Topics::All, .. } => gaps = COUNT,
                BackplaneEvent::Up => break,
                event => panic!("{event:?}"),
            }
        }
    };
    timeout(2 * LIMIT, watched).await.expect("in time");
    // The aim is 5 seconds, which an optimised build keeps with ease. A busy machine may take longer.
    println!("{COUNT} topics watched again in {:?}", begin.elapsed());
    assert!(gaps >= COUNT, "{gaps}");
    let again = calls(&server, "subscribe").await - first;
    assert!(again <= 2 * first, "{again} commands to watch again, {first} to watch");
}
