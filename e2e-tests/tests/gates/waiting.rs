//! Messages that wait for a peer that does not read: their memory, compared with the bytes that the server counts.

use crate::counting::held;
use e2e_tests::harness;
use e2e_tests::server::{Api, ServerRunner};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use ws_server::{
    Conn, Handler, MessageRef, Rejection, Request, Sender, Server, error::SendError, message::PreparedMessage,
};

const MIB: usize = 1 << 20;
/// More than the kernel buffers. It is sent first, so that all later messages wait.
const PLUG: usize = 8 * MIB;

/// A handler that hands out its connection's `Sender`.
struct Source(UnboundedSender<Sender>);

impl Handler for Source {
    type Context = UnboundedSender<Sender>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.send(conn.sender()).expect("the test waits for it");
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

/// Sends until the queue is full. Returns the number of messages.
fn fill(sender: &Sender, size: usize, is_prepared: bool) -> usize {
    let prepared = PreparedMessage::new(vec![b'x'; size]);
    let send = || match is_prepared {
        true => sender.try_send_prepared(&prepared),
        false => sender.try_send(vec![b'x'; size]).map_err(|error| error.map(drop)),
    };
    let mut accepted = 0;
    loop {
        match send() {
            Ok(()) => accepted += 1,
            Err(SendError::Full(())) => return accepted,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until the number of counted bytes no longer changes, and returns it.
async fn settled(server: &ServerRunner, at_least: usize) -> usize {
    let (mut last, mut same) = (0, 0);
    while same < 10 || last < at_least {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let charged = server.handle().memory_used();
        same = if charged == last { same + 1 } else { 0 };
        last = charged;
    }
    last
}

async fn start(api: Api, queue: usize) -> (ServerRunner, Sender, e2e_tests::raw_peer::RawClient) {
    let builder = Server::builder()
        .write_queue_messages(10_000_000)
        .write_queue_bytes(queue)
        .write_timeout(None)
        .keepalive(None);
    let (tell, mut told) = unbounded_channel();
    let server = match api {
        Api::Handler => ServerRunner::serve_handler::<Source>(builder, tell).await,
        Api::Async => {
            ServerRunner::serve(builder, move |mut ws| {
                tell.send(ws.sender()).expect("the test waits for it");
                async move { while ws.recv().await.is_some() {} }
            })
            .await
        }
    };
    let client = server.open_slow().await;
    let sender = told.recv().await.expect("one for each connection");
    (server, sender, client)
}

#[test]
fn small_messages_that_wait_take_little_more_than_they_are_charged() {
    harness::run(async {
        // The larger number of messages just exceeds the capacity of the table of entries, which has then doubled.
        for queue in [PLUG + MIB, PLUG + MIB + MIB / 10] {
            for api in Api::ALL {
                for size in [0, 1, 16] {
                    for is_prepared in [false, true] {
                        let (server, sender, client) = start(api, queue).await;
                        sender.try_send(vec![0; PLUG]).unwrap();
                        let (charged_before, held_before) = (settled(&server, MIB).await, held());
                        let accepted = fill(&sender, size, is_prepared);
                        let charged = settled(&server, charged_before).await - charged_before;
                        let taken = held() - held_before;
                        let case = format!("{api:?}, {size} bytes, prepared: {is_prepared}, queue {queue}");
                        println!("{case}: {accepted} take {taken} bytes and are charged {charged}");
                        assert!(accepted > 10_000, "{case}: {accepted}");
                        assert!(taken as usize * 2 <= charged * 3, "{case}: {taken} of {charged}");
                        drop((sender, client));
                        server.stop().await;
                    }
                }
            }
        }
    });
}
