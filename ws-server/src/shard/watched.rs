use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::Span;
use ws_proto::{CloseInfo, close::Initiator, error::ConnectionError, stats::Queued};
use ws_tokio::internal::guarded;

use crate::{
    admission::Request,
    measure::{CaughtUp, Closed, Opened, Slow, SlowReason, spans},
};

use super::{now, server_state::ServerState};

/// What a server with an observer or with spans keeps of a connection.
pub(crate) struct Watched {
    id: u64,
    peer: Option<SocketAddr>,
    opened_at: Instant,
    /// Set while the peer is slow.
    slow_since: Option<Instant>,
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
        Some(Box::new(Self { id, peer, opened_at: now(), slow_since: None, span }))
    }

    /// A handle to the connection's span.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Tells the observer that the peer is slow.
    pub(super) fn slow(
        &mut self,
        server: &ServerState,
        reason: SlowReason,
        queued: Queued,
        blocked_for: Duration,
    ) {
        let now = now();
        self.slow_since.get_or_insert(now);
        let age = now.saturating_duration_since(self.opened_at);
        let slow = Slow { id: self.id, peer: self.peer, reason, queued, blocked_for, age };
        server.observe(|observer| observer.slow(&slow));
    }

    /// Tells the observer that the peer is no longer slow.
    pub(super) fn caught_up(&mut self, server: &ServerState) {
        let Some(since) = self.slow_since.take() else { return };
        let slow_for = now().saturating_duration_since(since);
        let caught_up = CaughtUp { id: self.id, peer: self.peer, slow_for };
        server.observe(|observer| observer.caught_up(&caught_up));
    }

    pub(super) fn close(self, server: &ServerState, info: Option<&CloseInfo>) {
        let Self { id, peer, opened_at, span, .. } = self;
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
