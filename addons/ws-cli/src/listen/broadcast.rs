//! `--broadcast`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ws_server::{CloseCode, Message, Sender, error::SendError};

use super::Socket;

/// The connections that are open.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Mutex<Members>>);

#[derive(Default)]
struct Members {
    next: u64,
    senders: HashMap<u64, Sender>,
}

/// Sends each message to all other connections. One that does not read is closed with 1013, so that it neither holds up
/// the others nor takes up memory.
pub(super) async fn serve(mut socket: Socket, room: Room) {
    let id = room.enter(socket.sender());
    while let Some(message) = socket.recv().await {
        room.send(id, &message);
    }
    room.with(|members| members.senders.remove(&id));
}

impl Room {
    fn with<R>(&self, change: impl FnOnce(&mut Members) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, sender: Sender) -> u64 {
        self.with(|members| {
            members.next += 1;
            members.senders.insert(members.next, sender);
            members.next
        })
    }

    fn send(&self, from: u64, message: &Message) {
        let others: Vec<Sender> = self.with(|members| {
            members.senders.iter().filter(|(id, _)| **id != from).map(|(_, sender)| sender.clone()).collect()
        });
        for sender in others {
            if matches!(sender.try_send(message.clone()), Err(SendError::Full(_))) {
                sender.close(CloseCode::TRY_AGAIN_LATER, "too slow");
            }
        }
    }
}
