//! One message for many connections: topics, and a `Sender` for each connection.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Sender, Server, message::PreparedMessage};

use super::wire::{BINARY, client_frame, open, serve, server_frame};

const MEMBERS: u32 = 50;
const TOPIC: &str = "all";

/// Subscribes to the topic, and publishes what it receives.
struct Subscriber;

impl Handler for Subscriber {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.subscribe(TOPIC).expect("room in the topic");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.topics().publish(TOPIC, message.into_message()).expect("room for a publication");
    }
}

type Senders = Arc<Mutex<Vec<Sender>>>;

/// Sends what it receives to all.
struct Member(Senders);

impl Handler for Member {
    type Context = Senders;

    fn accept(_request: &mut Request, senders: &Senders) -> Result<Self, Rejection> {
        Ok(Self(Arc::clone(senders)))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.0.lock().expect("no panic").push(conn.sender());
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let message = PreparedMessage::new(message.into_message());
        for sender in &*self.0.lock().expect("no panic") {
            sender.try_send_prepared(&message).expect("room in the queue");
        }
    }
}

/// Deliveries of publications of 100 bytes.
pub(crate) fn topics(count: u32) {
    deliver(serve(|server: Server| server.sharded(1).serve_handler::<Subscriber>(())), count);
}

/// Deliveries of prepared messages of 100 bytes, from a handler.
pub(crate) fn senders(count: u32) {
    deliver(serve(|server: Server| server.sharded(1).serve_handler::<Member>(Senders::default())), count);
}

fn deliver(addr: SocketAddr, count: u32) {
    let mut members: Vec<_> = (0..MEMBERS).map(|_| open(addr)).collect();
    let request = client_frame(BINARY, &[b'x'; 100]);
    let delivered = server_frame(BINARY, &[b'x'; 100]);
    let mut received = vec![0; delivered.len()];
    for _ in 0..count / MEMBERS {
        members[0].write_all(&request).expect("the server reads");
        for member in &mut members {
            member.read_exact(&mut received).expect("the server delivers");
        }
        assert!(received == delivered, "another message");
    }
}
