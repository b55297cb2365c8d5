//! The two ways to write a server, behind one interface.

use std::{future::Future, marker::PhantomData, sync::Arc};

use ws_proto::{Config, Connection, handshake::Rejection};
use ws_tokio::{Served, WebSocket, guarded};

use crate::{
    handler::Handler,
    handler_task::HandlerTask,
    handshake::{FailOnDrop, Guard},
    host::Sharded,
    hub::Hub,
    request::Request,
    serve_task::ServeTask,
    shard::Seat,
    stream::{Io, ServerStream},
};

/// What is done with a request.
pub(crate) trait App: 'static {
    type Accepted: FailOnDrop + 'static;

    /// The protocol's settings for its connections.
    fn protocol(hub: &Hub) -> &Arc<Config>;

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection>;
}

/// What is done with the connection that comes of it.
pub(crate) trait Connect<S>: App {
    type Task: Future<Output = ()> + Unpin + 'static;

    fn connect(&self, established: Established<S, Self::Accepted>) -> Option<Self::Task>;
}

/// A connection whose 101 response is on the wire.
pub(crate) struct Established<S, T: FailOnDrop> {
    pub(crate) accepted: Guard<T>,
    pub(crate) request: Request,
    pub(crate) io: S,
    pub(crate) connection: Connection,
    /// What was read behind the request.
    pub(crate) received: Vec<u8>,
    pub(crate) seat: Seat,
}

impl<S, T: FailOnDrop> Established<S, T> {
    /// The same on another transport.
    pub(crate) fn map_io<R>(self, f: impl FnOnce(S) -> R) -> Established<R, T> {
        let Self { accepted, request, io, connection, received, seat } = self;
        Established { accepted, request, io: f(io), connection, received, seat }
    }

    /// The same on another transport, if that can be had.
    pub(crate) fn try_map_io<R, E>(self, f: impl FnOnce(S) -> Result<R, E>) -> Result<Established<R, T>, E> {
        let Self { accepted, request, io, connection, received, seat } = self;
        Ok(Established { accepted, request, io: f(io)?, connection, received, seat })
    }
}

impl<H, S> Established<S, AcceptedHandler<H>>
where
    H: Handler,
    S: Io,
{
    pub(crate) fn into_handler_task(self) -> Option<HandlerTask<H, S>> {
        let handler = self.accepted.into_inner()?.0;
        Some(HandlerTask::new(handler, self.io, self.connection, &self.received, self.seat))
    }
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

impl<H: Handler> App for HandlerApp<H> {
    type Accepted = AcceptedHandler<H>;

    fn protocol(hub: &Hub) -> &Arc<Config> {
        &hub.handler_protocol
    }

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection> {
        H::accept(request, &self.context).map(AcceptedHandler)
    }
}

impl<H, S> Connect<S> for HandlerApp<H>
where
    H: Handler + Unpin,
    S: Io + 'static,
{
    type Task = HandlerTask<H, S>;

    fn connect(&self, established: Established<S, Self::Accepted>) -> Option<Self::Task> {
        established.into_handler_task()
    }
}

impl<H: Handler + Unpin> Sharded for HandlerApp<H> {
    #[cfg(target_os = "linux")]
    type Host = crate::reactor::Reactor<Self>;
    #[cfg(not(target_os = "linux"))]
    type Host = crate::tasks::Tasks;
}

/// An async function.
pub(crate) struct ServeApp<F>(pub(crate) F);

/// Nothing was made yet that could fail.
pub(crate) struct Nothing;

impl FailOnDrop for Nothing {
    fn on_failure(&mut self) {}
}

impl<F: 'static> App for ServeApp<F> {
    type Accepted = Nothing;

    fn protocol(hub: &Hub) -> &Arc<Config> {
        &hub.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Nothing, Rejection> {
        Ok(Nothing)
    }
}

impl<F, Fut, S> Connect<S> for ServeApp<F>
where
    F: Fn(WebSocket<S>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
    S: Io + 'static,
{
    type Task = ServeTask<Fut, S>;

    fn connect(&self, established: Established<S, Nothing>) -> Option<Self::Task> {
        let Established { request, io, connection, received, seat, .. } = established;
        let (served, ws) = Served::trusting(io, connection, &received);
        let ws = ws.with_send_queue(S::send_queue).with_subprotocol(request.subprotocol().map(str::to_owned));
        let application = guarded(|| (self.0)(ws, request));
        Some(ServeTask::new(served, application.ok(), seat))
    }
}

impl<F, Fut> Sharded for ServeApp<F>
where
    F: Fn(WebSocket<ServerStream>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    #[cfg(target_os = "linux")]
    type Host = crate::reactor::Reactor<Self>;
    #[cfg(not(target_os = "linux"))]
    type Host = crate::tasks::Tasks;
}
