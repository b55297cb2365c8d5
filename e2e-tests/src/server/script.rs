//! A handler made of closures.

use super::{Event, ObservedServer, Reporter, ServerRunner};
use bytes::Bytes;
use std::sync::Arc;
use ws_server::{
    CloseInfo, Conn, Handler, Message, MessageRef, Rejection, Request, ServerBuilder,
    message::{Completion, MessageKind},
};

type Hook<T> = Box<dyn Fn(&mut Conn<'_>, T) + Send + Sync>;
type OnMessage = Box<dyn Fn(&mut Conn<'_>, MessageRef<'_>) + Send + Sync>;
type OnAccept = Box<dyn Fn(&mut Request) -> Result<(), Rejection> + Send + Sync>;

/// A handler whose callbacks are closures. Each callback first reports its [`Event`], then runs the closure. All
/// connections of the server share the closures.
#[derive(Default)]
pub struct Script {
    accept: Option<OnAccept>,
    open: Option<Hook<()>>,
    message: Option<OnMessage>,
    ping: Option<Hook<Bytes>>,
    pong: Option<Hook<Bytes>>,
    write_complete: Option<Hook<Completion>>,
    writable: Option<Hook<()>>,
    close: Option<Hook<CloseInfo>>,
}

impl Script {
    /// Callbacks that only report. Pings are answered, as by default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs in `accept`.
    #[must_use]
    pub fn accept(
        mut self,
        hook: impl Fn(&mut Request) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.accept = Some(Box::new(hook));
        self
    }

    /// Runs in `on_open`.
    #[must_use]
    pub fn on_open(mut self, hook: impl Fn(&mut Conn<'_>) + Send + Sync + 'static) -> Self {
        self.open = Some(Box::new(move |conn, ()| hook(conn)));
        self
    }

    /// Runs in `on_message`.
    #[must_use]
    pub fn on_message(
        mut self,
        hook: impl Fn(&mut Conn<'_>, MessageRef<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.message = Some(Box::new(hook));
        self
    }

    /// Runs in `on_ping`. The ping is then not answered.
    #[must_use]
    pub fn on_ping(mut self, hook: impl Fn(&mut Conn<'_>, Bytes) + Send + Sync + 'static) -> Self {
        self.ping = Some(Box::new(hook));
        self
    }

    /// Runs in `on_pong`.
    #[must_use]
    pub fn on_pong(mut self, hook: impl Fn(&mut Conn<'_>, Bytes) + Send + Sync + 'static) -> Self {
        self.pong = Some(Box::new(hook));
        self
    }

    /// Runs in `on_write_complete`.
    #[must_use]
    pub fn on_write_complete(
        mut self,
        hook: impl Fn(&mut Conn<'_>, Completion) + Send + Sync + 'static,
    ) -> Self {
        self.write_complete = Some(Box::new(hook));
        self
    }

    /// Runs in `on_writable`.
    #[must_use]
    pub fn on_writable(mut self, hook: impl Fn(&mut Conn<'_>) + Send + Sync + 'static) -> Self {
        self.writable = Some(Box::new(move |conn, ()| hook(conn)));
        self
    }

    /// Runs in `on_close`.
    #[must_use]
    pub fn on_close(mut self, hook: impl Fn(&mut Conn<'_>, CloseInfo) + Send + Sync + 'static) -> Self {
        self.close = Some(Box::new(hook));
        self
    }

    /// Starts a server with this handler; see [`ServerRunner::serve_handler`].
    pub async fn start(self, builder: ServerBuilder) -> ObservedServer {
        let (reporter, events) = Reporter::channel();
        let runner =
            ServerRunner::serve_handler::<ScriptedHandler>(builder, (Arc::new(self), reporter)).await;
        ObservedServer::new(runner, events)
    }

    /// Starts a server with this handler on shards.
    pub async fn start_sharded(self, builder: ServerBuilder, shards: usize) -> ObservedServer {
        let (reporter, events) = Reporter::channel();
        let context = (Arc::new(self), reporter);
        let runner = ServerRunner::serve_handler_on_shards::<ScriptedHandler>(builder, shards, context).await;
        ObservedServer::new(runner, events)
    }
}

/// One connection.
struct ScriptedHandler {
    script: Arc<Script>,
    reporter: Reporter,
}

impl ScriptedHandler {
    fn call<T>(hook: &Option<Hook<T>>, conn: &mut Conn<'_>, argument: T) {
        if let Some(hook) = hook {
            hook(conn, argument);
        }
    }
}

impl Handler for ScriptedHandler {
    type Context = (Arc<Script>, Reporter);

    fn accept(request: &mut Request, (script, reporter): &Self::Context) -> Result<Self, Rejection> {
        if let Some(hook) = &script.accept {
            hook(request)?;
        }
        Ok(Self { script: Arc::clone(script), reporter: reporter.clone() })
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.reporter.report(Event::Opened);
        Self::call(&self.script.open, conn, ());
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        self.reporter.report(Event::Message(copy(&message)));
        if let Some(hook) = &self.script.message {
            hook(conn, message);
        }
    }

    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        let copy = Bytes::copy_from_slice(payload);
        self.reporter.report(Event::Ping(copy.clone()));
        match &self.script.ping {
            Some(hook) => hook(conn, copy),
            None => conn.answer_ping(payload),
        }
    }

    fn on_pong(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        let copy = Bytes::copy_from_slice(payload);
        self.reporter.report(Event::Pong(copy.clone()));
        Self::call(&self.script.pong, conn, copy);
    }

    fn on_write_complete(&mut self, conn: &mut Conn<'_>, completion: Completion) {
        self.reporter.report(Event::WriteComplete(completion));
        Self::call(&self.script.write_complete, conn, completion);
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>) {
        self.reporter.report(Event::Writable);
        Self::call(&self.script.writable, conn, ());
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, info: &CloseInfo) {
        self.reporter.report(Event::Closed(info.clone()));
        Self::call(&self.script.close, conn, info.clone());
    }

    fn on_handshake_failed(&mut self) {
        self.reporter.report(Event::HandshakeFailed);
    }
}

fn copy(message: &MessageRef<'_>) -> Message {
    let payload = Bytes::copy_from_slice(message.as_bytes());
    match (message.kind(), message.as_text()) {
        (MessageKind::Binary, _) => Message::Binary(payload),
        (MessageKind::Text, Some(text)) => Message::text(text),
        (MessageKind::Text, None) => Message::Binary(payload),
    }
}
