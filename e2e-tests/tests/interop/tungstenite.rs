//! tokio-tungstenite in both roles. It is a crate, so these tests always run.

use e2e_tests::{
    harness,
    server::{Api, start_echo},
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_tungstenite::{
    accept_async, connect_async,
    tungstenite::{
        Message as TheirMessage,
        protocol::{CloseFrame as TheirCloseFrame, frame::coding::CloseCode as TheirCloseCode},
    },
};
use ws_client::{CloseCode, Message, connect};
use ws_server::Server;

fn their_messages() -> Vec<TheirMessage> {
    let mut messages = vec![TheirMessage::text(""), TheirMessage::text("Grüße, 世界, 🦀")];
    messages.extend([0, 1, 125, 126, 65535, 65536, 1 << 20].map(|len| TheirMessage::binary(vec![7; len])));
    messages
}

#[test]
fn their_client_and_our_server() {
    harness::run(async {
        for api in Api::ALL {
            let mut server = start_echo(api, Server::builder()).await;
            let (mut client, _) = connect_async(format!("ws://{}/", server.addr())).await.unwrap();
            for message in their_messages() {
                client.send(message.clone()).await.unwrap();
                assert!(client.next().await.unwrap().unwrap() == message);
            }
            client.send(TheirMessage::Ping("p".into())).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), TheirMessage::Pong("p".into()));
            for number in 0..500 {
                client.feed(TheirMessage::text(number.to_string())).await.unwrap();
            }
            client.flush().await.unwrap();
            for number in 0..500 {
                assert_eq!(client.next().await.unwrap().unwrap(), TheirMessage::text(number.to_string()));
            }
            let frame = TheirCloseFrame { code: TheirCloseCode::Library(4000), reason: "bye".into() };
            client.close(Some(frame.clone())).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), TheirMessage::Close(Some(frame)));
            assert!(client.next().await.is_none());
            drop(client);
            let info = server.closed().await;
            assert!(info.is_clean());
            assert_eq!((info.code(), info.reason()), (4000, "bye"));
            server.stop().await;
        }
    });
}

/// Their echo server for one connection. Returns its URL, and the Close that it receives.
async fn their_server() -> (String, JoinHandle<Option<TheirCloseFrame>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut ws = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let mut close = None;
        while let Some(Ok(message)) = ws.next().await {
            match message {
                TheirMessage::Close(frame) => close = frame,
                TheirMessage::Text(text) if text == "ping me" => {
                    ws.send(TheirMessage::Ping("are you there?".into())).await.unwrap();
                }
                TheirMessage::Pong(payload) => ws.send(TheirMessage::Binary(payload)).await.unwrap(),
                data => ws.send(data).await.unwrap(),
            }
        }
        close
    });
    (url, server)
}

#[test]
fn our_client_and_their_server() {
    harness::run(async {
        let (url, server) = their_server().await;
        let mut ws = connect(&url).await.unwrap();
        let mut messages = vec![Message::text(""), Message::text("Grüße, 世界, 🦀")];
        messages.extend([0, 1, 125, 126, 65535, 65536, 1 << 20].map(|len| Message::binary(vec![7; len])));
        for message in messages {
            ws.send(message.clone()).await.unwrap();
            assert!(ws.recv().await == Some(message));
        }
        ws.send("ping me").await.unwrap();
        // The payload of our pong, sent back as a message.
        assert_eq!(ws.recv().await, Some(Message::binary("are you there?")));
        assert!(ws.close(CloseCode::new(4000).unwrap(), "bye").await.is_clean());
        let close = server.await.unwrap().unwrap();
        assert_eq!((u16::from(close.code), close.reason.as_str()), (4000, "bye"));
    });
}

#[test]
fn their_server_closes_and_our_client_answers() {
    harness::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = async {
            let mut ws = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            let frame = TheirCloseFrame { code: TheirCloseCode::Away, reason: "restart".into() };
            ws.close(Some(frame.clone())).await.unwrap();
            assert_eq!(ws.next().await.unwrap().unwrap(), TheirMessage::Close(Some(frame)));
            assert!(ws.next().await.is_none());
        };
        let client = async {
            let mut ws = connect(&url).await.unwrap();
            assert_eq!(ws.recv().await, None);
            ws.close_info().unwrap()
        };
        let (info, ()) = tokio::join!(client, server);
        assert_eq!((info.code(), info.reason(), info.is_clean()), (1001, "restart", true));
    });
}
