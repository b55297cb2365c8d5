//! `Config::auto_pong`, with handlers and async functions.

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, ServerRunner, close_normally, start_echo};
use ws_server::{Conn, Event, Handler, MessageRef, Rejection, Request, Server, ServerBuilder};

/// A handler that leaves pings to the library.
struct NoOnPing;

impl Handler for NoOnPing {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).unwrap();
    }
}

/// A handler whose `on_ping` answers in its own words, whatever `auto_pong` says.
struct OwnOnPing;

impl Handler for OwnOnPing {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).unwrap();
    }

    fn on_ping(&mut self, conn: &mut Conn<'_>, _payload: &[u8]) {
        conn.answer_ping(b"own");
    }
}

/// A handler that answers pings with [`Conn::pong`], then by a sender.
struct Ponging;

impl Handler for Ponging {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).unwrap();
    }

    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        conn.pong(&[b"own ", payload].concat()).unwrap();
        conn.sender().pong(&[b"sent ", payload].concat()).unwrap();
    }
}

fn with_auto_pong(on: bool) -> ServerBuilder {
    Server::builder().protocol(move |config| config.auto_pong = on)
}

/// Sends a ping and a message. Expects `pong`, if there is one, and the echo, and nothing else.
async fn expect_pong_and_echo(server: ServerRunner, pong: Option<&[u8]>) {
    let mut client = server.open().await;
    client.send_together(&[RawFrame::ping("there?"), RawFrame::text("next")]).await;
    if let Some(pong) = pong {
        client.expect_pong(pong).await;
    }
    client.expect_text("next").await;
    close_normally(client).await;
    server.stop().await;
}

#[test]
fn a_handler_without_on_ping_answers_pings_if_auto_pong_is_on() {
    harness::run(async {
        let server = ServerRunner::serve_handler::<NoOnPing>(with_auto_pong(true), ()).await;
        expect_pong_and_echo(server, Some(b"there?")).await;
    });
}

#[test]
fn a_handler_without_on_ping_answers_no_ping_if_auto_pong_is_off() {
    harness::run(async {
        let server = ServerRunner::serve_handler::<NoOnPing>(with_auto_pong(false), ()).await;
        expect_pong_and_echo(server, None).await;
    });
}

#[test]
fn an_on_ping_of_ones_own_decides_alone() {
    harness::run(async {
        for on in [true, false] {
            let server = ServerRunner::serve_handler::<OwnOnPing>(with_auto_pong(on), ()).await;
            expect_pong_and_echo(server, Some(b"own")).await;
        }
    });
}

#[test]
fn an_async_function_answers_pings_only_if_auto_pong_is_on() {
    harness::run(async {
        for (on, pong) in [(true, Some(&b"there?"[..])), (false, None)] {
            let server = start_echo(Api::Async, with_auto_pong(on)).await;
            let mut client = server.open().await;
            client.send_together(&[RawFrame::ping("there?"), RawFrame::text("next")]).await;
            if let Some(pong) = pong {
                client.expect_pong(pong).await;
            }
            client.expect_text("next").await;
            close_normally(client).await;
            server.stop().await;
        }
    });
}

/// Sends a ping to a server that answers with two pongs of its own, then a message.
async fn expect_two_pongs_and_echo(server: ServerRunner) {
    let mut client = server.open().await;
    client.send(RawFrame::ping("ping")).await;
    client.expect_pong(b"own ping").await;
    client.expect_pong(b"sent ping").await;
    client.send(RawFrame::text("next")).await;
    client.expect_text("next").await;
    close_normally(client).await;
    server.stop().await;
}

#[test]
fn without_auto_pong_a_handler_answers_with_pongs_of_its_own() {
    harness::run(async {
        let server = ServerRunner::serve_handler::<Ponging>(with_auto_pong(false), ()).await;
        expect_two_pongs_and_echo(server).await;
    });
}

#[test]
fn without_auto_pong_an_async_function_answers_with_pongs_of_its_own() {
    harness::run(async {
        let serve = |mut ws: ws_server::WebSocket<_>| async move {
            while let Some(event) = ws.recv_event().await {
                match event {
                    Event::Ping(payload) => {
                        ws.pong(&[b"own ", &payload[..]].concat()).await.unwrap();
                        ws.sender().pong(&[b"sent ", &payload[..]].concat()).unwrap();
                    }
                    Event::Message(message) => ws.send(message).await.unwrap(),
                    _ => {}
                }
            }
        };
        let server = ServerRunner::serve(with_auto_pong(false), serve).await;
        expect_two_pongs_and_echo(server).await;
    });
}
