//! A process without free file descriptors.

use crate::measure::Cpu;
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::descriptors::Exhausted;
use e2e_tests::raw_peer::RawFrame;
use std::time::{Duration, Instant};
use ws_server::Server;

const NONE_LEFT: Row = Row::new(19, "no free descriptors");

#[test]
fn without_descriptors_a_server_waits_serves_and_comes_back() {
    attack(async || {
        let window = scaled(Duration::from_secs(3), Duration::from_secs(1));
        let (mut share, mut longest) = (0_f64, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let mut established = server.open().await;
            server.settled(1).await;
            let mut exhausted = Exhausted::new();
            exhausted.give_one();
            // The kernel completes the connection, and the server has no descriptor to accept it.
            let mut waiting = server.connect().await;
            let (cpu, start) = (Cpu::start(), Instant::now());
            while start.elapsed() < window {
                established.send(RawFrame::text("still served")).await;
                established.expect_text("still served").await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            share = share.max(cpu.elapsed().as_secs_f64() / start.elapsed().as_secs_f64() * 100.0);
            drop(exhausted);
            let freed = Instant::now();
            waiting.upgrade("/").await;
            longest = longest.max(freed.elapsed());
            drop((waiting, established));
            server.stop().await;
        }
        NONE_LEFT.line(
            "processor time without descriptors, while connections are served",
            format!("{share:.2} %"),
            "≤ 5 %",
            share <= 5.0,
        );
        // The longest pause between two attempts, plus the handshake.
        let bound = Duration::from_secs(1) + Duration::from_millis(scaled(100, 2000));
        NONE_LEFT.line(
            "a waiting connection is accepted",
            format!("{:.2} s after one is free", longest.as_secs_f64()),
            format!("≤ {:.1} s", bound.as_secs_f64()),
            longest <= bound,
        );
    });
}
