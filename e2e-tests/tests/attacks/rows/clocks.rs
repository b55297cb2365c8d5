//! Clocks that jump, and thousands of deadlines.

use crate::machine::{Machine, Seen};
use crate::measure::{Cpu, micros};
use crate::scale::{connections, number, optimized, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use std::fs;
use std::path::Path;
use std::time::Duration;
use ws_proto::Config;
use ws_server::Server;

const CLOCKS: Row = Row::new(25, "clocks and timers");

/// `Retry-After` may be a date (RFC 9110 section 10.2.3). It delays the next attempt of a client, up to a limit.
fn has_http_dates(path: &Path) -> bool {
    ["reconnecting/retry_after.rs", "reconnecting/http_date.rs"].iter().any(|file| path.ends_with(file))
}

/// The number of Rust files in a folder, and of occurrences of `what` in them.
fn occurrences(folder: &Path, what: &str) -> (usize, usize) {
    let (mut files, mut found) = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let (more, also) = occurrences(&path, what);
            (files, found) = (files + more, found + also);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !has_http_dates(&path) {
            files += 1;
            found += fs::read_to_string(&path).unwrap().matches(what).count();
        }
    }
    (files, found)
}

#[test]
fn nothing_depends_on_the_time_of_day() {
    attack(async || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (mut files, mut found) = (0, 0);
        for library in ["ws-proto", "ws-tokio", "ws-server", "ws-client"] {
            let (more, also) = occurrences(&workspace.join(library).join("src"), "SystemTime");
            assert!(more > 10, "{library} has too few files");
            (files, found) = (files + more, found + also);
        }
        CLOCKS.exactly(&format!("uses of the time of day in {files} files"), found, 0, "");
    });
}

#[test]
fn an_hour_that_passes_at_once_is_one_ping() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let mut machine = Machine::server(&config);
        let (mut pings, mut closed) = (0, 0);
        const SLEEPS: usize = 24;
        for _ in 0..SLEEPS {
            machine.pass(Duration::from_secs(3600));
            // The peer's machine was also suspended, and answers.
            machine.pass(Duration::from_millis(100));
            pings += std::mem::take(&mut machine.written)
                .iter()
                .filter(|byte| **byte == 0x80 | opcode::PING)
                .count();
            machine.receive(&RawFrame::pong("").encode(Side::Client));
            closed += machine.seen.drain(..).filter(|seen| matches!(seen, Seen::Closed(_))).count();
        }
        CLOCKS.exactly(&format!("{SLEEPS} jumps of one hour: pings"), pings, SLEEPS, "");
        CLOCKS.exactly(&format!("{SLEEPS} jumps of one hour: connections closed"), closed, 0, "");
    });
}

#[test]
fn ten_thousand_deadlines_cost_next_to_nothing() {
    attack(async || {
        let count = connections(10_000, 300);
        let window = scaled(Duration::from_secs(2), Duration::from_millis(500));
        let mut most = 0_f64;
        for kind in scaled(&Kind::ALL[..], &Kind::TWO[..]) {
            let server = kind.echo(Server::builder());
            let peers = server.open_many(count).await;
            server.quiet().await;
            let cpu = Cpu::start();
            tokio::time::sleep(window).await;
            // The timer wheel has ten ticks per second.
            most = most.max(micros(cpu.elapsed()) / (10.0 * window.as_secs_f64()));
            drop(peers);
            server.stop().await;
        }
        let part = format!("processor time of a tick with {} idle connections", number(count));
        CLOCKS.micros(&part, most, optimized(1000.0));
    });
}
