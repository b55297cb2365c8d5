//! `polling-echo`: the protocol crate over polled sockets, many in one thread.

use std::net::SocketAddr;

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};

use crate::program::{ECHO_CLIENT, POLLING_ECHO, Program, run};

fn start() -> (Program, SocketAddr) {
    let (server, addr) = Program::server(POLLING_ECHO, &["127.0.0.1:0"], "listening on ws://");
    (server, addr.parse().expect("an address"))
}

#[test]
fn it_echoes_and_closes() {
    harness::run(async {
        let (_server, addr) = start();
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
    });
}

#[test]
fn frames_sent_with_the_request_are_echoed() {
    harness::run(async {
        let (_server, addr) = start();
        let mut client = RawClient::connect(addr).await;
        let mut bytes = client.request("/").to_bytes();
        bytes.extend(client.writer.encode(&RawFrame::text("early")));
        assert_eq!(client.upgrade_with(bytes).await.status(), 101);
        client.expect_text("early").await;
    });
}

#[test]
fn an_invalid_request_gets_426_and_an_invalid_frame_1002() {
    harness::run(async {
        let (_server, addr) = start();
        let mut client = RawClient::connect(addr).await;
        let head = client.upgrade_with(client.request("/").without("Upgrade").to_bytes()).await;
        assert_eq!(head.status(), 426);
        let mut client = RawClient::open(addr, "/").await;
        client.send(RawFrame::new(3, *b"")).await;
        client.expect_close(1002).await;
        client.expect_eof().await;
    });
}

#[test]
fn an_address_in_use_is_an_error_and_the_status_is_1() {
    harness::run(async {
        let (_server, addr) = start();
        let ended = run(POLLING_ECHO, &[&addr.to_string()]).await;
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.starts_with(&format!("polling-echo: {addr}: ")), "{}", ended.stderr);
    });
}

#[test]
fn help_has_the_status_0_and_an_invalid_option_2() {
    harness::run(async {
        run(POLLING_ECHO, &["--help"]).await.assert(0, "usage: polling-echo [ADDR]\n", "");
        run(POLLING_ECHO, &["--what"]).await.assert(2, "", "polling-echo: invalid option '--what'\n");
    });
}

#[test]
fn a_client_that_does_not_read_holds_up_only_itself_and_gets_every_answer() {
    const COUNT: usize = 64;
    harness::run(async {
        let (_server, addr) = start();
        let slow = RawClient::open(addr, "/").await.into_connection();
        let (mut reader, mut writer) = slow.split();
        let large = vec![9; 1 << 20];
        // Far more than the kernel and the write queue hold, and small messages behind each large one.
        let sent = tokio::spawn({
            let large = large.clone();
            async move {
                for index in 0..COUNT {
                    writer.send(RawFrame::binary(large.clone())).await;
                    writer.send(RawFrame::text(index.to_string())).await;
                }
                writer
            }
        });
        let mut quick = RawClient::open(addr, "/").await;
        for _ in 0..20 {
            quick.send(RawFrame::text("quick")).await;
            quick.expect_text("quick").await;
        }
        for index in 0..COUNT {
            reader.expect_binary(&large).await;
            reader.expect_text(&index.to_string()).await;
        }
        let mut writer = sent.await.unwrap();
        writer.send(RawFrame::close(1000, "")).await;
        reader.expect_close(1000).await;
        reader.expect_eof().await;
    });
}

#[test]
fn what_was_accepted_is_answered_after_the_peers_end_of_stream() {
    harness::run(async {
        let (_server, addr) = start();
        let client = RawClient::open(addr, "/").await;
        let (mut reader, mut writer) = client.into_connection().split();
        writer.send(RawFrame::text("last")).await;
        writer.half_close().await;
        reader.expect_text("last").await;
        reader.expect_eof().await;
    });
}
