//! `polling-echo`: many connections of the protocol crate in one thread.

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};

use crate::{program::POLLING_ECHO, proto_echo::start};

#[test]
fn a_client_that_does_not_read_holds_up_only_itself_and_gets_every_answer() {
    const COUNT: usize = 64;
    harness::run(async {
        let (_server, addr) = start(POLLING_ECHO);
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
        let (_server, addr) = start(POLLING_ECHO);
        let client = RawClient::open(addr, "/").await;
        let (mut reader, mut writer) = client.into_connection().split();
        writer.send(RawFrame::text("last")).await;
        writer.half_close().await;
        reader.expect_text("last").await;
        reader.expect_eof().await;
    });
}

#[test]
fn a_client_whose_bytes_take_many_reads_keeps_them_apart_from_those_of_others() {
    const COUNT: usize = 40_000;
    harness::run(async {
        let (_server, addr) = start(POLLING_ECHO);
        let (mut reader, mut writer) = RawClient::open(addr, "/").await.into_connection().split();
        // Several times what one turn of the server reads.
        let sent = tokio::spawn(async move {
            let bytes: Vec<u8> = (0..COUNT)
                .flat_map(|index| writer.encode(&RawFrame::text(format!("{index:0>200}"))))
                .collect();
            writer.send_bytes(bytes).await;
            writer
        });
        let received = tokio::spawn(async move {
            for index in 0..COUNT {
                reader.expect_text(&format!("{index:0>200}")).await;
            }
            reader
        });
        let mut quick = RawClient::open(addr, "/").await;
        while !received.is_finished() {
            quick.send(RawFrame::text("quick")).await;
            quick.expect_text("quick").await;
        }
        sent.await.unwrap().send(RawFrame::close(1000, "")).await;
        received.await.unwrap().expect_close(1000).await;
    });
}
