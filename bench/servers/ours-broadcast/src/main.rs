//! Broadcast with our handler API: each connection registers its `Sender` in the room that its target names, and each
//! message is sent to all of the room.

use bench_common::server::{self, MAX_MESSAGE};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::net::TcpListener;
use ws_server::{
    CloseInfo, Conn, Handler, MessageRef, Rejection, Request, Sender, Server, message::PreparedMessage,
};

/// The rooms by the targets of their connections.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<HashMap<String, Room>>>);

/// The `Sender`s of the connections of a room.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    senders: Vec<Option<Sender>>,
    free: Vec<usize>,
}

impl Room {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn enter(&mut self, sender: Sender) -> usize {
        let place = self.free.pop().unwrap_or(self.senders.len());
        if place == self.senders.len() {
            self.senders.push(None);
        }
        self.senders[place] = Some(sender);
        place
    }

    fn leave(&mut self, place: usize) {
        self.senders[place] = None;
        self.free.push(place);
    }
}

struct Member {
    room: Room,
    place: usize,
}

impl Handler for Member {
    type Context = Rooms;

    fn accept(request: &mut Request, rooms: &Rooms) -> Result<Self, Rejection> {
        let mut rooms = rooms.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry(request.path().to_owned()).or_default().clone();
        Ok(Self { room, place: usize::MAX })
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.place = self.room.places().enter(conn.sender());
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let message = PreparedMessage::new(message.into_message());
        for sender in self.room.places().senders.iter().flatten() {
            // A connection whose queue is full misses the message. The load generator would report that.
            let _ = sender.try_send_prepared(&message);
        }
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, _info: &CloseInfo) {
        self.room.places().leave(self.place);
    }
}

fn main() -> std::io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(server::listen(options.listen)?)?;
        let server = Server::builder().max_message_size(MAX_MESSAGE).listener(listener)?;
        server.sharded(1).serve_handler::<Member>(Rooms::default()).await.map(drop)
    })
}
