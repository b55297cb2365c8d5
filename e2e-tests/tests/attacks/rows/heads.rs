//! Request heads that are too large, too many, or too slow.

use crate::measure::{Cpu, Memory, micros, thread_time};
use crate::mouse::Mouse;
use crate::scale::{connections, number, optimized, scaled};
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{RawClient, RequestHead};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_proto::Limits;
use ws_proto::handshake::RequestReader;
use ws_server::Server;

const BOMB: Row = Row::new(2, "header bomb");

/// A head of about so many bytes that never ends, in lines of 100 bytes.
fn endless(bytes: usize) -> Vec<u8> {
    let line = format!("X-Padding: {}\r\n", "x".repeat(100 - 13));
    [b"GET / HTTP/1.1\r\n", line.repeat(bytes / 100 + 1).as_bytes()].concat()[..bytes].to_vec()
}

/// Processor time of looking at each prefix of `head`, as it grows by `step` bytes.
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
        // One byte below the limit, so that nothing is refused before it was all looked at.
        let head = endless(8 * 1024 - 1);
        BOMB.micros("looking at 8 KiB", drip(&head, head.len()), optimized(50.0));
        let (half, whole) = (drip(&head[..head.len() / 2], 1), drip(&head, 1));
        // Twice if each byte is looked at once, four times if all that is there is looked at again.
        BOMB.ratio("8 KiB byte by byte, beside 4 KiB", whole / half, scaled(2.5, 3.5));
    });
}

#[test]
fn heads_over_the_limits_are_431_and_cost_no_more_than_a_handshake() {
    attack(async || {
        let rounds = scaled(2000, 100);
        let (mut sent, mut otherwise, mut worst) = (0, 0, 0_f64);
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let request = RequestHead::new(server.addr, "/").to_bytes();
            let (good, _) = cost(&server, rounds, &request, 101).await;
            for bomb in [endless(8 * 1024), endless(100_000), lines(101), lines(1000)] {
                let (bad, wrong) = cost(&server, rounds, &bomb, 431).await;
                (sent, otherwise) = (sent + rounds, otherwise + wrong);
                worst = worst.max(bad / good);
            }
            server.stop().await;
        }
        let part = format!("{} heads over 8 KiB or 100 lines, not answered with 431", number(sent));
        BOMB.exactly(&part, otherwise, 0, "");
        BOMB.ratio(
            "processor time of a refusal, beside a handshake that is accepted",
            worst,
            scaled(3.0, 10.0),
        );
    });
}

/// Processor time of the server for one request, in microseconds, and how many got another answer than that.
async fn cost(server: &Victim, rounds: usize, request: &[u8], status: u16) -> (f64, usize) {
    let (cpu, mut otherwise) = (Cpu::start(), 0);
    for _ in 0..rounds {
        let mut peer = server.connect().await;
        // The rest may be refused once the answer is there.
        let _ = peer.writer.try_send_bytes(request).await;
        otherwise += usize::from(peer.recv_head().await.status() != status);
        peer.into_connection().reset();
    }
    server.settled(0).await;
    (micros(cpu.elapsed()) / rounds as f64, otherwise)
}

const SLOW: Row = Row::new(1, "slow handshakes");

/// What a peer has sent so far takes its memory, too.
const SENT: usize = 16;

/// What a peer saw.
struct Closed {
    after: Duration,
}

/// Sends a byte of a request every second, until the server has had enough.
async fn one_byte_a_second(peer: RawClient, pace: Duration, start: Instant) -> Closed {
    let request = peer.request("/").with("X-Padding", &"x".repeat(200)).to_bytes();
    let (mut reader, mut writer) = peer.into_connection().split();
    let mut bytes = request.iter();
    let answered = reader.try_recv_head();
    tokio::pin!(answered);
    loop {
        let byte = bytes.next().expect("the deadline comes first");
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
fn slow_handshakes_end_at_the_deadline_take_little_and_hold_up_nobody() {
    attack(async || {
        let count = connections(10_000, 300);
        let deadline = scaled(Duration::from_secs(10), Duration::from_millis(1500));
        let pace = deadline / 10;
        let (mut latest, mut earliest) = (Duration::ZERO, Duration::MAX);
        for kind in scaled(&Kind::TWO[..], &Kind::ALL[..]) {
            let server = kind.echo(Server::builder().handshake_timeout(deadline));
            let mouse = Mouse::start(server.addr);
            mouse.echoes(100).await;
            server.quiet().await;
            let memory = Memory::start();
            mouse.attacked(true);
            let mut peers = JoinSet::new();
            for _ in 0..count {
                let (start, peer) = (Instant::now(), server.connect().await);
                peers.spawn(one_byte_a_second(peer, pace, start));
            }
            server.until("handshakes", || server.handle.handshakes() == count).await;
            let most = usize::try_from(memory.grown()).unwrap_or(0) / count;
            SLOW.at_most(
                &format!("memory of each of {} ({kind:?})", number(count)),
                most,
                scaled(2048, 2560) + SENT,
                "bytes",
            );
            while let Some(peer) = peers.join_next().await {
                let Closed { after } = peer.unwrap();
                (latest, earliest) = (latest.max(after), earliest.min(after));
            }
            mouse.attacked(false);
            mouse.echoes(100).await;
            mouse.stop().check(&SLOW, &format!("{} of them, others' echoes ({kind:?})", number(count)));
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
