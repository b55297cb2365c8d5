//! Large messages beside small ones.

use crate::probe_client::ProbeClient;
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawFrame, Side};
use std::sync::Arc;
use tokio::task::JoinSet;
use ws_server::Server;

const LARGE: Row = Row::new(36, "large messages beside small ones");

#[test]
fn four_large_messages_do_not_delay_small_ones() {
    attack(async || {
        let size = scaled(16 << 20, 2 << 20);
        let frame = Arc::new(RawFrame::binary(vec![1; size]).encode(Side::Client));
        for kind in Kind::ALL {
            let (server, other) = (kind.echo(Server::builder()), kind.echo(Server::builder()));
            let probe = ProbeClient::start(server.addr);
            probe.echoes(20).await;
            let send_large = async |server: &TargetServer| {
                let mut clients = JoinSet::new();
                for _ in 0..4 {
                    let (frame, peer) = (Arc::clone(&frame), server.open().await);
                    clients.spawn(async move {
                        let (mut reader, mut writer) = peer.into_connection().split();
                        for _ in 0..scaled(4, 2) {
                            // Received as bytes: decoding would cost the attacker more than the server.
                            tokio::join!(writer.send_bytes(&**frame), reader.recv_bytes(10 + size));
                        }
                    });
                }
                clients.join_all().await;
            };
            probe.beside(scaled(6, 3), &other, &server, send_large).await;
            let part =
                format!("4 clients that echo {} MiB each, p99 of the small ones ({kind:?})", size >> 20);
            probe.stop().check_turns(&LARGE, &part, 4);
            other.stop().await;
            server.stop().await;
        }
    });
}
