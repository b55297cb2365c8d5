use std::sync::Arc;

use ws_cluster::{Backplane, BackplaneEvent, GapCause, Health, LogOptions, Topics};

use crate::{
    follower::{LiveFollower, LoggedFollower, Mode, Publisher},
    nodes::{Node, text},
    server::{LIMIT, Server},
};

fn gap(topic: &str) -> BackplaneEvent {
    BackplaneEvent::Gap { topics: Topics::Some(vec![topic.into()]), cause: GapCause::Disconnected }
}

#[tokio::test]
async fn a_lost_connection_is_down_then_gap_then_up() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    node.watch_live(&["room"]).await.unwrap();
    assert_eq!(node.any_event().await, BackplaneEvent::Up);
    let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(node.any_event().await, BackplaneEvent::Down);
    assert_eq!(node.any_event().await, gap("room"));
    assert_eq!(node.any_event().await, BackplaneEvent::Up);
    assert_eq!(node.backplane.health(), Health::Healthy);
}

#[tokio::test]
async fn a_log_has_no_gap_after_lost_connections() {
    let Some(server) = Server::start(&[]).await else { return };
    let (mut node, other) = (Node::single(&server.url()), Node::single(&server.url()));
    node.watch_logged(&["log"]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), "log", Mode::Logged);
    let mut follower = LoggedFollower::new("log");
    for round in 1..=5 {
        follower.follow(&mut node, round * 50).await;
        let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    }
    follower.follow(&mut node, 300).await;
    let accepted = publisher.stop().await;
    follower.follow(&mut node, *accepted.last().unwrap()).await;
    follower.assert_all(&accepted);
    assert_eq!((follower.incomplete.len(), follower.epochs), (0, 0));
}

#[tokio::test]
async fn a_live_gap_is_reported_before_what_comes_behind_it() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (mut node, other) = (Node::single(&server.url()), Node::single(&server.url()));
    node.watch_live(&["room"]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), "room", Mode::Live);
    let mut follower = LiveFollower::new("room");
    for round in 1..=4 {
        let last = follower.last;
        follower.follow(&mut node, |follower| follower.last > last + 30).await;
        let gaps = follower.gaps;
        if round % 2 == 0 {
            server.kill();
            server.run().await;
        } else {
            let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        }
        follower.follow(&mut node, |follower| follower.gaps > gaps).await;
    }
    publisher.stop().await;
}

#[tokio::test]
async fn a_killed_server_with_its_data_continues_in_the_epoch_and_says_that_entries_may_be_lost() {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = Server::start(&options).await else { return };
    let (mut node, other) = (Node::single(&server.url()), Node::single(&server.url()));
    node.watch_logged(&["log"]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), "log", Mode::Logged);
    let mut follower = LoggedFollower::new("log");
    follower.follow(&mut node, 50).await;
    server.kill();
    server.run().await;
    let last = follower.numbers.last().unwrap() + 100;
    follower.follow(&mut node, last).await;
    let accepted = publisher.stop().await;
    follower.follow(&mut node, *accepted.last().unwrap()).await;
    follower.assert_all(&accepted);
    assert_eq!(follower.epochs, 0);
    // Redis does not tell whether it had written everything.
    assert_eq!(follower.incomplete.len(), 1);
}

#[tokio::test]
async fn offsets_of_entries_that_a_server_lost_are_not_used_again() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    let options = LogOptions::new(1_000, LIMIT);
    node.backplane.publish_logged("log", text(1), &options).await.unwrap();
    let () = server.command(&["SAVE"]).await;
    // Published and delivered, but not saved.
    let lost = node.backplane.publish_logged("log", text(2), &options).await.unwrap();
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    server.kill();
    server.run().await;
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    let history = node.backplane.history("log", Some(lost), 10).await.unwrap();
    assert_eq!(history.newest.epoch, lost.epoch);
    assert!(!history.complete && history.entries.is_empty());
    let next = node.backplane.publish_logged("log", text(3), &options).await.unwrap();
    assert_eq!((next.epoch, next.offset > lost.offset + 1), (lost.epoch, true), "{next}");
    assert_eq!(next.offset, history.newest.offset + 1);
    // Who was behind gets what is left, and learns that something may be missing.
    let first = node.backplane.history("log", None, 10).await.unwrap();
    assert_eq!((first.entries.len(), first.more), (1, true));
    let behind = node.backplane.history("log", Some(first.entries[0].position), 10).await.unwrap();
    assert_eq!((behind.entries.len(), behind.complete, behind.more), (1, false, false));
}

#[tokio::test]
async fn a_server_that_comes_back_empty_begins_a_new_epoch() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (mut node, other) = (Node::single(&server.url()), Node::single(&server.url()));
    node.watch_logged(&["log"]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), "log", Mode::Logged);
    let mut follower = LoggedFollower::new("log");
    follower.follow(&mut node, 50).await;
    let epoch = follower.position.unwrap().epoch;
    server.kill();
    server.run().await;
    let last = follower.numbers.last().unwrap() + 100;
    follower.follow(&mut node, last).await;
    publisher.stop().await;
    follower.assert_order();
    assert_ne!(follower.position.unwrap().epoch, epoch);
    assert_eq!((follower.epochs, follower.incomplete.len()), (1, 1));
}
