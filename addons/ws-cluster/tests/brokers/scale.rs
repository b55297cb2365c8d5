//! Many nodes, and many topics.

use tokio::{
    io::{DuplexStream, duplex},
    time::{Instant, timeout},
};
use ws_cluster::{Backplane, Cluster, ClusterEvent, Health, nats::NatsBackplane, redis::RedisBackplane};
use ws_server::{
    Config, WebSocket,
    topics::{Member, Topics},
};

use crate::{
    LIMIT,
    load::{LOG, Load, Names, Node, wait_until},
    nats_server, redis_server,
};

const NODES: usize = 24;

/// Nodes that publish.
const PUBLISHING: usize = 3;

const TOPICS: usize = 100_000;

/// Backplanes that lose no connection while the machine stands still.
fn on_redis(server: &redis_server::Server) -> RedisBackplane {
    let builder = RedisBackplane::builder([server.url()]).deadline(LIMIT);
    builder.probe_timeout(LIMIT).connect_timeout(LIMIT).start().unwrap()
}

fn on_nats(server: &nats_server::NatsServer) -> NatsBackplane {
    NatsBackplane::builder(server.url()).log(LOG).deadline(LIMIT).probe_timeout(LIMIT).start().unwrap()
}

async fn many_nodes<B: Backplane>(broker: &str, backplane: impl Fn() -> B) {
    let names = Names::default();
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node::start(backplane(), &names).await);
    }
    let load = Load::start(nodes, names, PUBLISHING);
    load.goes_on(100).await;
    let report = load.finish().await;
    let members = 2 * NODES;
    println!("{NODES} nodes with {members} members on {broker}, {:.1} s: {report:?}", report.seconds);
    assert_eq!((report.missed_live, report.missed_logged, report.epochs), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_four_nodes_share_one_redis() {
    let Some(server) = redis_server::Server::start(&[]).await else { return };
    many_nodes("redis", || on_redis(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_four_nodes_share_one_nats_server() {
    let Some(server) = nats_server::NatsServer::start() else { return };
    many_nodes("nats", || on_nats(&server)).await;
}

/// A node with one member of many live topics.
struct Busy {
    cluster: Cluster,
    _member: Member,
    _client: DuplexStream,
}

impl Busy {
    async fn start(backplane: impl Backplane) -> Self {
        let topics = Topics::builder().max_topics_per_member(TOPICS).build().unwrap();
        let cluster = Cluster::builder(&topics, backplane).deadline(LIMIT).start().unwrap();
        let (stream, client) = duplex(1024);
        let mut ws = WebSocket::server(stream, Config::default().validate().unwrap());
        let member = topics.join(&ws.sender()).unwrap();
        tokio::spawn(async move { while ws.recv().await.is_some() {} });
        for number in 0..TOPICS {
            member.subscribe(&format!("topic {number}")).unwrap();
        }
        // Returns once the topic is watched.
        for number in 0..TOPICS {
            cluster.subscribe(&member, &format!("topic {number}")).await.unwrap();
        }
        wait_until("the node is healthy", || cluster.health() == Health::Healthy).await;
        Self { cluster, _member: member, _client: client }
    }
}

/// Two nodes lose their connections, and watch all their topics again.
async fn watched_again(broker: &str, nodes: [Busy; 2], cut: impl AsyncFnOnce()) {
    let mut events = nodes.each_ref().map(|node| node.cluster.events());
    let cutting = Instant::now();
    cut().await;
    let watched = async {
        for events in &mut events {
            let (mut is_up, mut gaps) = (false, 0);
            while !is_up || gaps < TOPICS {
                match events.recv().await.unwrap() {
                    ClusterEvent::Up => is_up = true,
                    ClusterEvent::Gap { topics, .. } => gaps += topics.len(),
                    // It counts as a gap of all.
                    ClusterEvent::Lagged(_) => (is_up, gaps) = (true, TOPICS),
                    _ => {}
                }
            }
        }
    };
    timeout(2 * LIMIT, watched).await.expect("in time");
    // The aim is 5 s, in an optimised build. A busy machine may take longer.
    let took = cutting.elapsed();
    println!("two nodes watch {TOPICS} topics each on {broker} again {took:?} after the cut");
    for node in nodes {
        node.cluster.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_watch_many_topics_of_redis_again() {
    let Some(server) = redis_server::Server::start(&[]).await else { return };
    let nodes = [Busy::start(on_redis(&server)).await, Busy::start(on_redis(&server)).await];
    let cut = async || {
        let _: usize = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    };
    watched_again("redis", nodes, cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_watch_many_topics_of_nats_again() {
    let Some(mut server) = nats_server::NatsServer::start() else { return };
    let nodes = [Busy::start(on_nats(&server)).await, Busy::start(on_nats(&server)).await];
    watched_again("nats", nodes, async || server.restart()).await;
}
