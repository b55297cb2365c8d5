//! A connection of the server.

use std::sync::Arc;

use ws_server::{CloseCode, Conn, Handler, MessageRef, Rejection, Request, topics::SubscribeError};

use crate::board::{Board, QUOTES};

pub(crate) struct Client {
    board: Arc<Board>,
}

impl Handler for Client {
    type Context = Arc<Board>;

    fn accept(_request: &mut Request, board: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self { board: Arc::clone(board) })
    }

    /// First the subscription, then the snapshot: no price comes between the two unnoticed. A price may be in both;
    /// clients see by its round that it is not new.
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let subscribed = conn.member().map_err(|_| SubscribeError::Closed).and_then(|member| {
            member.subscribe(QUOTES)?;
            Ok(member)
        });
        match subscribed {
            Ok(member) => self.board.watch(member),
            Err(_) => return conn.close(CloseCode::TRY_AGAIN_LATER, "no room"),
        }
        if conn.send_text(self.board.snapshot()).is_err() {
            conn.close(CloseCode::INTERNAL_ERROR, "the snapshot does not fit");
        }
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}
