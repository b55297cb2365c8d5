//! `market-data`: a client that stays subscribed while its server is killed again and again.

use std::time::Duration;

use e2e_tests::harness::{self, Options};
use rustix::process::Signal;

use crate::program::{MARKET_DATA, Program, run};

/// An address of its own: no other test listens there, and a client's own port cannot be the server's.
const ADDR: &str = "127.77.0.1:0";

fn serve(addr: &str) -> (Program, String) {
    Program::server(MARKET_DATA, &["serve", addr], "listening on ws://")
}

/// What the client prints, checked line by line.
struct Watched {
    client: Program,
    last: Option<u64>,
    /// A gap that was reported before the next update.
    gap: Option<(u64, u64)>,
    connections: u64,
    updates: u64,
    missed: u64,
}

impl Watched {
    fn start(addr: &str, options: &[&str]) -> Self {
        let url = format!("ws://{addr}/");
        let args = [&["watch", &url, "--ticks", "--max-delay-ms", "100"], options].concat();
        let client = Program::start(MARKET_DATA, &args);
        Self { client, last: None, gap: None, connections: 0, updates: 0, missed: 0 }
    }

    /// Reads a line. Updates are consecutive, or the gap between them was reported.
    fn next(&mut self) -> String {
        let line = self.client.line();
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "up" => {
                self.connections += 1;
                assert_eq!(rest, self.connections.to_string());
            }
            "gap" => {
                let (start, end) = rest.split_once('-').unwrap();
                let gap = (start.parse().unwrap(), end.parse().unwrap());
                self.missed += gap.1 - gap.0 + 1;
                assert_eq!(self.gap.replace(gap), None);
            }
            "tick" => {
                let number: u64 = rest.parse().unwrap();
                let missing = self.last.filter(|last| last + 1 != number).map(|last| (last + 1, number - 1));
                assert_eq!(self.gap.take(), missing, "before {number}");
                self.last = Some(number);
                self.updates += 1;
            }
            "down" | "failed" => {}
            _ => assert!(!line.is_empty(), "the client has ended"),
        }
        line
    }

    /// Reads until there were this many more updates.
    fn updates(&mut self, count: u64) {
        let until = self.updates + count;
        while self.updates < until {
            self.next();
        }
    }
}

#[test]
fn a_server_that_is_killed_twenty_times_leaves_no_gap_unreported() {
    let options = Options { deadline: Duration::from_secs(300), ..Options::default() };
    harness::run_with(options, async {
        let (mut server, addr) = serve(ADDR);
        // Longer than the test: only a kill ends a connection.
        let mut watched = Watched::start(&addr, &["--keepalive-ms", "600000"]);
        for kill in 1..=20 {
            watched.updates(3);
            assert_eq!(watched.connections, kill);
            server.kill().await;
            while !watched.next().starts_with("down") {}
            (server, _) = serve(&addr);
        }
        watched.updates(3);
        assert_eq!(watched.connections, 21);
        let (mut updates, missed) = (watched.updates, watched.missed);
        watched.client.signal(Signal::INT);
        // What was on its way is still received.
        let summary = loop {
            let line = watched.next();
            if line.contains(" updates, ") {
                break line;
            }
            updates = watched.updates;
        };
        assert_eq!(summary, format!("{updates} updates, {missed} missed"));
        assert!(watched.client.line().starts_with("latency: median "));
        assert!(watched.client.end().await.status.success());
        assert!(missed > 0);
    });
}

#[test]
fn a_server_that_stops_is_found_dead_and_found_again() {
    harness::run(async {
        let (server, addr) = serve(ADDR);
        let mut watched = Watched::start(&addr, &["--keepalive-ms", "1000"]);
        watched.updates(3);
        server.signal(Signal::STOP);
        // The kernel still accepts connections for it, so the keepalive and the handshake's timeout find out.
        while !watched.next().starts_with("down") {}
        server.signal(Signal::CONT);
        watched.updates(3);
        assert!(watched.connections > 1);
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        let help = run(MARKET_DATA, &["--help"]).await;
        assert!(help.status.success() && help.stdout.starts_with("usage: market-data "));
        let wrong = "market-data: expected serve [ADDR] or watch URL\n";
        run(MARKET_DATA, &["sell"]).await.assert(2, "", wrong);
    });
}

#[test]
fn both_run_in_one_process() {
    harness::run(async {
        let mut both = Program::start(MARKET_DATA, &["--ticks"]);
        assert!(both.line().starts_with("listening on ws://127.0.0.1:"));
        assert_eq!(both.line(), "up 1");
        for _ in 0..3 {
            assert!(both.line().starts_with("tick "));
        }
        both.signal(Signal::INT);
        assert!(both.end().await.status.success());
    });
}
