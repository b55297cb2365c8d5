//! Our client with their servers.

use std::time::Duration;

use e2e_tests::{
    harness,
    peers::{Child, Installed, Peer},
};
use ws_client::{ClientStream, CloseCode, Connector, Message, WebSocket};

/// Starts their server and connects to it.
async fn open(peer: &Installed, options: &[&str], connector: Connector) -> (WebSocket<ClientStream>, Child) {
    let (mut server, url) = peer.server(options).await;
    let ws = connector.connect(&format!("{url}/path?a=b")).await.unwrap();
    server.expect_line("open /path?a=b").await;
    (ws, server)
}

async fn receive(ws: &mut WebSocket<ClientStream>) -> Option<Message> {
    tokio::time::timeout(Duration::from_secs(10), ws.recv()).await.expect("an echo takes no time")
}

async fn expect_echo(ws: &mut WebSocket<ClientStream>, message: Message) {
    ws.send(message.clone()).await.unwrap();
    assert!(receive(ws).await.as_ref() == Some(&message), "the echo of {} bytes differs", message.len());
}

/// Sends messages of each kind and checks their echoes.
pub(crate) async fn converse(ws: &mut WebSocket<ClientStream>) {
    for text in ["Hello", "Grüße, 世界, 🦀", ""] {
        expect_echo(ws, Message::text(text)).await;
    }
    for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20] {
        let payload: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
        expect_echo(ws, Message::binary(payload)).await;
    }
    expect_echo(ws, Message::text("ä".repeat(100_000))).await;
    ws.ping(b"not a message").await.unwrap();
    for number in 0..200 {
        ws.feed(format!("message {number}")).await.unwrap();
    }
    ws.flush().await;
    for number in 0..200 {
        assert_eq!(receive(ws).await, Some(Message::text(format!("message {number}"))));
    }
}

fn with(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        let (mut ws, mut server) = open(&peer, &[], Connector::new()).await;
        converse(&mut ws).await;
        let info = ws.close(CloseCode::NORMAL, "bye").await;
        assert!(info.is_clean(), "{info:?}");
        server.expect_line("closed 1000 bye").await;
        assert_eq!(server.stop().await, Vec::<String>::new());
    });
}

fn with_subprotocol(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        let connector = Connector::new().subprotocol("other").subprotocol("chat");
        let (mut ws, mut server) = open(&peer, &["--subprotocol", "chat"], connector).await;
        assert_eq!(ws.subprotocol(), Some("chat"));
        expect_echo(&mut ws, Message::text("x")).await;
        assert!(ws.close(CloseCode::new(3001).unwrap(), "bye").await.is_clean());
        server.expect_line("closed 3001 bye").await;
    });
}

/// Their server pings first and closes after the first echo; our client only reads.
fn pinged_and_closed_by(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        let options = ["--ping", "--close", "4000:enough"];
        let (mut ws, mut server) = open(&peer, &options, Connector::new()).await;
        ws.send("x").await.unwrap();
        assert_eq!(receive(&mut ws).await, Some(Message::text("x")));
        server.expect_line("pong").await;
        assert_eq!(receive(&mut ws).await, None);
        let info = ws.close_info().unwrap();
        assert!(info.is_clean(), "{info:?}");
        assert_eq!((info.code(), info.reason()), (4000, "enough"));
        server.expect_line("closed 4000 enough").await;
    });
}

/// Their server is killed.
fn abandoned_by(peer: Peer) {
    harness::run(async {
        let Some(peer) = peer.find() else { return };
        let (mut ws, server) = open(&peer, &[], Connector::new()).await;
        drop(server);
        assert_eq!(receive(&mut ws).await, None);
        assert_eq!(ws.close_info().unwrap().code(), 1006);
    });
}

#[test]
fn python_echoes_everything() {
    with(Peer::Python);
}

#[test]
fn python_agrees_on_a_subprotocol() {
    with_subprotocol(Peer::Python);
}

#[test]
fn python_pings_and_closes() {
    pinged_and_closed_by(Peer::Python);
}

#[test]
fn python_vanishes() {
    abandoned_by(Peer::Python);
}

#[test]
fn node_echoes_everything() {
    with(Peer::Node);
}

#[test]
fn node_agrees_on_a_subprotocol() {
    with_subprotocol(Peer::Node);
}

#[test]
fn node_pings_and_closes() {
    pinged_and_closed_by(Peer::Node);
}

#[test]
fn node_vanishes() {
    abandoned_by(Peer::Node);
}
