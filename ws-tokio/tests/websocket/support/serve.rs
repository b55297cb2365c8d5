//! The task that a server runs for a connection, without the server.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};
use ws_proto::{CloseInfo, Config, Connection, Role};
use ws_tokio::{WebSocket, internal::ServerHalf};

use super::{Peer, TestTransport, connection};

/// Runs the application's future and moves the bytes. Its output is how the connection ended.
pub(crate) struct ServerTask {
    pub(crate) half: ServerHalf<TestTransport>,
    application: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A server's connection that runs `application`, and its peer.
pub(crate) fn serve<F>(
    config: Config,
    application: impl FnOnce(WebSocket<TestTransport>) -> F,
) -> (ServerTask, Peer)
where
    F: Future<Output = ()> + Send + 'static,
{
    serve_connection(connection(Role::Server, config), application)
}

/// As [`serve`], with this connection.
pub(crate) fn serve_connection<F>(
    connection: Connection,
    application: impl FnOnce(WebSocket<TestTransport>) -> F,
) -> (ServerTask, Peer)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, ws) = ServerHalf::new(transport, connection, &[]);
    let application = Some(Box::pin(application(ws)) as _);
    (ServerTask { half, application, timer: None }, peer)
}

/// Sends every message back until the connection ends.
pub(crate) async fn echo(mut ws: WebSocket<TestTransport>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

impl ServerTask {
    /// One turn. `Ready`: the connection is over, and so is the application.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now().into_std();
        self.half.begin_turn(cx, now);
        self.application.take_if(|application| application.as_mut().poll(cx).is_ready());
        let over = self.half.end_turn(cx, now).is_ready();
        if over && self.application.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Future for ServerTask {
    type Output = CloseInfo;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseInfo> {
        loop {
            if self.turn(cx).is_ready() {
                return Poll::Ready(self.half.close_info().expect("it is over"));
            }
            self.timer = self.half.poll_timeout().map(|due| Box::pin(sleep_until(Instant::from_std(due))));
            let due = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if !due {
                return Poll::Pending;
            }
        }
    }
}
