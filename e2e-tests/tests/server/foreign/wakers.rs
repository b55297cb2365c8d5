//! Wakers of other executors.

use super::{Make, Way, expect_echo, explode, run, start};
use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, close_normally};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use ws_server::{Message, Sender, Server};

/// A waker that uses the connection it waits for, and optionally panics.
struct Nosy {
    sender: Mutex<Option<Sender>>,
    woken: mpsc::Sender<()>,
    panics: bool,
}

impl Nosy {
    fn act(&self) {
        let sender = self.sender.lock().unwrap().take();
        if let Some(sender) = sender {
            let _ = sender.is_open();
            let _ = sender.try_send("from the waker");
        }
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.act();
        let _ = self.woken.send(());
        if self.panics {
            explode();
        }
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.act();
    }
}

/// A send waits for room with that waker, and then the peer reads or leaves.
async fn wakers(panics: bool) {
    for api in Api::ALL {
        for leaves in [false, true] {
            let (tell, told) = mpsc::channel::<Sender>();
            let tell = Mutex::new(tell);
            let make: Make = Arc::new(move |sender| {
                tell.lock().unwrap().send(sender.clone()).unwrap();
                Bytes::from_static(b"told")
            });
            let server = start(
                api,
                Server::builder().write_queue_messages(1).write_queue_bytes(1_000_000),
                Way::Send,
                make,
            )
            .await;
            let (mut client, mut other) = (server.open_slow().await, server.open().await);
            client.send(RawFrame::text("go")).await;
            client.recv_frame().await;
            let sender = told.recv().unwrap();
            let (woken, is_woken) = mpsc::channel();
            let nosy = Nosy { sender: Mutex::new(Some(sender.clone())), woken, panics };
            let waker = Waker::from(Arc::new(nosy));
            // Until the kernel's buffers are full.
            let mut waits = false;
            while !waits {
                let message = Message::binary(vec![0; 500_000]);
                let mut sending = Box::pin(sender.send(message));
                waits = sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
                if waits {
                    // The future stays and is never polled again.
                    std::mem::forget(sending);
                }
                expect_echo(&mut other).await;
            }
            if leaves {
                client.into_connection().reset();
            } else {
                let _ = client.recv_frame().await;
                drop(client);
            }
            server.wait_for_connections(1).await;
            is_woken.recv_timeout(e2e_tests::raw_peer::DEADLINE).unwrap();
            expect_echo(&mut other).await;
            close_normally(other).await;
            drop(sender);
            server.stop().await;
        }
    }
}

#[test]
fn a_waker_may_use_the_connection_that_wakes_it() {
    harness::run(wakers(false));
}

#[test]
fn a_waker_that_panics_harms_no_other_connection() {
    run(wakers(true));
}
