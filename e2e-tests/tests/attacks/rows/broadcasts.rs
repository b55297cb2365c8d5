//! Messages to everybody, and somebody who is not among them.

use crate::measure::on_the_outside;
use crate::mouse::Mouse;
use crate::rows::slow_readers::{Context, Subscriber};
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::victim::{Counts, Kind, Victim, attack};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use ws_server::{PreparedMessage, Sender, Server, ServerBuilder, WebSocket};

const BROADCAST: Row = Row::new(40, "a broadcast");

const PAYLOAD: usize = 32;

/// Echoes, and hands its sender out.
async fn subscribe(mut ws: WebSocket, context: Context) {
    context.senders.lock().unwrap().push(ws.sender());
    context.counts.opened.fetch_add(1, SeqCst);
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

/// A server of either style whose connections hand their senders out.
pub(super) fn subscribers(kind: Kind, builder: ServerBuilder) -> (Victim, Context) {
    let context = Context { senders: Arc::default(), counts: Arc::<Counts>::default() };
    let (counts, for_server) = (Arc::clone(&context.counts), context.clone());
    let server = match kind {
        Kind::HandlerTasks | Kind::HandlerShard => kind.run::<Subscriber>(builder, counts, for_server),
        Kind::AsyncTasks => {
            Victim::start(builder, counts, |server| server.serve(move |ws| subscribe(ws, for_server.clone())))
        }
        Kind::AsyncShard => Victim::start(builder, counts, |server| async {
            server.serve_sharded(1, move |ws, _| subscribe(ws, for_server.clone())).await.unwrap()
        }),
    };
    (server, context)
}

/// One message to all, from a thread of the application's.
fn publish(senders: &Arc<Vec<Sender>>) -> std::thread::JoinHandle<()> {
    let senders = Arc::clone(senders);
    std::thread::spawn(move || {
        on_the_outside();
        let message = PreparedMessage::new(vec![b'x'; PAYLOAD]);
        for sender in &*senders {
            sender.try_send_prepared(&message).unwrap();
        }
    })
}

#[test]
fn a_broadcast_holds_up_nobody_else_however_many_it_goes_to() {
    attack(async || {
        let count = connections(10_000, 500) - 1;
        for kind in Kind::ALL {
            let (server, context) = subscribers(kind, Server::builder().keepalive(None));
            let mut peers = server.open_many(count).await;
            server.until("all", || server.counts.opened.load(SeqCst) == count).await;
            let senders = Arc::new(std::mem::take(&mut *context.senders.lock().unwrap()));
            let mouse = Mouse::start(server.addr);
            mouse.echoes(scaled(200, 30)).await;
            for _ in 0..scaled(30, 5) {
                mouse.attacked(true);
                let publishing = publish(&senders);
                let last = peers.last_mut().unwrap();
                assert_eq!(last.recv_frame().await.payload.len(), PAYLOAD);
                // For the reduced scale, where a broadcast is over soon.
                mouse.echoes(5).await;
                mouse.attacked(false);
                publishing.join().unwrap();
                mouse.echoes(5).await;
            }
            let part = format!("to {}, others' echoes ({kind:?})", number(count));
            mouse.stop().check(&BROADCAST, &part);
            drop((peers, senders));
            server.stop().await;
        }
    });
}
