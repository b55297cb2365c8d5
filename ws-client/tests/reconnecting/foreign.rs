//! Code that is not the library's: wakers and destructors of payloads may use the client, and may panic.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;
use ws_client::{
    Config, Message, Reconnecting,
    reconnecting::{Sender, WhenFull, WhileAway},
};

use crate::support::{Io, Network, ServerSocket, run, up};

/// A payload, or a waker, that sends when it is woken and when it is dropped, and then panics.
struct Rude {
    sender: Sender,
    uses: Arc<AtomicUsize>,
}

impl Rude {
    fn use_the_client(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
        let _ = self.sender.try_send("from a destructor or a waker");
        let _ = self.sender.connection();
    }
}

impl AsRef<[u8]> for Rude {
    fn as_ref(&self) -> &[u8] {
        b"payload"
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.use_the_client();
        if !std::thread::panicking() {
            panic!("a destructor");
        }
    }
}

struct RudeWaker(Rude);

impl Wake for RudeWaker {
    fn wake(self: Arc<Self>) {
        self.0.use_the_client();
    }
}

/// The server's ends of the connections.
type Servers = Arc<Mutex<Vec<ServerSocket>>>;

fn client(while_away: WhileAway) -> (Reconnecting<Io>, Servers) {
    let (network, servers) = (Network::default(), Arc::new(Mutex::new(Vec::new())));
    let list = Arc::clone(&servers);
    let client = Reconnecting::dialling(move |_| {
        let (client, server) = network.connect(16, Config::default());
        list.lock().unwrap().push(server);
        async { Ok(client) }
    })
    .while_away(while_away)
    .build();
    (client, servers)
}

fn rude_message(sender: &Sender, uses: &Arc<AtomicUsize>) -> Message {
    Message::binary(Bytes::from_owner(Rude { sender: sender.clone(), uses: Arc::clone(uses) }))
}

#[test]
fn a_payload_may_use_the_client_and_panic_when_it_is_dropped() {
    run(async {
        let keep = WhileAway::Keep { bytes: 2 * (64 + 32), when_full: WhenFull::DropOldest };
        let (mut client, servers) = client(keep);
        let (sender, uses) = (client.sender(), Arc::new(AtomicUsize::new(0)));
        // Discarded, kept, written, and cut off.
        for _ in 0..4 {
            sender.try_send(rude_message(&sender, &uses)).unwrap();
        }
        assert!(uses.load(Ordering::SeqCst) > 0);
        assert!(matches!(client.next_event().await, Some(ws_client::reconnecting::Event::Discarded(_))));
        up(&mut client).await;
        sender.try_send(rude_message(&sender, &uses)).unwrap();
        let mut server = servers.lock().unwrap().pop().unwrap();
        tokio::select! {
            _ = client.next_event() => {}
            () = async { while tokio::time::timeout(Duration::from_secs(1), server.recv()).await.is_ok() {} } => {}
        }
        assert!(uses.load(Ordering::SeqCst) > 2);
        sender.try_send(rude_message(&sender, &uses)).unwrap();
        sender.try_send(rude_message(&sender, &uses)).unwrap();
        let before = uses.load(Ordering::SeqCst);
        drop(client);
        assert!(uses.load(Ordering::SeqCst) > before);
    });
}

#[test]
fn a_waker_may_use_the_client() {
    run(async {
        let (client, servers) = client(WhileAway::Wait);
        let client = Arc::new(Mutex::new(client));
        let (sender, uses) = (client.lock().unwrap().sender(), Arc::new(AtomicUsize::new(0)));
        let rude = || Rude { sender: sender.clone(), uses: Arc::clone(&uses) };
        let wakers = [Waker::from(Arc::new(RudeWaker(rude()))), Waker::from(Arc::new(RudeWaker(rude())))];
        let mut send = Box::pin(sender.send("waits"));
        for waker in &wakers {
            assert!(send.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        for waker in &wakers {
            let _ = client.lock().unwrap().poll_next_event(&mut Context::from_waker(waker));
        }
        // The first sender is woken, and so is the task that polls the client.
        let mut server = servers.lock().unwrap().pop().unwrap();
        server.send("hello").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(uses.load(Ordering::SeqCst) > 0);
        assert!(matches!(send.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
        // They panic when they are dropped.
        wakers.into_iter().for_each(std::mem::forget);
    });
}
