//! What `blocking-echo` and `polling-echo` have in common: echo servers of the protocol crate over sockets of their
//! own.

use std::net::SocketAddr;

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};

use crate::program::{BLOCKING_ECHO, ECHO_CLIENT, POLLING_ECHO, Program, run};

/// The programs and their names.
const SERVERS: [(&str, &str); 2] = [(BLOCKING_ECHO, "blocking-echo"), (POLLING_ECHO, "polling-echo")];

pub(crate) fn start(program: &str) -> (Program, SocketAddr) {
    let (server, addr) = Program::server(program, &["127.0.0.1:0"], "listening on ws://");
    (server, addr.parse().expect("an address"))
}

#[test]
fn they_echo_and_close() {
    harness::run(async {
        for (program, _) in SERVERS {
            let (_server, addr) = start(program);
            let ended = run(ECHO_CLIENT, &[&format!("ws://{addr}/"), "--count", "50"]).await;
            ended.assert(0, &"hello\n".repeat(50), "");
            let mut client = RawClient::open(addr, "/").await;
            client
                .send_together(&[
                    RawFrame::text("a").not_final(),
                    RawFrame::ping("p"),
                    RawFrame::continuation("b"),
                ])
                .await;
            client.expect_pong(b"p").await;
            client.expect_text("ab").await;
            let large = vec![7; 1 << 20];
            let connection = client.into_connection();
            let (mut reader, mut writer) = connection.split();
            tokio::join!(writer.send(RawFrame::binary(large.clone())), reader.expect_binary(&large));
            writer.send(RawFrame::close(4000, "bye")).await;
            assert_eq!(reader.expect_close(4000).await, "bye");
            reader.expect_eof().await;
        }
    });
}

#[test]
fn frames_sent_with_the_request_are_echoed() {
    harness::run(async {
        for (program, _) in SERVERS {
            let (_server, addr) = start(program);
            let mut client = RawClient::connect(addr).await;
            let mut bytes = client.request("/").to_bytes();
            bytes.extend(client.writer.encode(&RawFrame::text("early")));
            assert_eq!(client.upgrade_with(bytes).await.status(), 101);
            client.expect_text("early").await;
        }
    });
}

#[test]
fn an_invalid_request_gets_426_and_an_invalid_frame_1002() {
    harness::run(async {
        for (program, _) in SERVERS {
            let (_server, addr) = start(program);
            let mut client = RawClient::connect(addr).await;
            let head = client.upgrade_with(client.request("/").without("Upgrade").to_bytes()).await;
            assert_eq!(head.status(), 426);
            let mut client = RawClient::open(addr, "/").await;
            client.send(RawFrame::new(3, *b"")).await;
            client.expect_close(1002).await;
            client.expect_eof().await;
        }
    });
}

#[test]
fn an_address_in_use_is_an_error_and_the_status_is_1() {
    harness::run(async {
        for (program, name) in SERVERS {
            let (_server, addr) = start(program);
            let ended = run(program, &[&addr.to_string()]).await;
            assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
            assert!(ended.stderr.starts_with(&format!("{name}: {addr}: ")), "{}", ended.stderr);
        }
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        for (program, name) in SERVERS {
            run(program, &["--help"]).await.assert(0, &format!("usage: {name} [ADDR]\n"), "");
            let refusal = format!("{name}: invalid option '--what'\n");
            run(program, &["--what"]).await.assert(2, "", &refusal);
        }
    });
}
