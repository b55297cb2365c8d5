//! Request heads that are too large or too slow, and too many of them.

use crate::measure::{Cpu, Memory, micros, thread_time};
use crate::probe_client::ProbeClient;
use crate::scale::{connections, number, optimized, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RequestHead};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_proto::Limits;
use ws_proto::handshake::RequestReader;
use ws_server::Server;

const BOMB: Row = Row::new(2, "header bomb");

/// An unfinished head of about this many bytes, in lines of 100 bytes.
fn endless(bytes: usize) -> Vec<u8> {
    let line = format!("X-Padding: {}\r\n", "x".repeat(100 - 13));
    [b"GET / HTTP/1.1\r\n", line.repeat(bytes / 100 + 1).as_bytes()].concat()[..bytes].to_vec()
}

/// Processor time of parsing each prefix of `head`, in steps of `step` bytes.
fn drip(head: &[u8], step: usize) -> f64 {
    const ROUNDS: u32 = 20;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = thread_time();
        let mut reader = RequestReader::new(&Limits::default());
        for end in (step..=head.len()).step_by(step) {
            let _ = std::hint::black_box(reader.read(&head[..end]));
        }
        best = best.min(thread_time() - start);
    }
    micros(best)
}

#[test]
fn a_head_of_8_kib_is_looked_at_once_however_it_comes() {
    attack(async || {
        // One byte below the limit, so that the parser reads all of it.
        let head = endless(8 * 1024 - 1);
        BOMB.micros("parsing 8 KiB", drip(&head, head.len()), optimized(50.0));
        let (half, whole) = (drip(&head[..head.len() / 2], 1), drip(&head, 1));
        // The ratio is 2 if each byte is parsed once, and 4 if each step parses the head again.
        BOMB.ratio("8 KiB byte by byte: processor time, relative to 4 KiB", whole / half, scaled(2.5, 3.5));
    });
}

#[test]
fn heads_over_the_limits_are_431_and_cost_no_more_than_a_handshake() {
    attack(async || {
        let rounds = scaled(2000, 100);
        let (mut sent, mut wrong, mut worst) = (0, 0, 0_f64);
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let request = RequestHead::new(server.addr, "/").to_bytes();
            let (good, _) = cost(&server, rounds, &request, 101).await;
            for bomb in [endless(8 * 1024), endless(100_000), lines(101), lines(1000)] {
                let (bad, other) = cost(&server, rounds, &bomb, 431).await;
                (sent, wrong) = (sent + rounds, wrong + other);
                worst = worst.max(bad / good);
            }
            server.stop().await;
        }
        let part = format!("{} heads over 8 KiB or 100 lines: not answered with 431", number(sent));
        BOMB.exactly(&part, wrong, 0, "");
        BOMB.ratio(
            "processor time of a refusal, relative to an accepted handshake",
            worst,
            scaled(3.0, 10.0),
        );
    });
}

/// The server's processor time per request in microseconds, and the number of requests with another answer than
/// expected.
async fn cost(server: &TargetServer, rounds: usize, request: &[u8], status: u16) -> (f64, usize) {
    let (cpu, mut wrong) = (Cpu::start(), 0);
    for _ in 0..rounds {
        let mut peer = server.connect().await;
        // The server may reset the connection after its answer, while the rest is being sent.
        let _ = peer.writer.try_send_bytes(request).await;
        wrong += usize::from(peer.recv_head().await.status() != status);
        peer.into_connection().reset();
    }
    server.settled(0).await;
    (micros(cpu.elapsed()) / rounds as f64, wrong)
}

const SLOW: Row = Row::new(1, "slow handshakes");

/// Memory for the bytes that a peer has sent so far.
const SENT: usize = 16;

/// When the server closed a connection.
struct Closed {
    after: Duration,
}

/// Sends a byte of a request every second until the server closes.
async fn one_byte_a_second(peer: RawClient, pace: Duration, start: Instant) -> Closed {
    let request = peer.request("/").with("X-Padding", &"x".repeat(200)).to_bytes();
    let (mut reader, mut writer) = peer.into_connection().split();
    let mut bytes = request.iter();
    let answered = reader.try_recv_head();
    tokio::pin!(answered);
    loop {
        let byte = bytes.next().expect("the deadline passes before the request is complete");
        if writer.try_send_bytes([*byte]).await.is_err() {
            break;
        }
        tokio::select! {
            _ = &mut answered => break,
            () = tokio::time::sleep(pace) => {}
        }
    }
    Closed { after: start.elapsed() }
}

#[test]
fn slow_handshakes_end_at_the_deadline_take_little_memory_and_delay_no_other_connection() {
    attack(async || {
        let count = connections(10_000, 300);
        let deadline = scaled(Duration::from_secs(10), Duration::from_millis(1500));
        let pace = deadline / 10;
        let (mut latest, mut earliest) = (Duration::ZERO, Duration::MAX);
        for kind in scaled(&Kind::TWO[..], &Kind::ALL[..]) {
            let server = kind.echo(Server::builder().handshake_timeout(deadline));
            let probe = ProbeClient::start(server.addr);
            probe.echoes(100).await;
            server.quiet().await;
            let memory = Memory::start();
            probe.attacked(true);
            let mut peers = JoinSet::new();
            for _ in 0..count {
                let (start, peer) = (Instant::now(), server.connect().await);
                peers.spawn(one_byte_a_second(peer, pace, start));
            }
            server.until("handshakes", || server.handle.handshakes() == count).await;
            let most = usize::try_from(memory.grown()).unwrap_or(0) / count;
            SLOW.at_most(
                &format!("memory per connection, {} connections ({kind:?})", number(count)),
                most,
                scaled(2048, 2560) + SENT,
                "bytes",
            );
            while let Some(peer) = peers.join_next().await {
                let Closed { after } = peer.unwrap();
                (latest, earliest) = (latest.max(after), earliest.min(after));
            }
            probe.attacked(false);
            probe.echoes(100).await;
            probe
                .stop()
                .check(&SLOW, &format!("{} connections, p99 of others' echoes ({kind:?})", number(count)));
            server.stop().await;
        }
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let margin = scaled(Duration::from_secs(1), Duration::from_secs(3));
        SLOW.line(
            "closed",
            format!("after {} to {}", seconds(earliest), seconds(latest)),
            format!("{} to {}", seconds(deadline), seconds(deadline + margin)),
            earliest >= deadline && latest <= deadline + margin,
        );
    });
}
