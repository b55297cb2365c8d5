//! permessage-deflate on real connections (RFC 7692).

use e2e_tests::{
    harness::run,
    raw_peer::{RawClient, RawFrame},
    server::{Api, ServerRunner, start_echo},
};
use ws_client::{CloseCode, Connector, DeflateConfig, Message};
use ws_server::{Server, ServerBuilder};

fn keeping(config: DeflateConfig) -> DeflateConfig {
    let mut config = config;
    config.send_takeover = true;
    config.receive_takeover = true;
    config
}

fn compressing() -> ServerBuilder {
    Server::builder().deflate(Some(DeflateConfig::server()))
}

/// The server's answer to an offer.
async fn answer(builder: ServerBuilder, offer: &str) -> Option<String> {
    let server = start_echo(Api::Async, builder).await;
    let mut client = RawClient::connect(server.addr()).await;
    let request = client.request("/").with("Sec-WebSocket-Extensions", offer);
    client.send_bytes(request.to_bytes()).await;
    let head = client.recv_head().await;
    let answer =
        (head.status() == 101).then(|| head.header("Sec-WebSocket-Extensions").unwrap_or("").to_owned());
    drop(client);
    server.stop().await;
    answer
}

#[test]
fn an_offer_is_answered() {
    run(async {
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer(compressing(), "permessage-deflate").await.as_deref(), Some(plain));
        assert_eq!(answer(compressing(), "permessage-deflate; foo").await.as_deref(), Some(""));
        assert_eq!(answer(Server::builder(), "permessage-deflate").await.as_deref(), Some(""));
        // An offer that does not match the grammar fails the handshake (RFC 6455 section 9.1).
        assert_eq!(answer(compressing(), "permessage-deflate; =").await, None);
        assert_eq!(answer(Server::builder(), "permessage-deflate; a=\"b c\"").await, None);
    });
}

#[test]
fn every_combination_echoes() {
    run(async {
        for api in [Api::Handler, Api::Async] {
            for bits in 0..8_u8 {
                let choose = |config: DeflateConfig, keeps: bool, narrow: bool| {
                    let mut config = if keeps { keeping(config) } else { config };
                    config.threshold = 0;
                    if narrow {
                        config.send_window_bits = 9;
                        config.receive_window_bits = 10;
                    }
                    config
                };
                let config = choose(DeflateConfig::server(), bits & 1 != 0, bits & 4 != 0);
                let server = start_echo(api, Server::builder().deflate(Some(config))).await;
                let config = choose(DeflateConfig::client(), bits & 2 != 0, bits & 4 == 0);
                let connector = Connector::new().deflate(Some(config));
                let mut ws = connector.connect(&format!("ws://{}/", server.addr())).await.unwrap();
                assert!(ws.deflate_params().is_some());
                for size in [0, 1, 100, 5000, 70_000, 300_000, 2_000_000] {
                    let text: String = ('a'..='z').cycle().take(size).collect();
                    ws.send(text.as_str()).await.unwrap();
                    assert_eq!(ws.recv().await.unwrap().as_text(), Some(text.as_str()), "{bits} {size}");
                }
                assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
                server.stop().await;
            }
        }
    });
}

#[test]
fn many_messages_at_once_keep_their_order() {
    run(async {
        for api in [Api::Handler, Api::Async] {
            let server = start_echo(api, compressing()).await;
            let connector = Connector::new().deflate(Some(DeflateConfig::client()));
            let mut ws = connector.connect(&format!("ws://{}/", server.addr())).await.unwrap();
            for round in 0..20 {
                for number in 0..50 {
                    let size = if number == 25 { 400_000 } else { 1000 };
                    ws.feed(format!("{round} {number} {}", "x".repeat(size))).await.unwrap();
                }
                ws.flush().await;
                for number in 0..50 {
                    let message = ws.recv().await.unwrap();
                    assert!(message.as_text().unwrap().starts_with(&format!("{round} {number} x")));
                }
            }
            ws.close(CloseCode::NORMAL, "").await;
            server.stop().await;
        }
    });
}

#[test]
fn a_bomb_is_answered_with_1009_and_others_have_their_turns() {
    run(async {
        let limit = 8 * 1024 * 1024;
        for api in [Api::Handler, Api::Async] {
            let server = start_echo(api, compressing().max_message_size(limit)).await;
            let url = format!("ws://{}/", server.addr());
            let connector = Connector::new().deflate(Some(DeflateConfig::client()));
            let mut bomber = connector.connect(&url).await.unwrap();
            let mut other = ws_client::connect(&url).await.unwrap();
            let bombing = async {
                bomber.send(Message::binary(vec![0; limit + 1])).await.unwrap();
                assert!(bomber.recv().await.is_none());
                assert_eq!(bomber.close_info().unwrap().code(), 1009);
            };
            let chatting = async {
                for _ in 0..100 {
                    other.send("hello").await.unwrap();
                    assert!(other.recv().await.is_some());
                }
            };
            tokio::join!(bombing, chatting);
            other.close(CloseCode::NORMAL, "").await;
            server.stop().await;
        }
    });
}

#[test]
fn an_application_can_choose_what_is_compressed() {
    run(async {
        let server = ServerRunner::serve(compressing(), |mut ws| async move {
            while let Some(message) = ws.recv().await {
                ws.set_compression(message.as_text() == Some("compress"));
                ws.send("y".repeat(1000)).await.unwrap();
            }
        })
        .await;
        let mut client = RawClient::connect(server.addr()).await;
        let request = client.request("/").with("Sec-WebSocket-Extensions", "permessage-deflate");
        client.send_bytes(request.to_bytes()).await;
        assert_eq!(client.recv_head().await.status(), 101);
        client.reader.allow_compression();
        client.send(RawFrame::text("compress")).await;
        assert!(client.recv_frame().await.payload.len() < 100);
        client.send(RawFrame::text("do not")).await;
        assert_eq!(client.recv_frame().await.payload.len(), 1000);
        drop(client);
        server.stop().await;
    });
}
