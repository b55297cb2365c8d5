//! Large messages beside small ones.

use crate::mouse::Mouse;
use crate::scale::scaled;
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{RawFrame, Side};
use std::sync::Arc;
use tokio::task::JoinSet;
use ws_server::Server;

const ELEPHANTS: Row = Row::new(36, "elephants beside mice");

#[test]
fn four_elephants_hold_up_no_mouse() {
    attack(async || {
        let size = scaled(16 << 20, 2 << 20);
        let frame = Arc::new(RawFrame::binary(vec![1; size]).encode(Side::Client));
        for kind in Kind::ALL {
            let (server, other) = (kind.echo(Server::builder()), kind.echo(Server::builder()));
            let mouse = Mouse::start(server.addr);
            mouse.echoes(20).await;
            let trample = async |server: &Victim| {
                let mut elephants = JoinSet::new();
                for _ in 0..4 {
                    let (frame, peer) = (Arc::clone(&frame), server.open().await);
                    elephants.spawn(async move {
                        let (mut reader, mut writer) = peer.into_connection().split();
                        for _ in 0..scaled(4, 2) {
                            // As bytes: taking them apart would cost the attacker more than they cost the server.
                            tokio::join!(writer.send_bytes(&**frame), reader.recv_bytes(10 + size));
                        }
                    });
                }
                elephants.join_all().await;
            };
            mouse.beside(scaled(6, 3), &other, &server, trample).await;
            let part = format!("4 who echo {} MiB each, others' echoes ({kind:?})", size >> 20);
            mouse.stop().check_turns(&ELEPHANTS, &part, 4);
            other.stop().await;
            server.stop().await;
        }
    });
}
