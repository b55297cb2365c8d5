//! Destructors that panic outside callbacks: those of written payloads and of panic payloads.

use crate::probe_client::ProbeClient;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{BOOM, Counts, Kind, TargetServer, attack};
use bytes::Bytes;
use e2e_tests::raw_peer::RawFrame;
use std::panic::resume_unwind;
use std::sync::Arc;
use ws_server::{Conn, Handler, Message, MessageRef, Rejection, Request, Server, ServerStream, WebSocket};

const DESTRUCTORS: Row = Row::new(37, "destructors that panic");

/// The message that makes the server panic with such a payload.
const PANIC: &str = "panic";
/// One size that is written in place, and one that is copied next to the header.
const LENGTHS: [usize; 2] = [20_000, 100];

/// A payload whose destructor panics. The payload of that panic also panics when it is dropped.
struct Bomb(Vec<u8>);

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // As `panic!`, but without a message on stderr.
        resume_unwind(Box::new(Shrapnel));
    }
}

struct Shrapnel;

impl Drop for Shrapnel {
    fn drop(&mut self) {
        resume_unwind(Box::new("on purpose"));
    }
}

/// The answer to a message.
fn answer(message: &[u8], len: usize) -> Option<Bytes> {
    if message == PANIC.as_bytes() {
        resume_unwind(Box::new(Shrapnel));
    }
    (message == BOOM.as_bytes()).then(|| Bytes::from_owner(Bomb(vec![0; len])))
}

struct Explosive(usize);

impl Handler for Explosive {
    type Context = usize;

    fn accept(_request: &mut Request, len: &usize) -> Result<Self, Rejection> {
        Ok(Self(*len))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        match answer(message.as_bytes(), self.0) {
            Some(bomb) => drop(conn.send_binary(bomb)),
            None => drop(conn.send(message)),
        }
    }
}

async fn explosive(mut ws: WebSocket<ServerStream>, len: usize) {
    while let Some(message) = ws.recv().await {
        let reply = answer(message.as_bytes(), len).map_or(message, Message::binary);
        let _ = ws.send(reply).await;
    }
}

fn start(kind: Kind, len: usize) -> TargetServer {
    let (builder, counts) = (Server::builder(), Arc::<Counts>::default());
    match kind {
        Kind::HandlerTasks | Kind::HandlerShard => kind.serve_handler::<Explosive>(builder, counts, len),
        Kind::AsyncTasks => {
            TargetServer::start(builder, counts, move |server| server.serve(move |ws, _| explosive(ws, len)))
        }
        Kind::AsyncShard => TargetServer::start(builder, counts, move |server| async move {
            server.sharded(1).serve(move |ws, _| explosive(ws, len)).await.unwrap()
        }),
    }
}

/// Makes the server send this many payloads whose destructors panic, and panic once.
async fn explode(server: &TargetServer, count: usize, len: usize) {
    let mut peer = server.open().await;
    for _ in 0..count {
        peer.send(RawFrame::text(BOOM)).await;
        assert_eq!(peer.recv_frame().await.payload.len(), len);
    }
    peer.send(RawFrame::text(PANIC)).await;
    peer.expect_close(1011).await;
}

#[test]
fn destructors_that_panic_hold_up_no_other_connection() {
    attack(async || {
        let (rounds, count, bystanders) = (10, scaled(100, 10), scaled(100, 10));
        for kind in Kind::ALL {
            let (mut lost, mut unclean) = (0, 0);
            for len in LENGTHS {
                let (server, other) = (start(kind, len), start(kind, len));
                let probe = ProbeClient::start(server.addr);
                let mut peers = server.open_many(bystanders).await;
                probe.beside(rounds, &other, &server, async |server| explode(server, count, len).await).await;
                for peer in &mut peers {
                    peer.send(RawFrame::text("still here")).await;
                    lost += usize::from(peer.try_recv_frame().await.is_err());
                }
                let part = format!("{} payloads of {len} bytes, {kind:?}", number(rounds * count));
                probe.stop().check(&DESTRUCTORS, &format!("{part}: p99 of others' echoes"));
                drop(peers);
                server.settled(0).await;
                for server in [server, other] {
                    unclean += usize::from(server.stop().await.forced);
                }
            }
            DESTRUCTORS.exactly(&format!("{kind:?}: other connections lost"), lost, 0, "");
            DESTRUCTORS.exactly(&format!("{kind:?}: forced shutdowns"), unclean, 0, "");
        }
    });
}
