use std::{net::SocketAddr, time::Instant};

use tracing::Span;
use ws_proto::{CloseInfo, close::Initiator, error::ConnectionError};
use ws_tokio::internal::guarded;

use crate::{
    admission::Request,
    measure::{Closed, Opened, spans},
};

use super::{now, server_state::ServerState};

/// What a server with an observer or with spans keeps of a connection.
pub(crate) struct Watched {
    id: u64,
    peer: Option<SocketAddr>,
    opened_at: Instant,
    span: Span,
}

impl Watched {
    /// Tells the observer that a connection is open. `None` if nothing watches connections.
    pub(crate) fn open(
        server: &ServerState,
        request: &Request,
        compression: bool,
        handshake: &Span,
    ) -> Option<Box<Self>> {
        if server.options.observer.is_none() && !server.options.spans {
            return None;
        }
        let (id, peer) = (server.next_connection_id(), request.peer_addr());
        let subprotocol = request.subprotocol().map(str::to_owned);
        let path = request.uri().path().to_owned();
        let opened = Opened { id, peer, path, subprotocol, compression };
        let span = if server.options.spans { spans::connection(&opened, handshake) } else { Span::none() };
        server.observe(|observer| observer.opened(&opened));
        Some(Box::new(Self { id, peer, opened_at: now(), span }))
    }

    /// A handle to the connection's span.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn close(self, server: &ServerState, info: Option<&CloseInfo>) {
        let Self { id, peer, opened_at, span } = self;
        let info = info.cloned().unwrap_or_else(cut_off);
        let closed = Closed { id, peer, info, age: now().saturating_duration_since(opened_at) };
        // A `tracing` subscriber may panic.
        let _ = guarded(|| {
            spans::end_connection(&span, &closed);
            drop(span);
        });
        server.observe(|observer| observer.closed(&closed));
    }
}

/// The end of a connection that was dropped with its task.
pub(super) fn cut_off() -> CloseInfo {
    let mut info = CloseInfo::new(Initiator::Library);
    info.error = Some(ConnectionError::Transport(std::io::ErrorKind::ConnectionAborted));
    info
}
