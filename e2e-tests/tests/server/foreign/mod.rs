//! Code of the application that runs outside callbacks: destructors of payloads, panics, handlers and request
//! extensions, and wakers. A panic there ends at most its own connection. A use of the connection there returns a
//! result and does not block.

mod hooks;
mod panics;
mod payloads;
mod wakers;

use bytes::Bytes;
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, ServerRunner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use ws_server::{
    Conn, Handler, MessageRef, Rejection, Request, Sender, ServerBuilder, message::PreparedMessage,
};

fn run(test: impl Future<Output = ()>) {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, test);
}

/// A payload whose destructor runs a closure.
struct Owner {
    bytes: Vec<u8>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

fn payload(len: usize, on_drop: impl FnOnce() + Send + 'static) -> Bytes {
    Bytes::from_owner(Owner { bytes: vec![b'p'; len], on_drop: Some(Box::new(on_drop)) })
}

/// The payload of a panic. It panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

fn explode() {
    std::panic::panic_any(Bomb);
}

/// Panics with such a payload the first time.
fn once() -> impl Fn() + Send + Sync + 'static {
    let exploded = AtomicBool::new(false);
    move || {
        if !exploded.swap(true, SeqCst) {
            explode();
        }
    }
}

/// Sends a payload that was made for that sender, in one of the ways of [`How`].
type Make = Arc<dyn Fn(&Sender) -> Bytes + Send + Sync>;

/// How the payload is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the connection's own method.
    Send,
    /// Through a [`Sender`].
    Sender,
    /// As a prepared message, through a [`Sender`].
    Prepared,
}

const WAYS: [Way; 3] = [Way::Send, Way::Sender, Way::Prepared];

/// One size that is copied next to the header, and one that is written in place.
const LENGTHS: [usize; 3] = [0, 10, 100_000];

fn send_through(sender: &Sender, way: Way, payload: Bytes) {
    // An error means that the peer has left.
    match way {
        Way::Prepared => drop(sender.try_send_prepared(&PreparedMessage::new(payload))),
        _ => drop(sender.try_send(payload)),
    }
}

/// A server that answers "go" with such a payload and echoes everything else.
async fn start(api: Api, builder: ServerBuilder, way: Way, make: Make) -> ServerRunner {
    match api {
        Api::Handler => ServerRunner::serve_handler::<Going>(builder, (way, make)).await,
        Api::Async => {
            ServerRunner::serve(builder, move |mut ws| {
                let make = Arc::clone(&make);
                async move {
                    let sender = ws.sender();
                    while let Some(message) = ws.recv().await {
                        let _ = match (message.as_text(), way) {
                            (Some("go"), Way::Send) => ws.send(make(&sender)).await,
                            (Some("go"), way) => {
                                send_through(&sender, way, make(&sender));
                                Ok(())
                            }
                            _ => ws.send(message).await,
                        };
                    }
                }
            })
            .await
        }
    }
}

struct Going(Way, Make);

impl Handler for Going {
    type Context = (Way, Make);

    fn accept(_request: &mut Request, (way, make): &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(*way, Arc::clone(make)))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let sender = conn.sender();
        match (message.as_text(), self.0) {
            (Some("go"), Way::Send) => drop(conn.send_binary((self.1)(&sender))),
            (Some("go"), way) => send_through(&sender, way, (self.1)(&sender)),
            _ => drop(conn.send(message)),
        }
    }
}

async fn expect_echo(client: &mut RawClient) {
    client.send(RawFrame::text("hello")).await;
    client.expect_text("hello").await;
}

async fn expect_payload(client: &mut RawClient, len: usize) {
    let frame = client.recv_frame().await;
    assert_eq!(frame.payload, vec![b'p'; len]);
}

/// All ways to send, with both APIs.
async fn in_every_way(test: impl AsyncFn(Api, Way, usize)) {
    for api in Api::ALL {
        for way in WAYS {
            for len in LENGTHS {
                println!("{api:?}, {way:?}, {len} bytes");
                test(api, way, len).await;
            }
        }
    }
}
