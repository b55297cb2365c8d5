//! A server's task, as `ws-server` has it, without the server.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};
use ws_proto::{CloseInfo, Config, Role};
use ws_tokio::{WebSocket, internal::ServerHalf};

use super::{Peer, Script, connection};

/// Runs the application's future and moves bytes around it; its result is how the connection ended.
pub(crate) struct Serve {
    pub(crate) served: ServerHalf<Script>,
    application: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A server's connection with `application` as its user, and the client.
pub(crate) fn serve<F>(config: Config, application: impl FnOnce(WebSocket<Script>) -> F) -> (Serve, Peer)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (script, peer) = Script::new(Role::Server);
    let (served, ws) = ServerHalf::new(script, connection(Role::Server, config), &[]);
    let application = Some(Box::pin(application(ws)) as _);
    (Serve { served, application, timer: None }, peer)
}

/// Sends every message back until the end.
pub(crate) async fn echo(mut ws: WebSocket<Script>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

impl Serve {
    /// One turn. `Ready`: the connection is over, and so is the application.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now().into_std();
        self.served.begin_turn(cx, now);
        self.application.take_if(|application| application.as_mut().poll(cx).is_ready());
        let over = self.served.end_turn(cx, now).is_ready();
        if over && self.application.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Future for Serve {
    type Output = CloseInfo;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseInfo> {
        loop {
            if self.turn(cx).is_ready() {
                return Poll::Ready(self.served.close_info().expect("it is over"));
            }
            self.timer = self.served.poll_timeout().map(|due| Box::pin(sleep_until(Instant::from_std(due))));
            let due = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if !due {
                return Poll::Pending;
            }
        }
    }
}
