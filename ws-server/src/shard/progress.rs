use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;
use tracing::Span;
use ws_tokio::internal::guarded;

use crate::measure::{HandshakeEnd, HandshakeFailure, HandshakeOutcome, spans};

/// What takes the end of a handshake.
pub(crate) trait HandshakeReports: Send + Sync {
    fn handshake_ended(&self, end: &HandshakeEnd);

    /// Whether the server accepts nothing any more.
    fn is_shutting_down(&self) -> bool;
}

/// A handshake in progress. It is counted when this is dropped.
pub(crate) struct HandshakeProgress {
    server: Arc<dyn HandshakeReports>,
    started: Instant,
    peer: Option<SocketAddr>,
    /// `None` as long as nothing has decided about it.
    outcome: Option<HandshakeOutcome>,
    span: Span,
}

impl HandshakeProgress {
    pub(super) fn new(server: Arc<dyn HandshakeReports>, has_span: bool, peer: Option<SocketAddr>) -> Self {
        let span = if has_span { spans::handshake() } else { Span::none() };
        Self { server, started: Instant::now(), peer, outcome: None, span }
    }

    /// The end of the time that the handshake may take.
    pub(crate) fn deadline(&self, timeout: Duration) -> Instant {
        ws_proto::deadline_after(self.started.into_std(), timeout).into()
    }

    /// Another address is known now.
    pub(crate) const fn set_peer(&mut self, peer: Option<SocketAddr>) {
        self.peer = peer;
    }

    pub(crate) const fn end(&mut self, outcome: HandshakeOutcome) {
        self.outcome = Some(outcome);
    }

    pub(crate) const fn refuse(&mut self, status: StatusCode) {
        self.end(HandshakeOutcome::Refused(status));
    }

    pub(crate) const fn fail(&mut self, failure: HandshakeFailure) {
        self.end(HandshakeOutcome::Failed(failure));
    }

    /// The handshake's span.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    fn failure(&self) -> HandshakeFailure {
        if self.server.is_shutting_down() { HandshakeFailure::Shutdown } else { HandshakeFailure::Transport }
    }
}

impl Drop for HandshakeProgress {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or_else(|| HandshakeOutcome::Failed(self.failure()));
        let end = HandshakeEnd { peer: self.peer, outcome, duration: self.started.elapsed() };
        let span = std::mem::replace(&mut self.span, Span::none());
        // A `tracing` subscriber may panic.
        let _ = guarded(|| {
            spans::end_handshake(&span, &end);
            drop(span);
        });
        self.server.handshake_ended(&end);
    }
}
