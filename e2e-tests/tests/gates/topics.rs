//! What topics cost: allocations per delivery, and memory per membership and per topic.

use crate::counting::{allocations, held};
use crate::server::upgraded;
use e2e_tests::harness;
use e2e_tests::server::ServerRunner;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use ws_server::topics::{Member, Topics};
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server, WebSocket};

const WARM_UP: usize = 20;
const ROUNDS: usize = 100;
/// Allocations of a publication, however many members it has.
const PER_PUBLICATION: u64 = 8;
/// The allocations that a run may have in addition, for the runtime and the shard.
const PER_RUN: u64 = 4;

/// Subscribes, and publishes every message.
struct Room(Arc<AtomicU64>);

impl Handler for Room {
    type Context = Arc<AtomicU64>;

    fn accept(_request: &mut Request, gauge: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(Arc::clone(gauge)))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.subscribe("room").expect("an open connection");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        self.0.store(allocations(), Ordering::Release);
        conn.topics().publish("room", message.into_message()).expect("room for it");
    }
}

/// Allocations of the server's thread in [`ROUNDS`] rounds, each with one publication to all members.
async fn allocations_with(members: usize) -> u64 {
    let gauge = Arc::<AtomicU64>::default();
    let server =
        ServerRunner::serve_handler_on_shards::<Room>(Server::builder(), 1, Arc::clone(&gauge)).await;
    let mut streams = Vec::with_capacity(members);
    for _ in 0..members {
        streams.push(upgraded(server.addr()).await);
    }
    let mut before = 0;
    for round in 0..WARM_UP + ROUNDS + 1 {
        if round == WARM_UP + 1 {
            before = gauge.load(Ordering::Acquire);
        }
        // A masked binary message of 4 bytes.
        streams[0].write_all(&[0x82, 0x84, 0, 0, 0, 0, 1, 2, 3, 4]).await.expect("the server reads");
        for stream in &mut streams {
            let mut frame = [0; 6];
            stream.read_exact(&mut frame).await.expect("a member gets it");
            assert_eq!(frame, [0x82, 4, 1, 2, 3, 4]);
        }
    }
    let allocated = gauge.load(Ordering::Acquire) - before;
    drop(streams);
    server.stop().await;
    allocated
}

#[test]
fn a_publication_allocates_nothing_per_member() {
    harness::run(async {
        for members in [2, 150] {
            let allocated = allocations_with(members).await;
            println!("{ROUNDS} publications to {members} members: {allocated} allocations");
            assert!(allocated <= ROUNDS as u64 * PER_PUBLICATION + PER_RUN, "{members}: {allocated}");
        }
    });
}

/// Connections without a server that are members.
fn members(topics: &Topics, count: usize) -> Vec<(WebSocket<DuplexStream>, Member)> {
    let config = ws_proto::Config::default().validate().expect("the defaults are valid");
    let join = |_| {
        let ws = WebSocket::server(duplex(1).0, config.clone());
        let member = topics.join(&ws.sender()).expect("an open connection");
        (ws, member)
    };
    (0..count).map(join).collect()
}

#[test]
fn a_membership_takes_at_most_64_bytes() {
    const CONNECTIONS: usize = 1000;
    const TOPICS: usize = 100;
    harness::run(async {
        let topics = Topics::new();
        let members = members(&topics, CONNECTIONS);
        let names: Vec<String> = (0..TOPICS).map(|topic| format!("room:{topic}")).collect();
        let before = held();
        for (_, member) in &members {
            for name in &names {
                member.subscribe(name).expect("room for it");
            }
        }
        // Whatever is executed late is executed.
        assert_eq!(members.iter().map(|(_, member)| member.waiting().messages).sum::<usize>(), 0);
        let each = (held() - before) as f64 / (CONNECTIONS * TOPICS) as f64;
        println!("a membership: {each} bytes");
        assert!(each <= 64.0, "{each}");
        for (_, member) in &members {
            member.leave();
        }
        let left = held() - before;
        println!("after all have left: {left} bytes");
        // Each delivery keeps a page of records.
        assert!(left <= 256 * 1024, "{left}");
    });
}

#[test]
fn a_topic_with_a_member_takes_at_most_600_bytes_and_is_freed_with_it() {
    const CONNECTIONS: usize = 1000;
    const TOPICS_EACH: usize = 100;
    const TOPICS: usize = CONNECTIONS * TOPICS_EACH;
    harness::run(async {
        let topics = Topics::new();
        let members = members(&topics, CONNECTIONS);
        let before = held();
        for (at, (_, member)) in members.iter().enumerate() {
            for topic in 0..TOPICS_EACH {
                member.subscribe(&format!("room:{at}:{topic}")).expect("room for it");
            }
        }
        assert_eq!(topics.topic_count(), TOPICS);
        let each = (held() - before) / TOPICS as isize;
        println!("a topic with one member: {each} bytes");
        assert!(each <= 600, "{each}");
        drop(members);
        assert_eq!(topics.topic_count(), 0);
        let left = held() - before;
        println!("after all are gone: {left} bytes");
        assert!(left <= 256 * 1024, "{left}");
    });
}
