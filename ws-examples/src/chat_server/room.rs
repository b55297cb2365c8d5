//! The chat room: its visitors and the messages to all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ws_server::{Sender, error::SendError, message::PreparedMessage};

/// The visitors of the chat.
#[derive(Default)]
pub(crate) struct Room {
    visitors: Mutex<Visitors>,
}

#[derive(Default)]
struct Visitors {
    senders: HashMap<u64, Sender>,
    last_number: u64,
}

/// A visitor in the room. Dropping it removes the visitor.
pub(crate) struct Visitor {
    pub(crate) number: u64,
    room: Arc<Room>,
}

impl Room {
    pub(crate) fn enter(self: &Arc<Self>, sender: Sender) -> Visitor {
        let number = {
            let mut visitors = self.lock();
            visitors.last_number += 1;
            let number = visitors.last_number;
            visitors.senders.insert(number, sender);
            number
        };
        self.say(&format!("visitor {number} entered"));
        Visitor { number, room: Arc::clone(self) }
    }

    /// Sends a line to all visitors. It does not wait for slow readers: a visitor whose write queue is full
    /// misses the line.
    pub(crate) fn say(&self, line: &str) {
        let message = PreparedMessage::new(line);
        for (number, sender) in &self.lock().senders {
            if let Err(SendError::Full(_)) = sender.try_send_prepared(&message) {
                eprintln!("visitor {number} reads too slowly and missed a line");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Visitors> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.room.lock().senders.remove(&self.number);
        self.room.say(&format!("visitor {} left", self.number));
    }
}
