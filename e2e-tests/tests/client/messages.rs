//! Messages in both directions.

use e2e_tests::raw_peer::{RawAcceptor, RawFrame, opcode};
use ws_client::{CloseCode, Connector, Message, connect};

use crate::support::{open, open_with, run, soon};

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 % 251) as u8).collect()
}

#[test]
fn text_and_binary_are_received_as_they_were_sent() {
    run(async {
        let (mut ws, mut server) = open().await;
        for len in [0, 1, 125, 126, 127, 65535, 65536, 100_000, 1 << 20] {
            let (message, ()) = tokio::join!(soon(ws.recv()), server.send(RawFrame::binary(payload(len))));
            assert!(message == Some(Message::binary(payload(len))), "{len} bytes");
            let text = "ü".repeat(len / 2);
            let (message, ()) = tokio::join!(soon(ws.recv()), server.send(RawFrame::text(text.as_str())));
            assert!(message == Some(Message::text(text)), "{len} bytes");
        }
    });
}

#[test]
fn text_and_binary_are_sent_as_one_frame_each() {
    run(async {
        let (mut ws, mut server) = open().await;
        for len in [0, 1, 125, 126, 127, 65535, 65536, 100_000, 1 << 20] {
            let expected = payload(len);
            let (sent, ()) = tokio::join!(ws.send(payload(len)), server.expect_binary(&expected));
            sent.unwrap();
            let text = "ü".repeat(len / 2);
            let (sent, ()) = tokio::join!(ws.send(text.as_str()), server.expect_text(&text));
            sent.unwrap();
        }
    });
}

#[test]
fn a_message_of_16_mib_comes_and_goes() {
    run(async {
        let (mut ws, server) = open().await;
        let (mut reader, mut writer) = server.into_connection().split();
        let large = payload(16 << 20);
        let echo = async {
            let frame = reader.recv_frame().await;
            writer.send(RawFrame::binary(frame.payload)).await;
        };
        let client = async {
            ws.send(large.clone()).await.unwrap();
            soon(ws.recv()).await
        };
        let (message, ()) = tokio::join!(client, echo);
        assert!(message == Some(Message::binary(large)));
    });
}

#[test]
fn fragments_are_one_message() {
    run(async {
        let (mut ws, mut server) = open().await;
        for (fragments, expected) in [
            (vec!["Hel", "lo"], "Hello"),
            (vec!["", "all", ""], "all"),
            (vec!["", "", ""], ""),
            (vec!["one ", "two ", "three ", "four ", "five ", "six"], "one two three four five six"),
        ] {
            let last = fragments.len() - 1;
            for (at, fragment) in fragments.into_iter().enumerate() {
                let frame = if at == 0 { RawFrame::text(fragment) } else { RawFrame::continuation(fragment) };
                server.send(if at == last { frame } else { frame.not_final() }).await;
            }
            assert_eq!(soon(ws.recv()).await, Some(Message::text(expected)));
        }
        // Cut inside a character.
        let text = "grüße".as_bytes();
        server.send(RawFrame::text(&text[..3]).not_final()).await;
        server.send(RawFrame::continuation(&text[3..])).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::text("grüße")));
    });
}

#[test]
fn messages_keep_their_order() {
    run(async {
        let (mut ws, server) = open().await;
        let (mut reader, mut writer) = server.into_connection().split();
        let echo = tokio::spawn(async move {
            while let Ok(frame) = reader.try_recv_frame().await {
                if frame.opcode == opcode::CLOSE {
                    writer.send(RawFrame::close(1000, "")).await;
                    return;
                }
                writer.send(RawFrame::text(frame.payload)).await;
            }
        });
        for number in 0..100 {
            ws.send(number.to_string()).await.unwrap();
            assert_eq!(soon(ws.recv()).await, Some(Message::text(number.to_string())));
        }
        for number in 0..1000 {
            ws.feed(number.to_string()).await.unwrap();
        }
        ws.flush().await;
        for number in 0..1000 {
            assert_eq!(soon(ws.recv()).await, Some(Message::text(number.to_string())));
        }
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        echo.await.unwrap();
    });
}

#[test]
fn every_frame_has_a_fresh_mask() {
    run(async {
        let (mut ws, mut server) = open().await;
        let mut keys = std::collections::HashSet::new();
        for _ in 0..100 {
            ws.send("same").await.unwrap();
            ws.ping(b"same").await.unwrap();
            for _ in 0..2 {
                assert!(keys.insert(server.recv_frame().await.mask.unwrap()), "a key was used twice");
            }
        }
    });
}

#[test]
fn a_seed_repeats_the_masks_and_no_seed_does_not() {
    run(async {
        let mut masks = Vec::new();
        for connector in [
            Connector::new().mask_seed([1; 32]),
            Connector::new().mask_seed([1; 32]),
            Connector::new(),
            Connector::new(),
        ] {
            let (mut ws, mut server) = open_with(connector).await;
            ws.send("same").await.unwrap();
            masks.push(server.recv_frame().await.mask.unwrap());
        }
        assert_eq!(masks[0], masks[1]);
        assert!(masks[1] != masks[2] && masks[2] != masks[3]);
    });
}

#[test]
fn a_send_waits_for_a_server_that_does_not_read() {
    run(async {
        let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
        let url = acceptor.url("/");
        let (ws, mut server) = tokio::join!(connect(&url), acceptor.accept_upgraded());
        let mut ws = ws.unwrap();
        // More than the kernel's buffers and the queue hold.
        let messages = 200;
        let client = tokio::spawn(async move {
            let mut sent = 0;
            while sent < messages {
                ws.send(payload(256 << 10)).await.unwrap();
                sent += 1;
            }
            sent
        });
        // The server's pings are answered while the client waits in `send`, as soon as the server reads.
        server.send(RawFrame::ping("meanwhile")).await;
        assert!(!client.is_finished());
        let (mut data, mut pongs) = (0, 0);
        while data < messages {
            let frame = server.recv_frame().await;
            data += usize::from(frame.opcode == opcode::BINARY);
            pongs += usize::from(frame.opcode == opcode::PONG);
        }
        assert_eq!((client.await.unwrap(), pongs), (messages, 1));
    });
}

/// The memory of this process in bytes, or `None` if the system does not report it.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

#[test]
fn a_huge_send_leaves_no_memory_behind() {
    run(async {
        const LEN: usize = 64 << 20;
        let Some(before) = resident() else { return };
        let (mut ws, server) = open().await;
        let (mut reader, writer) = server.into_connection().split();
        let message = Message::binary(payload(LEN));
        // Shared, so that it cannot be masked in place.
        let shared = message.clone();
        let reading = async {
            for _ in 0..LEN / (1 << 20) {
                reader.recv_bytes(1 << 20).await;
            }
        };
        let (sent, ()) = tokio::join!(ws.send(shared), reading);
        sent.unwrap();
        drop((reader, writer, message));
        let after = resident().unwrap();
        assert!(after < before + LEN / 2, "{before} bytes before, {after} after");
        assert!(ws.is_open());
    });
}
