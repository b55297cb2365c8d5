//! Messages of 0 or 1 byte for peers that do not read.

use crate::measure::Memory;
use crate::rows::broadcasts::subscribers;
use crate::rows::slow_readers::stalled;
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::{Kind, attack, small_send_buffers};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use ws_server::{Sender, Server, error::SendError, message::PreparedMessage};

const SMALL: Row = Row::new(39, "small messages for peers that do not read");

/// Sends to all until all queues are full. Runs on a thread that counts as the server's, because the queued messages
/// are the server's memory.
async fn fill(senders: Vec<Sender>, size: usize, is_prepared: bool) {
    let prepared = PreparedMessage::new(vec![b'x'; size]);
    let send = move |sender: &Sender| match is_prepared {
        true => sender.try_send_prepared(&prepared),
        false => sender.try_send(vec![b'x'; size]).map_err(|error| error.map(drop)),
    };
    let filling = std::thread::spawn(move || {
        let mut idle = 0;
        while idle < 20 {
            idle += 1;
            for sender in &senders {
                while send(sender) != Err(SendError::Full(())) {
                    idle = 0;
                }
            }
            // Queues have room again after the kernel takes bytes.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    while !filling.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    filling.join().unwrap();
}

#[test]
fn small_messages_take_little_more_memory_than_is_counted() {
    attack(async || {
        small_send_buffers();
        let (count, queue) = (scaled(50, 3), scaled(1 << 20, 1 << 18));
        for (what, size, is_prepared) in
            [("empty", 0, false), ("of 1 byte", 1, false), ("of 1 byte, prepared", 1, true)]
        {
            let (mut worst, mut most) = (0_f64, 0);
            for kind in Kind::ALL {
                let builder = Server::builder()
                    .write_queue_messages(65_536)
                    .write_queue_bytes(queue)
                    .write_timeout(None)
                    .keepalive(None);
                let (server, context) = subscribers(kind, builder);
                server.warm_up().await;
                let peers = stalled(&server, count).await;
                server
                    .until("all connections are open", || server.counts.opened.load(SeqCst) == count + 1)
                    .await;
                let senders = context.senders.lock().unwrap().split_off(1);
                server.quiet().await;
                let memory = Memory::start();
                fill(senders, size, is_prepared).await;
                server.quiet().await;
                let grown = usize::try_from(memory.grown()).unwrap_or(0);
                worst = worst.max(grown as f64 / server.handle.memory_used() as f64);
                most = most.max(grown / count);
                drop((peers, context));
                server.stop_within(Duration::from_millis(10)).await;
            }
            let part = format!("{what}, queue of {} KiB full, {} KiB per peer", queue / 1024, most / 1024);
            SMALL.ratio(&format!("{part}: memory, relative to the counted bytes"), worst, 1.5);
        }
    });
}
