//! The two ways to write a server, a [`Handler`] and an async function, and the task of a connection for each.

use std::{future::Future, marker::PhantomData, sync::Arc};

use ws_proto::{ValidConfig, handshake::Rejection};
use ws_tokio::{
    WebSocket,
    internal::{Home, ServerHalf, guarded},
};

use crate::{
    admission::Request,
    handshake::established::{Application, Established, HandshakeFailed},
    measure::PanicPlace,
    net::Io,
    shard::server_state::ServerState,
};

mod conn;
pub(crate) mod function_task;
mod handler;
mod handler_state;
pub(crate) mod handler_task;
mod mailbox;
mod payload;
mod slowness;
mod topics;

pub use conn::Conn;
pub use handler::Handler;
pub use payload::{BinaryPayload, TextPayload};

use function_task::FunctionTask;
use handler_task::HandlerTask;

/// Builds the task for a connection.
pub(crate) trait BuildTask<S>: Application {
    type Task: Future<Output = ()> + Unpin + 'static;

    fn build_task(&self, io: S, established: Established<Self::Accepted>) -> Option<Self::Task>;
}

impl<H: Handler> Established<AcceptedHandler<H>> {
    pub(crate) fn into_handler_task<S: Io>(self, io: S) -> Option<HandlerTask<H, S>> {
        let handler = self.accepted.into_inner()?.0;
        Some(HandlerTask::new(handler, io, self.connection, &self.received, self.registration))
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

impl<H: Handler> HandshakeFailed for AcceptedHandler<H> {
    fn on_failure(&mut self) {
        self.0.on_handshake_failed();
    }
}

impl<H: Handler> Application for HandlerApp<H> {
    type Accepted = AcceptedHandler<H>;

    fn protocol(server: &ServerState) -> &ValidConfig {
        &server.handler_protocol
    }

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection> {
        H::accept(request, &self.context).map(AcceptedHandler)
    }
}

impl<H, S> BuildTask<S> for HandlerApp<H>
where
    H: Handler,
    S: Io + 'static,
{
    type Task = HandlerTask<H, S>;

    fn build_task(&self, io: S, established: Established<Self::Accepted>) -> Option<Self::Task> {
        established.into_handler_task(io)
    }
}

/// An async function that serves a connection.
pub(crate) struct FunctionApp<F>(pub(crate) F);

/// An async function makes nothing before the handshake has succeeded.
pub(crate) struct NothingAccepted;

impl HandshakeFailed for NothingAccepted {
    fn on_failure(&mut self) {}
}

impl<F: 'static> Application for FunctionApp<F> {
    type Accepted = NothingAccepted;

    fn protocol(server: &ServerState) -> &ValidConfig {
        &server.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<NothingAccepted, Rejection> {
        Ok(NothingAccepted)
    }
}

impl<F, Fut, S> BuildTask<S> for FunctionApp<F>
where
    F: Fn(WebSocket<S>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
    S: Io + 'static,
{
    /// Boxed: tokio rounds the memory of a task up to a multiple of 128 bytes.
    type Task = Box<FunctionTask<Fut, S>>;

    fn build_task(&self, io: S, established: Established<NothingAccepted>) -> Option<Self::Task> {
        Some(Box::new(self.build(io, established, None)))
    }
}

impl<F> FunctionApp<F> {
    /// Calls the function. `home` is set if a reactor runs the connection.
    pub(crate) fn build<Fut, S>(
        &self,
        io: S,
        established: Established<NothingAccepted>,
        home: Option<Home>,
    ) -> FunctionTask<Fut, S>
    where
        F: Fn(WebSocket<S>, Request) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
        S: Io + 'static,
    {
        let Established { request, connection, received, registration, .. } = established;
        let is_trusted = io.is_trusted();
        let (half, ws) = ServerHalf::with_trust(io, connection, &received, is_trusted);
        half.count_in(Arc::clone(&registration.shard().server.counters.traffic));
        if let Some(home) = home {
            half.set_reactor(home, S::leave_reactor);
        }
        let ws = ws.with_send_queue(S::send_queue).with_subprotocol(request.subprotocol().map(str::to_owned));
        let application = guarded(|| (self.0)(ws, request));
        if application.is_err() {
            let line = "the function of a connection panicked; the connection is closed with 1011";
            registration.shard().server.note_panic(PanicPlace::Function, line);
        }
        FunctionTask::new(half, application.ok(), registration)
    }
}
