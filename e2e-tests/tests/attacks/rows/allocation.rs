//! The allocator has no memory for a peer's message.

use crate::measure::fail_from;
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::time::Duration;
use ws_server::Server;

const NO_MEMORY: Row = Row::new(29, "no memory for a large message");

/// Allocations of this size in bytes and more fail.
const LIMITS: [usize; 3] = [64 * 1024, 200 * 1024, 700 * 1024];

/// Sends the message and waits for the end. Returns whether the server sent a Close with 1011.
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

async fn still_serves(server: &TargetServer) {
    let mut peer = server.open().await;
    peer.send(RawFrame::text("and on")).await;
    peer.expect_text("and on").await;
}

#[test]
fn a_message_that_cannot_be_allocated_ends_its_connection_with_1011() {
    attack(async || {
        let (mut tried, mut wrong) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().close_timeout(Duration::from_secs(1)));
            // The first connection allocates the thread's buffers.
            still_serves(&server).await;
            for limit in LIMITS {
                for bytes in large() {
                    let peer = server.open().await;
                    fail_from(limit);
                    tried += 1;
                    wrong += usize::from(!is_refused(peer, &bytes).await);
                    still_serves(&server).await;
                    fail_from(usize::MAX);
                }
            }
            server.stop().await;
        }
        NO_MEMORY.exactly(&format!("{tried} messages of 1 to 2 MB, not answered with 1011"), wrong, 0, "");
    });
}
