//! Settings of what a server reports.

use std::sync::Arc;

use crate::measure::Observer;

use super::ServerBuilder;

impl ServerBuilder {
    /// Sets an [`Observer`], which learns of handshakes and connections as they begin and end. Pass an `Arc` to keep
    /// the observer. Each connection takes about 100 bytes more then. Default: none.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.options.observer = Some(Arc::new(observer));
        self
    }

    /// Sets whether each handshake and each connection is a span of `tracing`, `ws.handshake` and `ws.connection` at
    /// the info level. The guide lists their fields. They have no payloads, no queries, no headers and no close
    /// reasons. The span of a connection is entered while its turn runs, so the lines that a handler or an async
    /// function logs belong to it. Default: no.
    pub const fn spans(mut self, on: bool) -> Self {
        self.options.spans = on;
        self
    }
}
