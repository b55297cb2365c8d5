use std::time::Duration;

use ws_cluster::{Backplane as _, BackplaneEvent, LogOptions, Position};

use crate::{
    node::{Node, builder, bytes, eventually, texts},
    server::NatsServer,
};

async fn append(node: &Node, topic: &str, numbers: std::ops::Range<u64>) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in numbers {
        positions.push(node.append(topic, &number.to_string()).await);
    }
    positions
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn history_is_what_lies_behind_a_position() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    let empty = node.read("a", None).await;
    assert!(empty.entries.is_empty() && empty.complete && !empty.more && empty.newest.offset == 0);
    let mut positions = Vec::new();
    for number in 0..20 {
        positions.extend(append(&node, "a", number..number + 1).await);
        append(&node, "other", 100..101).await;
    }
    for index in [0, 5, 17, 18, 19] {
        let history = node.read("a", Some(positions[index])).await;
        assert_eq!(texts(&history), numbers(index as u64 + 1..20));
        let found: Vec<_> = history.entries.iter().map(|entry| entry.position).collect();
        assert_eq!(found, positions[index + 1..]);
        assert_eq!((history.newest, history.complete, history.more), (positions[19], true, false));
    }
    let all = node.read("a", None).await;
    assert_eq!((texts(&all), all.complete, all.more), (numbers(0..20), true, false));
}

/// JetStream may answer a read before it has republished the entry.
#[tokio::test]
async fn an_entry_that_is_read_before_it_is_heard_is_no_loss() {
    let Some(server) = NatsServer::start() else { return };
    let (mut node, other) = (Node::start(&server).await, Node::start(&server).await);
    node.watch_logged(&["a"]).await;
    let mut published = Vec::new();
    for _ in 0..300 {
        let position = append(&other, "a", 0..1).await[0];
        assert_eq!(node.read("a", published.last().copied()).await.newest, position);
        published.push(position);
    }
    for expected in published {
        match node.next().await {
            BackplaneEvent::Logged { position, .. } => assert_eq!(position, expected),
            event => panic!("{event:?}"),
        }
    }
}

#[tokio::test]
async fn a_limited_history_can_be_continued() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    let positions = append(&node, "a", 0..10).await;
    let mut since = Some(positions[0]);
    let mut read = Vec::new();
    loop {
        let part = node.history("a", since, 4).await.unwrap();
        assert!(part.entries.len() <= 4 && part.complete);
        assert_eq!(part.newest, positions[9]);
        read.extend(texts(&part));
        since = part.entries.last().map(|entry| entry.position);
        if !part.more {
            break;
        }
    }
    assert_eq!(read, numbers(1..10));
    let none = node.history("a", Some(positions[3]), 0).await.unwrap();
    assert!(none.entries.is_empty() && none.more && none.complete && none.newest == positions[9]);
}

#[tokio::test]
async fn history_is_not_complete_if_entries_were_pushed_out() {
    let Some(server) = NatsServer::start() else { return };
    let options = LogOptions::new(5, Duration::from_secs(300));
    let node = Node::start_with(builder(&server).log(options)).await;
    node.watch_logged(&["a"]).await;
    let mut positions = Vec::new();
    for number in 0..10 {
        positions.push(node.publish_logged("a", bytes(&number.to_string()), &options).await.unwrap());
    }
    let history = node.read("a", Some(positions[5])).await;
    assert_eq!((texts(&history), history.complete), (numbers(6..10), true));
    // The entry is gone, and the next one is there. That cannot be told from a gap.
    let history = node.read("a", Some(positions[4])).await;
    assert_eq!((texts(&history), history.complete), (numbers(5..10), false));
    let history = node.read("a", Some(positions[0])).await;
    assert_eq!((texts(&history), history.complete), (numbers(5..10), false));
}

#[tokio::test]
async fn a_position_that_is_not_of_this_log_has_no_complete_history() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    let position = append(&node, "a", 0..1).await[0];
    let other = append(&node, "b", 1..2).await[0];
    let other_epoch = Position { epoch: position.epoch + 1, offset: position.offset };
    let history = node.read("a", Some(other_epoch)).await;
    assert_eq!((texts(&history), history.complete, history.newest), (numbers(0..1), false, position));
    let ahead = Position { epoch: position.epoch, offset: 1_000 };
    let history = node.read("a", Some(ahead)).await;
    assert_eq!((texts(&history), history.complete, history.newest), (vec![], false, position));
    assert!(!node.read("a", Some(other)).await.complete);
    assert!(!node.read("never published", Some(ahead)).await.complete);
}

#[tokio::test]
async fn a_publication_that_asks_for_a_longer_log_gets_it() {
    let Some(server) = NatsServer::start() else { return };
    let short = LogOptions::new(2, Duration::from_secs(300));
    let node = Node::start_with(builder(&server).log(short)).await;
    for number in 0..10 {
        node.publish_logged("a", bytes(&number.to_string()), &LogOptions::new(8, short.max_age))
            .await
            .unwrap();
    }
    // Another node, with a smaller configuration, lowers nothing.
    let other = Node::start_with(builder(&server).log(short)).await;
    other.publish_logged("a", bytes("10"), &short).await.unwrap();
    assert_eq!(texts(&other.read("a", None).await), numbers(3..11));
}

#[tokio::test]
async fn a_quiet_topic_has_no_gap_after_its_entries_expired() {
    let Some(mut server) = NatsServer::start() else { return };
    let age = Duration::from_secs(15);
    let options = LogOptions::new(100, age);
    let start = || Node::start_with(builder(&server).log(options));
    let (mut node, stranger) = (start().await, start().await);
    node.watch_logged(&["a", "empty"]).await;
    let position = node.publish_logged("a", bytes("0"), &options).await.unwrap();
    let newest = node.read("a", None).await.newest;
    assert_eq!(newest, position);
    let nothing = node.read("empty", None).await.newest;
    assert_eq!(nothing, Position { epoch: position.epoch, offset: 0 });
    eventually(async || node.read("a", None).await.entries.is_empty()).await;

    for (topic, position) in [("a", position), ("empty", nothing)] {
        let history = node.read(topic, Some(position)).await;
        assert_eq!((history.entries.len(), history.complete, history.newest), (0, true, position), "{topic}");
        // It does not know what was published.
        assert!(!stranger.read(topic, Some(position)).await.complete, "{topic}");
    }
    // The node has missed nothing that may have expired.
    server.restart();
    node.until(|event| *event == BackplaneEvent::Up).await;
    assert!(node.read("a", Some(position)).await.complete);
    // What was published meanwhile is found, and this is known too.
    let next = stranger_publishes(&stranger, &options).await;
    let history = node.read("a", Some(position)).await;
    assert_eq!((texts(&history), history.complete, history.newest), (numbers(1..2), true, next));
}

async fn stranger_publishes(stranger: &Node, options: &LogOptions) -> Position {
    stranger.health_is(ws_cluster::Health::Healthy).await;
    stranger.publish_logged("a", bytes("1"), options).await.unwrap()
}
