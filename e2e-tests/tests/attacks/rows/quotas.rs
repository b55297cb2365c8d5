//! One address that wants all the places, and many connections that want all the memory.

use crate::measure::Memory;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{Length, RawConnection, RawFrame, RequestHead, Side};
use std::time::Duration;
use tokio::net::TcpSocket;
use ws_server::Server;

const FULL: Row = Row::new(28, "more connections than the server may have");

/// Knocks from an address; the connection, and what it was told.
async fn knock_from(host: &str, server: &Victim) -> (RawConnection, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{host}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    let mut peer = RawConnection::new(stream, Side::Client).unwrap();
    peer.send_bytes(RequestHead::new(server.addr, "/").to_bytes()).await;
    let status = peer.recv_head().await.status();
    (peer, status)
}

#[test]
fn one_address_gets_its_share_and_others_theirs() {
    attack(async || {
        let (share, wanted) = (100, scaled(2000, 200));
        let (mut refused, mut others) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().max_connections_per_address(share));
            let mut open = Vec::new();
            for _ in 0..wanted {
                let (peer, status) = knock_from("127.0.0.1", &server).await;
                refused += usize::from(status == 429);
                open.extend((status == 101).then_some(peer));
            }
            for host in 2..12 {
                let (peer, status) = knock_from(&format!("127.0.0.{host}"), &server).await;
                others += usize::from(status == 101);
                open.push(peer);
            }
            drop(open);
            server.stop().await;
        }
        let part = format!("{} from one address, {share} allowed", number(4 * wanted));
        FULL.exactly(&format!("{part}: answered with 429"), refused, 4 * (wanted - share), "");
        FULL.exactly(&format!("{part}: accepted from 40 other addresses meanwhile"), others, 40, "");
    });
}

#[test]
fn all_connections_together_keep_to_the_memory_budget() {
    attack(async || {
        const MIB: usize = 1 << 20;
        let (budget, count) = (scaled(64, 16) * MIB, scaled(500, 60));
        let (mut peak, mut ended, mut mice) = (0, 0, 0);
        for kind in Kind::ALL {
            let builder = Server::builder()
                .max_message_size(MIB)
                .memory_budget(Some(budget))
                .close_timeout(Duration::from_millis(500));
            let server = kind.echo(builder);
            let (mut mouse, mut peers) = (server.open().await, server.open_many(count).await);
            server.quiet().await;
            let memory = Memory::start();
            // All but the last byte of the largest message that there may be.
            let most =
                RawFrame::binary(vec![1; MIB - 1]).length(Length::Bits64(MIB as u64)).encode(Side::Client);
            for peer in &mut peers {
                let _ = peer.writer.try_send_bytes(&most).await;
            }
            server.until("somebody had to go", || server.handle.connections() <= count).await;
            server.quiet().await;
            peak = peak.max(memory.peak());
            ended += count + 1 - server.handle.connections();
            for number in 0..20 {
                mouse.send(RawFrame::text(number.to_string())).await;
                mouse.expect_text(&number.to_string()).await;
                mice += 1;
            }
            drop((mouse, peers));
            server.stop().await;
        }
        let part = format!("{} messages of 1 MiB begun, {} MiB for all", number(4 * count), budget / MIB);
        // What is counted are the bytes received; a buffer that grows by doubling may be twice as large.
        FULL.at_most(&format!("{part}: most memory"), peak / 1024, budget / 1024 * 2, "KiB");
        FULL.exactly(&format!("{part}, {} ended: echoes of others", number(ended)), mice, 80, "");
    });
}
