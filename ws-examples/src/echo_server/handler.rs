//! The echo server with the handler API.

use std::collections::VecDeque;

use ws_server::{Conn, Handler, Message, MessageRef, Rejection, Request, error::SendError};

/// One connection.
#[derive(Default)]
pub(crate) struct Echo {
    /// Replies that did not fit into the write queue.
    waiting: VecDeque<Message>,
}

impl Handler for Echo {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self::default())
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        if let Err(SendError::Full(message)) = conn.send(message) {
            // Until the write queue has room again, the connection holds received messages back.
            self.waiting.push_back(message);
            conn.pause();
        }
    }

    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        // Answer each ping while the control queue has room, otherwise only the latest one.
        if conn.pong(payload).is_err() {
            conn.answer_ping(payload);
        }
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(SendError::Full(message)) = conn.send_message(message) {
                self.waiting.push_front(message);
                return;
            }
        }
        conn.resume();
    }
}
