//! Brokers that fail while several nodes publish through them.

use std::time::Duration;

use ws_cluster::nats::NatsBackplane;
use ws_cluster::redis::{RedisBackplane, RedisBackplaneBuilder};

use crate::{
    load::{LOG, Load, Names, Node, Report},
    masters, nats_server, redis_server,
};

/// Publications of each publisher, at each member, before and after each fault.
const SOME: u64 = 30;

fn quick(builder: RedisBackplaneBuilder) -> RedisBackplane {
    let builder = builder.probe_interval(Duration::from_millis(200)).probe_timeout(Duration::from_secs(1));
    builder.start().unwrap()
}

fn on_redis(server: &redis_server::Server) -> RedisBackplane {
    quick(RedisBackplane::builder([server.url()]))
}

fn on_nats(server: &nats_server::NatsServer) -> NatsBackplane {
    let builder = NatsBackplane::builder(server.url()).log(LOG);
    builder.probe_interval(Duration::from_millis(200)).probe_timeout(Duration::from_secs(1)).start().unwrap()
}

async fn two_on_redis(server: &redis_server::Server) -> Load {
    let names = Names::default();
    let nodes =
        vec![Node::start(on_redis(server), &names).await, Node::start(on_redis(server), &names).await];
    Load::start(nodes, names, 2)
}

async fn two_on_nats(server: &nats_server::NatsServer) -> Load {
    let names = Names::default();
    let nodes = vec![Node::start(on_nats(server), &names).await, Node::start(on_nats(server), &names).await];
    Load::start(nodes, names, 2)
}

fn print(what: &str, report: &Report) {
    println!("{what}, {:.1} s: {report:?}", report.seconds);
}

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_redis_took_is_lost_when_it_is_killed() {
    let Some(mut server) = redis_server::Server::start(&DURABLE).await else { return };
    let load = two_on_redis(&server).await;
    for _ in 0..3 {
        load.goes_on(SOME).await;
        server.kill();
        load.wait_until_ill().await;
        server.run().await;
        load.wait_until_healthy().await;
        load.goes_on(SOME).await;
    }
    let report = load.finish().await;
    print("redis killed three times", &report);
    assert_eq!((report.missed_logged, report.epochs), (0, 1));
    assert!(report.ups >= 6, "{report:?}");
    assert!(report.live_gaps >= report.ups, "each node reports each gap: {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_is_stopped() {
    let Some(server) = redis_server::Server::start(&[]).await else { return };
    let load = two_on_redis(&server).await;
    load.goes_on(SOME).await;
    server.suspend();
    load.wait_until_ill().await;
    server.resume();
    load.wait_until_healthy().await;
    load.goes_on(SOME).await;
    let report = load.finish().await;
    print("redis stopped", &report);
    assert_eq!((report.missed_logged, report.epochs), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_redis_begins_a_new_epoch_under_load() {
    let Some(mut server) = redis_server::Server::start(&[]).await else { return };
    let load = two_on_redis(&server).await;
    load.goes_on(SOME).await;
    server.kill();
    load.wait_until_ill().await;
    server.run().await;
    load.goes_on(SOME).await;
    let report = load.finish().await;
    print("redis restarted empty", &report);
    assert_eq!(report.epochs, 2);
    assert!(report.live_gaps >= 2 && report.logged_gaps >= 2, "{report:?}");
}

async fn on_cluster(cluster: &masters::Cluster, names: &Names) -> Load {
    let urls = || cluster.servers.iter().map(redis_server::Server::url);
    let node = || quick(RedisBackplane::builder(urls()).cluster());
    let nodes = vec![Node::start(node(), names).await, Node::start(node(), names).await];
    Load::start(nodes, names.clone(), 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_loses_is_reported() {
    let Some(mut cluster) = masters::Cluster::start(true).await else { return };
    let names = Names { live: cluster.topic_on(1, "news ").await, logged: cluster.topic_on(1, "log ").await };
    let load = on_cluster(&cluster, &names).await;
    load.goes_on(SOME).await;
    cluster.servers[1].wait_for_replica(&format!("{{t:{}}}", names.logged)).await;
    load.goes_on(SOME).await;
    cluster.servers[1].kill();
    load.wait_until_ill().await;
    load.wait_until_healthy().await;
    load.goes_on(SOME).await;
    let report = load.finish().await;
    print("a master of redis fails over", &report);
    assert_eq!(report.epochs, 1);
    assert!(report.live_gaps >= 2 && report.logged_gaps >= 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_no_entry() {
    let Some(cluster) = masters::Cluster::start(false).await else { return };
    let names = Names { live: cluster.topic_on(0, "news ").await, logged: cluster.topic_on(0, "log ").await };
    let load = on_cluster(&cluster, &names).await;
    load.goes_on(SOME).await;
    for topic in [&names.live, &names.logged] {
        let (slot, _) = cluster.home(topic).await;
        for (from, to) in [(0, 1), (1, 2)] {
            cluster.migrate(slot, from, to).await;
            load.goes_on(SOME).await;
        }
    }
    let report = load.finish().await;
    print("slots of redis move", &report);
    assert_eq!((report.missed_logged, report.epochs), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_nats_took_is_lost_when_it_is_killed() {
    let Some(mut server) = nats_server::NatsServer::start() else { return };
    let load = two_on_nats(&server).await;
    for _ in 0..3 {
        load.goes_on(SOME).await;
        server.kill();
        load.wait_until_ill().await;
        server.restart();
        load.wait_until_healthy().await;
        load.goes_on(SOME).await;
    }
    let report = load.finish().await;
    print("nats killed three times", &report);
    assert_eq!((report.missed_logged, report.epochs), (0, 1));
    assert!(report.ups >= 6, "{report:?}");
    assert!(report.live_gaps >= report.ups, "each node reports each gap: {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_nats_is_stopped() {
    let Some(server) = nats_server::NatsServer::start() else { return };
    let load = two_on_nats(&server).await;
    load.goes_on(SOME).await;
    server.pause();
    load.wait_until_ill().await;
    server.resume();
    load.wait_until_healthy().await;
    load.goes_on(SOME).await;
    let report = load.finish().await;
    print("nats stopped", &report);
    assert_eq!((report.missed_logged, report.epochs), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_nats_server_begins_a_new_epoch_under_load() {
    let Some(mut server) = nats_server::NatsServer::start() else { return };
    let load = two_on_nats(&server).await;
    load.goes_on(SOME).await;
    server.kill();
    load.wait_until_ill().await;
    server.restart_empty();
    load.goes_on(SOME).await;
    let report = load.finish().await;
    print("nats restarted empty", &report);
    assert_eq!(report.epochs, 2);
    assert!(report.live_gaps >= 2 && report.logged_gaps >= 2, "{report:?}");
}
