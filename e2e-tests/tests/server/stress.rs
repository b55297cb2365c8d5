//! Many connections and messages at once, on one thread and on several.

use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, ObservedServer, close_normally, echo_test, start_echo, start_sharded_echo};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use ws_server::Server;

/// Runs `test` against echo servers of all kinds: both APIs, on one thread, on several, and on shards.
fn stress_test(test: impl AsyncFn(&ObservedServer)) {
    harness::run_with(Options { worker_threads: 3, ..Options::default() }, async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let server = start_echo(api, Server::builder()).await;
            test(&server).await;
            server.expect_alive().await;
            server.stop().await;
            println!("on shards");
            let server = start_sharded_echo(api, Server::builder(), 2).await;
            test(&server).await;
            server.expect_alive().await;
            server.stop().await;
        }
    });
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(task) = tasks.join_next().await {
        task.expect("a client's task");
    }
}

async fn expect_echo(client: &mut RawClient, message: &[u8]) {
    client.send(RawFrame::binary(message)).await;
    client.expect_binary(message).await;
}

#[test]
fn twenty_clients_open_and_close_at_once() {
    stress_test(async |server| {
        let mut tasks = JoinSet::new();
        for _ in 0..20 {
            let addr = server.addr();
            tasks.spawn(async move { close_normally(RawClient::open(addr, "/").await).await });
        }
        all(tasks).await;
    });
}

#[test]
fn four_tasks_with_five_clients_each_get_their_own_echoes() {
    stress_test(async |server| {
        let mut tasks = JoinSet::new();
        for task in 0..4 {
            let addr = server.addr();
            tasks.spawn(async move {
                let mut clients = Vec::new();
                for _ in 0..5 {
                    clients.push(RawClient::open(addr, "/").await);
                }
                for round in 0..20 {
                    for (number, client) in clients.iter_mut().enumerate() {
                        client.send(RawFrame::text(format!("{task} {number} {round}"))).await;
                    }
                    for (number, client) in clients.iter_mut().enumerate() {
                        client.expect_text(&format!("{task} {number} {round}")).await;
                    }
                }
                for client in clients {
                    close_normally(client).await;
                }
            });
        }
        all(tasks).await;
    });
}

#[test]
fn a_thousand_messages_one_by_one() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for number in 0..1000 {
            expect_echo(&mut client, format!("message {number}").as_bytes()).await;
        }
        close_normally(client).await;
    });
}

#[test]
fn different_clients_do_not_disturb_each_other() {
    stress_test(async |server| {
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let addr = server.addr();
            tasks.spawn(async move {
                for _ in 0..5 {
                    let mut text = RawClient::open(addr, "/").await;
                    text.send(RawFrame::text("text")).await;
                    let mut binary = RawClient::open(addr, "/").await;
                    expect_echo(&mut binary, &[0xFF; 10_000]).await;
                    let mut ping = RawClient::open(addr, "/").await;
                    ping.send(RawFrame::ping("ping")).await;
                    ping.expect_pong(b"ping").await;
                    RawClient::open(addr, "/").await.into_connection().reset();
                    let mut broken = RawClient::open(addr, "/").await;
                    broken.send(RawFrame::new(3, *b"")).await;
                    broken.expect_close(1002).await;
                    text.expect_text("text").await;
                    close_normally(text).await;
                    close_normally(binary).await;
                    drop(ping);
                }
            });
        }
        all(tasks).await;
    });
}

/// SplitMix64, a small generator of random numbers.
struct Random(u64);

impl Random {
    fn from(&mut self, range: std::ops::RangeInclusive<u64>) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let number = range.start() + mixed % (range.end() - range.start() + 1);
        usize::try_from(number).expect("a small range")
    }
}

/// A few messages, each whole, in fragments, in pieces, or with pings in between.
async fn random_conversation(addr: SocketAddr, seed: u64) {
    let mut random = Random(seed);
    let mut client = RawClient::open(addr, "/").await;
    for _ in 0..random.from(1..=6) {
        let largest = [10, 300, 70_000][random.from(0..=2)];
        let length = random.from(0..=largest);
        let message: Vec<u8> = (0..length).map(|_| random.from(32..=126) as u8).collect();
        let mut frames = Vec::new();
        let mut rest = &message[..];
        for number in (0..random.from(1..=4)).rev() {
            let part = if number == 0 { rest.len() } else { random.from(0..=rest.len() as u64) };
            let (payload, behind) = rest.split_at(part);
            rest = behind;
            let mut frame =
                if frames.is_empty() { RawFrame::text(payload) } else { RawFrame::continuation(payload) };
            frame.fin = number == 0;
            frames.push(frame);
        }
        let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| client.writer.encode(frame)).collect();
        let piece = random.from(50..=100_000);
        client.send_in_pieces(bytes.concat(), piece).await;
        client.expect_text(std::str::from_utf8(&message).expect("printable ASCII")).await;
        if random.from(0..=2) == 0 {
            client.send(RawFrame::ping("?")).await;
            client.expect_pong(b"?").await;
        }
    }
    match random.from(0..=2) {
        0 => drop(client),
        1 => client.into_connection().reset(),
        _ => close_normally(client).await,
    }
}

#[test]
fn random_conversations() {
    // WS_E2E_SEED repeats a run whose seed was printed.
    let seed = match std::env::var("WS_E2E_SEED") {
        Ok(seed) => seed.parse().expect("WS_E2E_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64),
    };
    println!("WS_E2E_SEED={seed}");
    stress_test(async |server| {
        let mut tasks = JoinSet::new();
        let mut random = Random(seed);
        for _ in 0..40 {
            let seed = random.from(0..=u64::MAX - 1) as u64;
            tasks.spawn(random_conversation(server.addr(), seed));
        }
        all(tasks).await;
    });
}

#[test]
fn a_broadcast_from_many_tasks_reaches_all_connections_in_order() {
    use tokio::sync::mpsc::unbounded_channel;
    harness::run_with(Options { worker_threads: 3, ..Options::default() }, async {
        let (sender, mut senders) = unbounded_channel();
        let script =
            e2e_tests::server::Script::new().on_open(move |conn| sender.send(conn.sender()).unwrap());
        let server = script.start(Server::builder()).await;
        let mut clients = Vec::new();
        let mut outlets = Vec::new();
        for _ in 0..30 {
            clients.push(server.open().await);
            outlets.push(senders.recv().await.unwrap());
        }
        let mut tasks = JoinSet::new();
        for task in 0..4_u8 {
            let outlets = outlets.clone();
            tasks.spawn(async move {
                for number in 0..100_u8 {
                    for outlet in &outlets {
                        outlet.send(vec![task, number]).await.unwrap();
                    }
                }
            });
        }
        for client in &mut clients {
            let mut next = [0; 4];
            for _ in 0..4 * 100 {
                let frame = client.recv_frame().await;
                let expected = &mut next[usize::from(frame.payload[0])];
                assert_eq!(frame.payload[1], *expected);
                *expected += 1;
            }
        }
        all(tasks).await;
        drop(clients);
        server.stop().await;
    });
}
