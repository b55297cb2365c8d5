//! No memory for what a peer sends.

use crate::measure::fail_from;
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::time::Duration;
use ws_server::Server;

const NO_MEMORY: Row = Row::new(29, "no memory for a large message");

/// From this size on there is none.
const LIMITS: [usize; 3] = [64 * 1024, 200 * 1024, 700 * 1024];

/// Sends, and waits for the end; whether it came, with 1011 or by a reset.
async fn is_refused(mut peer: RawClient, bytes: &[u8]) -> bool {
    let _ = peer.writer.try_send_bytes(bytes).await;
    loop {
        match peer.try_recv_frame().await {
            Ok(frame) if frame.opcode == opcode::CLOSE => {
                return frame.close_code().map(|(code, _)| code) == Some(1011);
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn large() -> [Vec<u8>; 3] {
    let part = |frame: RawFrame| frame.encode(Side::Client);
    let piece = RawFrame::continuation(vec![1; 50_000]).not_final();
    let fragments = [RawFrame::binary("").not_final()].into_iter().chain(std::iter::repeat_n(piece, 40));
    let text = "€".repeat(400_000);
    [
        part(RawFrame::binary(vec![1; 2_000_000])),
        part(RawFrame::text(text)),
        fragments.flat_map(part).collect(),
    ]
}

async fn still_serves(server: &Victim) {
    let mut peer = server.open().await;
    peer.send(RawFrame::text("and on")).await;
    peer.expect_text("and on").await;
}

#[test]
fn a_message_without_memory_for_it_ends_its_connection_with_1011() {
    attack(async || {
        let (mut tried, mut otherwise) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().close_timeout(Duration::from_secs(1)));
            // The thread's buffers are made with the first connection.
            still_serves(&server).await;
            for limit in LIMITS {
                for bytes in large() {
                    let peer = server.open().await;
                    fail_from(limit);
                    tried += 1;
                    otherwise += usize::from(!is_refused(peer, &bytes).await);
                    still_serves(&server).await;
                    fail_from(usize::MAX);
                }
            }
            server.stop().await;
        }
        NO_MEMORY.exactly(
            &format!("{tried} messages of 1 to 2 MB, not answered with 1011"),
            otherwise,
            0,
            "",
        );
    });
}
