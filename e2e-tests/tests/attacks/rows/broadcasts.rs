//! Broadcasts, and a client that does not receive them.

use crate::measure::mark_as_attacker;
use crate::probe_client::ProbeClient;
use crate::rows::slow_readers::{Context, Subscriber};
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Counts, Kind, TargetServer, attack};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use ws_server::{Sender, Server, ServerBuilder, ServerStream, WebSocket, message::PreparedMessage};

const BROADCAST: Row = Row::new(40, "a broadcast");

const PAYLOAD: usize = 32;

/// Echoes, and adds its `Sender` to the context.
async fn subscribe(mut ws: WebSocket<ServerStream>, context: Context) {
    context.senders.lock().unwrap().push(ws.sender());
    context.counts.opened.fetch_add(1, SeqCst);
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

/// A server, with either API, whose connections add their `Sender`s to the context.
pub(super) fn subscribers(kind: Kind, builder: ServerBuilder) -> (TargetServer, Context) {
    let context = Context { senders: Arc::default(), counts: Arc::<Counts>::default() };
    let (counts, for_server) = (Arc::clone(&context.counts), context.clone());
    let server = match kind {
        Kind::HandlerTasks | Kind::HandlerShard => {
            kind.serve_handler::<Subscriber>(builder, counts, for_server)
        }
        Kind::AsyncTasks => TargetServer::start(builder, counts, |server| {
            server.serve(move |ws, _| subscribe(ws, for_server.clone()))
        }),
        Kind::AsyncShard => TargetServer::start(builder, counts, |server| async {
            server.sharded(1).serve(move |ws, _| subscribe(ws, for_server.clone())).await.unwrap()
        }),
    };
    (server, context)
}

/// Sends one message to all connections, from a thread of the application.
fn publish(senders: &Arc<Vec<Sender>>) -> std::thread::JoinHandle<()> {
    let senders = Arc::clone(senders);
    std::thread::spawn(move || {
        mark_as_attacker();
        let message = PreparedMessage::new(vec![b'x'; PAYLOAD]);
        for sender in &*senders {
            sender.try_send_prepared(&message).unwrap();
        }
    })
}

#[test]
fn a_broadcast_to_many_connections_does_not_delay_others() {
    attack(async || {
        let count = connections(10_000, 500) - 1;
        for kind in Kind::ALL {
            let (server, context) = subscribers(kind, Server::builder().keepalive(None));
            let mut peers = server.open_many(count).await;
            server.until("all connections are open", || server.counts.opened.load(SeqCst) == count).await;
            let senders = Arc::new(std::mem::take(&mut *context.senders.lock().unwrap()));
            let probe = ProbeClient::start(server.addr);
            probe.echoes(scaled(200, 30)).await;
            for _ in 0..scaled(30, 5) {
                probe.attacked(true);
                let publishing = publish(&senders);
                let last = peers.last_mut().unwrap();
                assert_eq!(last.recv_frame().await.payload.len(), PAYLOAD);
                // For the reduced scale, where a broadcast takes little time.
                probe.echoes(5).await;
                probe.attacked(false);
                publishing.join().unwrap();
                probe.echoes(5).await;
            }
            let part = format!("to {} connections, p99 of others' echoes ({kind:?})", number(count));
            probe.stop().check(&BROADCAST, &part);
            drop((peers, senders));
            server.stop().await;
        }
    });
}
