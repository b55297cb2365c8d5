//! The two ways to write a server, behind one interface.

use std::{
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Config, Connection, handshake::Rejection};
use ws_tokio::{Served, WebSocket};

use crate::{
    handler::Handler, handler_task::HandlerTask, handshake::FailOnDrop, hub::Hub, request::Request,
    serve_task::ServeTask, shard::Seat,
};

/// What is done with a request, and with the connection that comes of it.
pub(crate) trait App<S>: 'static {
    type Accepted: FailOnDrop + 'static;
    type Task: Future<Output = ()> + 'static;

    /// The protocol's settings for its connections.
    fn protocol(hub: &Hub) -> &Arc<Config>;

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection>;

    fn connect(
        &self,
        accepted: Option<Self::Accepted>,
        request: Request,
        io: S,
        connection: Connection,
        received: &[u8],
        seat: Seat,
    ) -> Option<Self::Task>;
}

/// A [`Handler`] and its context.
pub(crate) struct HandlerApp<H: Handler> {
    context: H::Context,
    handler: PhantomData<fn() -> H>,
}

impl<H: Handler> HandlerApp<H> {
    pub(crate) const fn new(context: H::Context) -> Self {
        Self { context, handler: PhantomData }
    }
}

pub(crate) struct AcceptedHandler<H: Handler>(H);

impl<H: Handler> FailOnDrop for AcceptedHandler<H> {
    fn on_failure(&mut self) {
        self.0.on_handshake_failed();
    }
}

impl<H, S> App<S> for HandlerApp<H>
where
    H: Handler + Unpin,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Accepted = AcceptedHandler<H>;
    type Task = HandlerTask<H, S>;

    fn protocol(hub: &Hub) -> &Arc<Config> {
        &hub.handler_protocol
    }

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection> {
        H::accept(request, &self.context).map(AcceptedHandler)
    }

    fn connect(
        &self,
        accepted: Option<Self::Accepted>,
        _request: Request,
        io: S,
        connection: Connection,
        received: &[u8],
        seat: Seat,
    ) -> Option<Self::Task> {
        Some(HandlerTask::new(accepted?.0, io, connection, received, seat))
    }
}

/// An async function.
pub(crate) struct ServeApp<F>(pub(crate) F);

/// Nothing was made yet that could fail.
pub(crate) struct Nothing;

impl FailOnDrop for Nothing {
    fn on_failure(&mut self) {}
}

impl<F, Fut, S> App<S> for ServeApp<F>
where
    F: Fn(WebSocket<S>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Accepted = Nothing;
    type Task = ServeTask<Fut, S>;

    fn protocol(hub: &Hub) -> &Arc<Config> {
        &hub.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Nothing, Rejection> {
        Ok(Nothing)
    }

    fn connect(
        &self,
        _accepted: Option<Nothing>,
        request: Request,
        io: S,
        connection: Connection,
        received: &[u8],
        seat: Seat,
    ) -> Option<Self::Task> {
        let (served, ws) = Served::new(io, connection, received);
        let ws = ws.with_subprotocol(request.subprotocol().map(str::to_owned));
        let application = catch_unwind(AssertUnwindSafe(|| (self.0)(ws, request)));
        Some(ServeTask::new(served, application.ok(), seat))
    }
}
