//! Messages that never end.

use crate::measure::Memory;
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_server::Server;

const UNFINISHED: Row = Row::new(12, "messages that never end");

/// Sends fragments with pings between them. Returns the code of the server's Close and the time until it arrived.
async fn dribble(peer: RawClient, pace: Duration) -> (u16, Duration) {
    let start = Instant::now();
    let (mut reader, mut writer) = peer.into_connection().split();
    writer.send(RawFrame::text("it begins").not_final()).await;
    let closed = async {
        loop {
            match reader.try_recv_frame().await {
                Ok(frame) if frame.close_code().is_none() => {}
                Ok(frame) => return frame.close_code().map_or(0, |(code, _)| code),
                Err(_) => return 0,
            }
        }
    };
    let dribbling = async {
        loop {
            tokio::time::sleep(pace).await;
            let frames = [RawFrame::continuation(".").not_final(), RawFrame::ping("")]
                .map(|frame| writer.encode(&frame));
            let _ = writer.try_send_bytes(frames.concat()).await;
        }
    };
    tokio::select! {
        code = closed => (code, start.elapsed()),
        () = dribbling => unreachable!("the message ends only with the connection"),
    }
}

#[test]
fn a_message_that_never_ends_is_ended_at_its_deadline() {
    attack(async || {
        let timeout = scaled(Duration::from_secs(5), Duration::from_millis(800));
        let count = connections(1000, 30);
        let (mut wrong, mut most) = (0, 0);
        let (mut earliest, mut latest) = (Duration::MAX, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().message_timeout(Some(timeout)));
            let peers = server.open_many(count).await;
            server.quiet().await;
            let memory = Memory::start();
            let mut dribbling = JoinSet::new();
            for peer in peers {
                dribbling.spawn(dribble(peer, timeout / 10));
            }
            for (code, after) in dribbling.join_all().await {
                wrong += usize::from(code != 1008);
                (earliest, latest) = (earliest.min(after), latest.max(after));
            }
            most = most.max(memory.peak() / count);
            server.settled(0).await;
            server.stop().await;
        }
        let part = format!("{} in fragments with pings between them", number(4 * count));
        UNFINISHED.exactly(&format!("{part}: not answered with 1008"), wrong, 0, "");
        UNFINISHED.at_most(&format!("{part}: memory per connection"), most, 4096, "bytes");
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let bound = timeout + Duration::from_millis(scaled(500, 3000));
        UNFINISHED.line(
            &format!("{part}, timeout {}: ended", seconds(timeout)),
            format!("after {} to {}", seconds(earliest), seconds(latest)),
            format!("{} to {}", seconds(timeout), seconds(bound)),
            // The server reads the clock once per tick.
            earliest + Duration::from_millis(200) >= timeout && latest <= bound,
        );
    });
}
