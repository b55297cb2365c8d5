use std::{collections::HashSet, sync::Arc};

use tokio::time::{Instant, timeout};
use ws_cluster::{
    Backplane, BackplaneEvent, GapCause, Health, Interest, LogOptions, Topics, redis::RedisBackplane,
};

use crate::{
    follower::{LiveFollower, LoggedFollower, Mode, Publisher},
    masters::Cluster,
    nodes::{Node, live, quick, text},
    server::{LIMIT, Server},
};

impl Cluster {
    fn node(&self) -> Node {
        Node::new(quick(RedisBackplane::builder(self.servers.iter().map(Server::url)).cluster()))
    }
}

#[tokio::test]
async fn topics_of_all_masters_work() {
    let Some(cluster) = Cluster::start(false).await else { return };
    let (mut a, b) = (cluster.node(), cluster.node());
    let topics: Vec<String> = (0..50).map(|number| format!("topic {number}")).collect();
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    a.watch_live(&names).await.unwrap();
    for topic in &topics {
        b.backplane.publish_live(topic, text("live")).await.unwrap();
        assert_eq!(a.event().await, live(topic, "live"));
        let position = b.backplane.publish_logged(topic, text(1), &LogOptions::default()).await.unwrap();
        assert_eq!(position.offset, 1);
        assert!(matches!(a.event().await, BackplaneEvent::Logged { topic: own, .. } if *own == **topic));
        assert!(b.backplane.history(topic, None, 10).await.unwrap().complete);
        b.backplane.set_presence(topic, 1, text("here"), LIMIT).await.unwrap();
        assert_eq!(b.backplane.presence(topic).await.unwrap(), [(1, text("here"))]);
    }
    a.unwatch(&topics[0]).await.unwrap();
    b.backplane.publish_live(&topics[0], text("unwatched")).await.unwrap();
    a.watch_live(&[&topics[0]]).await.unwrap();
    b.backplane.publish_live(&topics[0], text("watched")).await.unwrap();
    assert_eq!(a.event().await, live(&topics[0], "watched"));
    a.wait_for_health(Health::Healthy).await;
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_each_gap_is_reported() {
    let Some(mut cluster) = Cluster::start(true).await else { return };
    let topic = cluster.topic_on(1, "topic ").await;
    let (mut logged_node, mut live_node, other) = (cluster.node(), cluster.node(), cluster.node());
    logged_node.watch_logged(&[&topic]).await.unwrap();
    let live_topic = format!("{topic}}}live");
    live_node.watch_live(&[&live_topic]).await.unwrap();
    let logged = Publisher::start(Arc::clone(&other.backplane), &topic, Mode::Logged);
    let live = Publisher::start(Arc::clone(&other.backplane), &live_topic, Mode::Live);
    let (mut logged_follower, mut live_follower) =
        (LoggedFollower::new(&topic), LiveFollower::new(&live_topic));
    logged_follower.follow(&mut logged_node, 50).await;
    live_follower.follow(&mut live_node, |follower| follower.last > 50).await;

    cluster.servers[1].wait_for_replica(&format!("{{t:{topic}}}")).await;
    cluster.servers[1].kill();
    live_follower.follow(&mut live_node, |follower| follower.gaps > 0).await;
    live_node.wait_for(|event| *event == BackplaneEvent::Up).await;
    let last = logged_follower.numbers.last().unwrap() + 50;
    logged_follower.follow(&mut logged_node, last).await;
    // It comes back as a replica.
    cluster.servers[1].run().await;
    let (accepted, _) = (logged.stop().await, live.stop().await);
    logged_follower.follow(&mut logged_node, *accepted.last().unwrap()).await;
    logged_follower.assert_reported(&accepted);
    assert_eq!((logged_follower.incomplete.len(), logged_follower.epochs), (1, 0));
    logged_node.wait_for_health(Health::Healthy).await;
}

#[tokio::test]
async fn a_planned_failover_loses_nothing() {
    let Some(cluster) = Cluster::start(true).await else { return };
    let topic = cluster.topic_on(2, "topic ").await;
    let (mut node, other) = (cluster.node(), cluster.node());
    node.watch_logged(&[&topic]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), &topic, Mode::Logged);
    let mut follower = LoggedFollower::new(&topic);
    follower.follow(&mut node, 50).await;
    let () = cluster.servers[5].command(&["CLUSTER", "FAILOVER"]).await;
    cluster.servers[5].wait_for_info(&["INFO", "replication"], &["role:master"]).await;
    let last = follower.numbers.last().unwrap() + 100;
    follower.follow(&mut node, last).await;
    let accepted = publisher.stop().await;
    follower.follow(&mut node, *accepted.last().unwrap()).await;
    follower.assert_all(&accepted);
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_topics_along() {
    let Some(cluster) = Cluster::start(false).await else { return };
    let topic = cluster.topic_on(0, "topic ").await;
    // The same tag, so the same slot.
    let live_topic = format!("{topic}}}live");
    let (slot, _) = cluster.home(&topic).await;
    let (mut node, mut live_node, other) = (cluster.node(), cluster.node(), cluster.node());
    node.watch_logged(&[&topic]).await.unwrap();
    live_node.watch_live(&[&live_topic]).await.unwrap();
    let logged = Publisher::start(Arc::clone(&other.backplane), &topic, Mode::Logged);
    let live = Publisher::start(Arc::clone(&other.backplane), &live_topic, Mode::Live);
    let (mut logged_follower, mut live_follower) =
        (LoggedFollower::new(&topic), LiveFollower::new(&live_topic));
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let last = logged_follower.numbers.last().unwrap_or(&0) + 50;
        logged_follower.follow(&mut node, last).await;
        cluster.migrate(slot, from, to).await;
        let moved = node.wait_for(|event| matches!(event, BackplaneEvent::Gap { .. })).await;
        let topics = Topics::Some(vec![topic.as_str().into()]);
        assert_eq!(moved, BackplaneEvent::Gap { topics, cause: GapCause::Moved });
        logged_follower.take(moved, &node.backplane).await;
        let (gaps, last) = (live_follower.gaps, live_follower.last);
        live_follower.follow(&mut live_node, |follower| follower.gaps > gaps && follower.last > last).await;
    }
    let (accepted, _) = (logged.stop().await, live.stop().await);
    logged_follower.follow(&mut node, *accepted.last().unwrap()).await;
    logged_follower.assert_all(&accepted);
    assert_eq!(logged_follower.epochs, 0);
    node.wait_for_health(Health::Healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_topics_find_their_masters_again() {
    const COUNT: usize = 20_000;
    let Some(cluster) = Cluster::start(false).await else { return };
    let urls = cluster.servers.iter().map(Server::url);
    let mut node = Node::new(quick(RedisBackplane::builder(urls)).cluster().deadline(LIMIT));
    let mut interest = Interest::default();
    interest.add_live = (0..COUNT).map(|number| Arc::from(format!("topic {number}"))).collect();
    let all: HashSet<Arc<str>> = interest.add_live.iter().cloned().collect();
    node.backplane.watch(interest).await.unwrap();
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    for server in &cluster.servers {
        let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    }
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    let begin = Instant::now();
    let mut gaps = HashSet::new();
    let found = async {
        loop {
            match node.any_event().await {
                BackplaneEvent::Gap { topics: Topics::Some(topics), .. } => gaps.extend(topics),
                // Gaps that wait together are merged, and many topics become all.
                BackplaneEvent::Gap { topics: Topics::All, .. } => gaps.extend(all.iter().cloned()),
                BackplaneEvent::Up if gaps.len() == COUNT => break,
                // Another master's connection has ended later.
                BackplaneEvent::Up | BackplaneEvent::Down => {}
                event => panic!("{event:?}"),
            }
        }
    };
    timeout(LIMIT, found).await.unwrap();
    println!("{COUNT} topics of a cluster watched again in {:?}", begin.elapsed());
    assert_eq!(gaps, all);
}
