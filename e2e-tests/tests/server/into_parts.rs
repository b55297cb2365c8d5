//! The transport that `into_parts` gives to the application.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, RawReader, RawWriter};
use e2e_tests::server::{ServerRunner, close_normally};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::unbounded_channel;
use ws_server::{Server, ServerStream};

/// Sends the bytes back until the end of the stream.
async fn echo_bytes(mut io: ServerStream) {
    let mut buffer = [0; 1000];
    while let Ok(read @ 1..) = io.read(&mut buffer).await {
        io.write_all(&buffer[..read]).await.unwrap();
    }
}

async fn expect_echo((reader, writer): &mut (RawReader, RawWriter), bytes: &[u8]) {
    writer.send_bytes(bytes).await;
    assert_eq!(reader.recv_bytes(bytes.len()).await, bytes);
}

#[test]
fn it_can_be_used_where_the_connection_was_served() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            ws.recv().await.unwrap();
            let mut io = ws.into_parts().unwrap().io;
            io.write_all(b"ready").await.unwrap();
            echo_bytes(io).await;
        })
        .await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        let mut client = client.into_connection().split();
        assert_eq!(client.0.recv_bytes(5).await, b"ready");
        for _ in 0..3 {
            expect_echo(&mut client, b"hello").await;
        }
        client.1.half_close().await;
        assert!(client.0.recv_to_eof().await.is_empty());
        server.stop().await;
    });
}

#[test]
fn it_can_be_used_in_another_runtime_once_the_connection_has_ended() {
    harness::run(async {
        let (sender, mut receiver) = unbounded_channel();
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            let sender = sender.clone();
            async move {
                while let Some(message) = ws.recv().await {
                    if message.as_text() == Some("leave") {
                        sender.send(ws.into_parts().unwrap().io).unwrap();
                        return;
                    }
                    ws.send(message).await.unwrap();
                }
            }
        })
        .await;
        let mut first = server.open().await;
        first.send(RawFrame::text("leave")).await;
        let echoing = tokio::spawn(echo_bytes(receiver.recv().await.unwrap()));
        server.wait_for_connections(0).await;
        let mut first = first.into_connection().split();
        expect_echo(&mut first, b"hello").await;
        // Its number on the shard was free.
        let mut second = server.open().await;
        second.send(RawFrame::text("hi")).await;
        second.expect_text("hi").await;
        expect_echo(&mut first, b"hello").await;
        drop(first);
        echoing.await.unwrap();
        second.send(RawFrame::text("hi")).await;
        second.expect_text("hi").await;
        close_normally(second).await;
        server.stop().await;
    });
}
