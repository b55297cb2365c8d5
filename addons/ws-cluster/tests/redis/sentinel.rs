use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use ws_cluster::{BackplaneEvent, Health, redis::RedisBackplane};

use crate::{
    follower::{LoggedFollower, Mode, Publisher},
    nodes::{Node, quick},
    server::{Server, free_port},
};

#[tokio::test]
async fn the_master_that_sentinels_choose_is_found() {
    let Some(mut master) = Server::start(&["--repl-diskless-sync-delay", "0"]).await else { return };
    let replica_of = format!("127.0.0.1 {}", master.port);
    let Some(replica) = Server::start(&["--replicaof", &replica_of]).await else { return };
    replica.wait_for_info(&["INFO", "replication"], &["master_link_status:up"]).await;
    let Some(sentinel) = sentinel_of(&master).await else { return };

    let build = || Node::new(quick(RedisBackplane::builder([sentinel.url()]).sentinel("main")));
    let (mut node, other) = (build(), build());
    node.watch_logged(&["log"]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&other.backplane), "log", Mode::Logged);
    let mut follower = LoggedFollower::new("log");
    follower.follow(&mut node, 50).await;
    // The sentinel has found the replica.
    while !sentinel.command::<String>(&["INFO", "sentinel"]).await.contains("slaves=1") {
        sleep(Duration::from_millis(20)).await;
    }

    master.wait_for_replica("key").await;
    master.kill();
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    let last = follower.numbers.last().unwrap() + 100;
    follower.follow(&mut node, last).await;
    let accepted = publisher.stop().await;
    follower.follow(&mut node, *accepted.last().unwrap()).await;
    follower.assert_reported(&accepted);
    assert_eq!((follower.incomplete.len(), follower.epochs), (1, 0));
    node.wait_for_health(Health::Healthy).await;
    replica.wait_for_info(&["INFO", "replication"], &["role:master"]).await;
}

async fn sentinel_of(master: &Server) -> Option<Server> {
    let mut sentinel = Server::prepare(free_port(), &[])?;
    sentinel.be_sentinel(&format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 5000\n\
         sentinel failover-timeout main 10000\n",
        master.port
    ));
    sentinel.run().await;
    Some(sentinel)
}
