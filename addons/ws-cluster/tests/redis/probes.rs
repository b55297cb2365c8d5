use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use ws_cluster::{Backplane, BackplaneError, BackplaneEvent, Health, LogOptions, redis::RedisBackplane};

use crate::{
    nodes::{Node, impatient, live, quick, text},
    server::Server,
};

#[tokio::test]
async fn a_stopped_server_is_noticed_and_left_and_found_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::new(impatient(&server.url()));
    node.watch_live(&["room"]).await.unwrap();
    node.wait_for_health(Health::Healthy).await;
    server.suspend();
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    node.wait_for_health(Health::Deaf).await;
    server.resume();
    node.wait_for(|event| matches!(event, BackplaneEvent::Gap { .. })).await;
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    assert_eq!(node.backplane.health(), Health::Healthy);
    node.backplane.publish_live("room", text("again")).await.unwrap();
    assert_eq!(node.event().await, live("room", "again"));
}

/// After a failover behind an address that stays the same: new connections lead to another server.
#[tokio::test]
async fn a_connection_that_is_subscribed_at_a_server_without_publications_is_replaced() {
    let Some(old) = Server::start(&[]).await else { return };
    let Some(new) = Server::start(&[]).await else { return };
    let (address, target) = proxy(old.port).await;
    let url = format!("redis://{address}");
    let (mut node, other) = (Node::new(impatient(&url)), Node::new(impatient(&url)));
    node.watch_live(&["room"]).await.unwrap();
    node.wait_for_health(Health::Healthy).await;
    other.wait_for_health(Health::Healthy).await;
    node.wait_for(|event| *event == BackplaneEvent::Up).await;

    target.store(new.port, Ordering::Relaxed);
    // Those that subscribe stay connected to the old server.
    let _: usize = old.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    other.wait_for_health(Health::Healthy).await;
    other.backplane.publish_live("room", text("there")).await.unwrap();
    assert_eq!(node.event().await, live("room", "there"));
}

/// A master that was demoted while connections stay: publishing works there, and reaches no other node.
#[tokio::test]
async fn a_demoted_server_is_not_healthy() {
    let Some(old) = Server::start(&[]).await else { return };
    let Some(new) = Server::start(&[]).await else { return };
    let mut node = Node::new(impatient(&old.url()));
    node.watch_live(&["room"]).await.unwrap();
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    let () = old.command(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    node.wait_for(|event| *event == BackplaneEvent::Down).await;
    assert_eq!(node.backplane.health(), Health::Deaf);
    let () = old.command(&["REPLICAOF", "NO", "ONE"]).await;
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
}

#[tokio::test]
async fn a_server_without_memory_still_carries_live_publications() {
    let Some(server) = Server::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await else {
        return;
    };
    let builder = quick(RedisBackplane::builder([server.url()]));
    let mut node = Node::new(builder.probe_interval(Duration::from_millis(20)));
    node.watch_live(&["room"]).await.unwrap();
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    let refused = node.backplane.publish_logged("room", text(1), &LogOptions::default()).await;
    assert!(matches!(refused, Err(BackplaneError::Refused { .. })), "{refused:?}");
    for _ in 0..200 {
        node.backplane.publish_live("room", text("live")).await.unwrap();
        assert_eq!(node.any_event().await, live("room", "live"));
    }
    assert_eq!(node.backplane.health(), Health::Healthy);
}

/// Forwards connections to the port that the second value names when they come.
async fn proxy(port: u16) -> (SocketAddr, Arc<AtomicU16>) {
    let target = Arc::new(AtomicU16::new(port));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, to) = (listener.local_addr().unwrap(), Arc::clone(&target));
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let port = to.load(Ordering::Relaxed);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                copy_bidirectional(&mut from, &mut server).await
            });
        }
    });
    (address, target)
}
