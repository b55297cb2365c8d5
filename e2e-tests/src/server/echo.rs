//! An echo server with both APIs, so that one test body covers both.

use super::{Event, ObservedServer, Reporter, ServerRunner};
use crate::harness;
use std::collections::VecDeque;
use ws_server::{
    CloseInfo, Conn, Handler, Message, MessageRef, Rejection, Request, Server, ServerBuilder, ServerStream,
    WebSocket, error::SendError,
};

/// The two ways to write a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// A handler with callbacks: `Server::serve_handler`.
    Handler,
    /// An async function: `Server::serve`.
    Async,
}

impl Api {
    /// Both APIs.
    pub const ALL: [Self; 2] = [Self::Handler, Self::Async];
}

/// Runs `test` against an echo server of each [`Api`] with default settings, then stops the server.
///
/// # Panics
/// When the test fails.
pub fn echo_test(test: impl AsyncFn(&mut ObservedServer)) {
    echo_test_with(|builder| builder, test);
}

/// As [`echo_test`], with settings.
///
/// # Panics
/// When the test fails.
pub fn echo_test_with(
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
    test: impl AsyncFn(&mut ObservedServer),
) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut server = start_echo(api, configure(Server::builder())).await;
            test(&mut server).await;
            server.stop().await;
        }
    });
}

/// An echo server on the test's runtime, or in the second run of a test on one shard.
pub async fn start_echo(api: Api, builder: ServerBuilder) -> ObservedServer {
    let (reporter, events) = Reporter::channel();
    let runner = match api {
        Api::Handler => ServerRunner::serve_handler::<Echo>(builder, reporter).await,
        Api::Async => ServerRunner::serve(builder, move |ws| echo(ws, reporter.clone())).await,
    };
    ObservedServer::new(runner, events)
}

/// An echo server on shards.
pub async fn start_sharded_echo(api: Api, builder: ServerBuilder, shards: usize) -> ObservedServer {
    let (reporter, events) = Reporter::channel();
    let runner = match api {
        Api::Handler => ServerRunner::serve_handler_on_shards::<Echo>(builder, shards, reporter).await,
        Api::Async => {
            ServerRunner::serve_on_shards(builder, shards, move |ws, _| echo(ws, reporter.clone())).await
        }
    };
    ObservedServer::new(runner, events)
}

async fn echo(mut ws: WebSocket<ServerStream>, reporter: Reporter) {
    reporter.report(Event::Opened);
    while let Some(message) = ws.recv().await {
        reporter.report(Event::Message(message.clone()));
        // An error means that the connection is closing. The loop continues until `recv` returns `None`.
        let _ = ws.send(message).await;
    }
    reporter.report(Event::Closed(ws.close_info().expect("known once recv has returned None")));
}

/// One connection of the echo server, as a [`Handler`].
#[derive(Debug)]
pub struct Echo {
    reporter: Reporter,
    /// Messages that did not fit into the write queue.
    waiting: VecDeque<Message>,
}

impl Handler for Echo {
    type Context = Reporter;

    fn accept(_request: &mut Request, reporter: &Reporter) -> Result<Self, Rejection> {
        Ok(Self { reporter: reporter.clone(), waiting: VecDeque::new() })
    }

    fn on_open(&mut self, _conn: &mut Conn<'_>) {
        self.reporter.report(Event::Opened);
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let message = message.into_message();
        self.reporter.report(Event::Message(message.clone()));
        if let Err(SendError::Full(message)) = conn.send_message(message) {
            self.waiting.push_back(message);
            conn.pause();
        }
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(SendError::Full(message)) = conn.send_message(message) {
                self.waiting.push_front(message);
                return;
            }
        }
        conn.resume();
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, info: &CloseInfo) {
        self.reporter.report(Event::Closed(info.clone()));
    }

    fn on_handshake_failed(&mut self) {
        self.reporter.report(Event::HandshakeFailed);
    }
}
