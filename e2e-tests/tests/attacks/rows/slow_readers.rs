//! Peers that do not read.

use crate::measure::{Cpu, Memory, micros};
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Counts, Kind, TargetServer, attack, small_send_buffers};
use e2e_tests::raw_peer::RawClient;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ws_server::{CloseInfo, Conn, Handler, MessageRef, Rejection, Request, Sender, Server, error::SendError};

const SLOW: Row = Row::new(17, "slow readers");

/// Adds each connection's `Sender` to the context, and echoes.
pub(super) struct Subscriber(Context);

#[derive(Clone)]
pub(super) struct Context {
    pub(super) senders: Arc<Mutex<Vec<Sender>>>,
    pub(super) counts: Arc<Counts>,
}

impl Handler for Subscriber {
    type Context = Context;

    fn accept(_request: &mut Request, context: &Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.senders.lock().unwrap().push(conn.sender());
        self.0.counts.opened.fetch_add(1, SeqCst);
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let _ = conn.send(message);
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, _info: &CloseInfo) {
        self.0.counts.closed.fetch_add(1, SeqCst);
    }
}

const QUEUE: usize = 64 * 1024;
const PAYLOAD: usize = 4 * 1024;
const READERS: usize = 10;

/// Peers with the smallest receive window that never read.
pub(super) async fn stalled(server: &TargetServer, count: usize) -> Vec<RawClient> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = RawClient::connect_with_receive_buffer(server.addr, 1024).await;
        peer.upgrade("/").await;
        peers.push(peer);
    }
    peers
}

/// Sends messages to all connections whose queues have room, and reads those of the reading peers.
async fn publish(senders: &[Sender], readers: &mut [RawClient], rounds: usize) -> f64 {
    let (payload, cpu) = (vec![b'x'; PAYLOAD], Cpu::start());
    for _ in 0..rounds {
        for sender in senders {
            sender.send(payload.clone()).await.unwrap();
        }
        for reader in readers.iter_mut() {
            assert_eq!(reader.recv_frame().await.payload.len(), PAYLOAD);
        }
    }
    micros(cpu.elapsed()) / (rounds * senders.len()) as f64
}

/// The shortest of many measurements. Other programs can only add to it. The cost of waking a thread depends on the
/// processor that the kernel has chosen for it, and can double the time of hundreds of messages in a row.
async fn cheapest(senders: &[Sender], readers: &mut [RawClient]) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..scaled(100, 5) {
        best = best.min(publish(senders, readers, scaled(50, 10)).await);
    }
    best
}

/// Sends until all queues are full. Runs on a thread that counts as the server's, because the queued messages are the
/// server's memory.
async fn fill(senders: &[Sender]) {
    let senders = senders.to_vec();
    let filling = std::thread::spawn(move || {
        let mut idle = 0;
        while idle < 20 {
            let taken = senders.iter().fold(false, |taken, sender| taken | fill_one(sender));
            idle = if taken { 0 } else { idle + 1 };
            // Queues have room again after the kernel takes bytes.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    while !filling.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    filling.join().unwrap();
}

/// Whether the queue accepted a message.
fn fill_one(sender: &Sender) -> bool {
    let mut taken = false;
    loop {
        match sender.try_send(vec![b'x'; PAYLOAD]) {
            Ok(()) => taken = true,
            Err(SendError::Full(_)) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn peers_that_do_not_read_take_the_memory_of_their_queues_and_are_given_up() {
    attack(async || {
        small_send_buffers();
        let count = connections(1000, 30);
        let timeout = scaled(Duration::from_secs(8), Duration::from_secs(5));
        for kind in [Kind::HandlerTasks, Kind::HandlerShard] {
            let context = Context { senders: Arc::default(), counts: Arc::default() };
            let builder = Server::builder()
                .write_queue_messages(10_000)
                .write_queue_bytes(QUEUE)
                .write_timeout(Some(timeout))
                .keepalive(None);
            let server =
                kind.serve_handler::<Subscriber>(builder, Arc::clone(&context.counts), context.clone());
            let mut readers = server.open_many(READERS).await;
            // A connection is counted before its handler's `on_open`.
            server.until("open", || server.counts.opened.load(SeqCst) == READERS).await;
            let reading = std::mem::take(&mut *context.senders.lock().unwrap());
            let alone = cheapest(&reading, &mut readers).await;
            let peers = stalled(&server, count).await;
            server.until("all", || server.counts.opened.load(SeqCst) == READERS + count).await;
            let senders = std::mem::take(&mut *context.senders.lock().unwrap());
            server.quiet().await;
            let memory = Memory::start();
            fill(&senders).await;
            let each = usize::try_from(memory.grown()).unwrap_or(0) / count;
            let filled = Instant::now();
            let beside = cheapest(&reading, &mut readers).await;
            server.until("given up", || server.counts.closed.load(SeqCst) == count).await;
            let (given_up, slack) = (filled.elapsed(), Duration::from_secs(scaled(1, 3)));
            let part = format!("{} peers that read nothing, {kind:?}", number(count));
            SLOW.at_most(
                &format!("{part}: memory per peer, queue of {QUEUE} bytes full"),
                each,
                QUEUE * 5 / 4,
                "bytes",
            );
            SLOW.line(
                &format!("{part}: all ended, write timeout of {} s", timeout.as_secs()),
                format!("after {:.2} s", given_up.as_secs_f64()),
                format!("≤ {:.2} s", (timeout + slack).as_secs_f64()),
                given_up <= timeout + slack,
            );
            SLOW.ratio(
                &format!("{part}: processor time of a message to others, relative to before"),
                beside / alone,
                scaled(1.25, 5.0),
            );
            drop((peers, senders, reading, readers));
            server.stop().await;
        }
    });
}
