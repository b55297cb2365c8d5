//! `echo-server`: what it prints and echoes, and how it shuts down.

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
#[cfg(unix)]
use rustix::process::Signal;

use crate::program::{ECHO_SERVER, Program, run};

/// The combinations of APIs and threads.
const MODES: [&[&str]; 9] = [
    &[],
    &["--api", "handler"],
    &["--api", "async"],
    &["--api", "async-lent"],
    &["--api", "handler", "--shards", "2"],
    &["--api", "handler", "--shards", "0"],
    &["--api", "async", "--shards", "2"],
    &["--api", "async-lent", "--shards", "2"],
    &["--api", "async", "--shards", "0"],
];

async fn open(addr: &str) -> RawClient {
    RawClient::open(addr.parse().expect("an address"), "/any/path?query").await
}

#[test]
fn text_and_binary_messages_are_echoed_unchanged() {
    harness::run(async {
        for args in MODES {
            let (_server, addr) = Program::echo_server(args);
            let mut client = open(&addr).await;
            client.send(RawFrame::text("grüße")).await;
            client.expect_text("grüße").await;
            client.send(RawFrame::binary([0, 255])).await;
            client.expect_binary(&[0, 255]).await;
            client.send(RawFrame::ping("p")).await;
            client.expect_pong(b"p").await;
            client.send(RawFrame::close(1000, "bye")).await;
            assert_eq!(client.expect_close(1000).await, "bye");
            client.expect_eof().await;
        }
    });
}

#[cfg(unix)]
#[test]
fn sigterm_and_sigint_shut_it_down_gracefully() {
    harness::run(async {
        for args in MODES {
            for signal in [Signal::TERM, Signal::INT] {
                let (server, addr) = Program::echo_server(args);
                let mut client = open(&addr).await;
                client.send(RawFrame::text("before")).await;
                client.expect_text("before").await;
                server.signal(signal);
                client.expect_close(1001).await;
                client.send(RawFrame::close(1001, "")).await;
                client.expect_eof().await;
                drop(client);
                server.end().await.assert(0, "", "ended: 1 connections closed cleanly, 0 otherwise\n");
            }
        }
    });
}

#[cfg(unix)]
#[test]
fn a_signal_directly_after_the_first_line_shuts_it_down() {
    harness::run(async {
        for _ in 0..20 {
            let (server, _) = Program::echo_server(&[]);
            server.signal(Signal::TERM);
            server.end().await.assert(0, "", "ended: 0 connections closed cleanly, 0 otherwise\n");
        }
    });
}

#[cfg(unix)]
#[test]
fn a_client_that_does_not_answer_the_close_does_not_prevent_the_shutdown() {
    harness::run(async {
        for args in MODES {
            let (server, addr) = Program::echo_server(&[args, &["--close-timeout-ms", "200"]].concat());
            let mut client = open(&addr).await;
            server.signal(Signal::TERM);
            client.expect_close(1001).await;
            server.end().await.assert(0, "", "ended: 0 connections closed cleanly, 1 otherwise\n");
        }
    });
}

#[test]
fn an_address_in_use_is_an_error_and_the_status_is_1() {
    harness::run(async {
        let (_server, addr) = Program::echo_server(&[]);
        let ended = run(ECHO_SERVER, &["--listen", &addr]).await;
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
        let expected = format!("echo-server: cannot listen on {addr}: ");
        assert!(ended.stderr.starts_with(&expected) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    });
}

#[test]
fn an_invalid_option_is_an_error_and_the_status_is_2() {
    harness::run(async {
        for (args, message) in [
            (&["--what"][..], "unknown option --what (--help shows all)"),
            (&["--listen"], "--listen needs a value"),
            (&["--api", "both"], "--api both: expected handler, async or async-lent"),
            (&["--max-message-size", "1MB"], "--max-message-size 1MB: expected a whole number"),
            (&["--idle-timeout-ms", "-5"], "--idle-timeout-ms -5: expected a whole number"),
            (&["--close-timeout-ms", "0"], "--close-timeout-ms 0: must be at least 1 ms"),
        ] {
            run(ECHO_SERVER, args).await.assert(2, "", &format!("echo-server: {message}\n"));
        }
    });
}

#[test]
fn help_lists_every_option_and_the_status_is_0() {
    harness::run(async {
        let help = run(ECHO_SERVER, &["--help"]).await;
        assert_eq!((help.status.code(), help.stderr.as_str()), (Some(0), ""));
        for option in [
            "--listen",
            "--api",
            "--shards",
            "--max-message-size",
            "--max-connections",
            "--max-handshakes",
            "--idle-timeout-ms",
            "--close-timeout-ms",
            "--handshake-timeout-ms",
            "--write-queue-messages",
            "--no-utf8",
            "--subprotocol",
            "--deflate",
            "--tls-cert",
            "--tls-key",
        ] {
            assert!(help.stdout.contains(option), "{option}");
        }
    });
}
