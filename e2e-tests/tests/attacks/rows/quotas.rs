//! One address that tries to open all connections, and connections that together need more than the memory budget.

use crate::measure::Memory;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{Length, RawConnection, RawFrame, RequestHead, Side};
use std::time::Duration;
use tokio::net::TcpSocket;
use ws_server::Server;

const FULL: Row = Row::new(28, "more connections than the limit");

/// Sends a request from an address. Returns the connection and the response's status.
async fn connect_from(host: &str, server: &TargetServer) -> (RawConnection, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{host}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    let mut peer = RawConnection::new(stream, Side::Client).unwrap();
    peer.send_bytes(RequestHead::new(server.addr, "/").to_bytes()).await;
    let status = peer.recv_head().await.status();
    (peer, status)
}

#[test]
fn one_address_gets_its_share_and_others_get_theirs() {
    attack(async || {
        let (share, wanted) = (100, scaled(2000, 200));
        let (mut refused, mut others) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().max_connections_per_address(share));
            let mut open = Vec::new();
            for _ in 0..wanted {
                let (peer, status) = connect_from("127.0.0.1", &server).await;
                refused += usize::from(status == 429);
                open.extend((status == 101).then_some(peer));
            }
            for host in 2..12 {
                let (peer, status) = connect_from(&format!("127.0.0.{host}"), &server).await;
                others += usize::from(status == 101);
                open.push(peer);
            }
            drop(open);
            server.stop().await;
        }
        let part = format!("{} from one address, limit of {share}", number(4 * wanted));
        FULL.exactly(&format!("{part}: answered with 429"), refused, 4 * (wanted - share), "");
        FULL.exactly(&format!("{part}: accepted from 40 other addresses at that time"), others, 40, "");
    });
}

#[test]
fn all_connections_together_keep_to_the_memory_budget() {
    attack(async || {
        const MIB: usize = 1 << 20;
        let (budget, count) = (scaled(64, 16) * MIB, scaled(500, 60));
        let (mut peak, mut ended, mut probe_echoes) = (0, 0, 0);
        for kind in Kind::ALL {
            let builder = Server::builder()
                .max_message_size(MIB)
                .memory_budget(Some(budget))
                .close_timeout(Duration::from_millis(500));
            let server = kind.echo(builder);
            let (mut probe, mut peers) = (server.open().await, server.open_many(count).await);
            server.quiet().await;
            let memory = Memory::start();
            // The largest message allowed, without its last byte.
            let most =
                RawFrame::binary(vec![1; MIB - 1]).length(Length::Bits64(MIB as u64)).encode(Side::Client);
            for peer in &mut peers {
                let _ = peer.writer.try_send_bytes(&most).await;
            }
            server.until("a connection was ended", || server.handle.connections() <= count).await;
            server.quiet().await;
            peak = peak.max(memory.peak());
            ended += count + 1 - server.handle.connections();
            for number in 0..20 {
                probe.send(RawFrame::text(number.to_string())).await;
                probe.expect_text(&number.to_string()).await;
                probe_echoes += 1;
            }
            drop((probe, peers));
            server.stop().await;
        }
        let part =
            format!("{} unfinished messages of 1 MiB, budget of {} MiB", number(4 * count), budget / MIB);
        // The budget counts received bytes. A buffer that grows by doubling may be twice as large.
        FULL.at_most(&format!("{part}: peak memory"), peak / 1024, budget / 1024 * 2, "KiB");
        FULL.exactly(
            &format!("{part}, {} connections ended: echoes of others", number(ended)),
            probe_echoes,
            80,
            "",
        );
    });
}
