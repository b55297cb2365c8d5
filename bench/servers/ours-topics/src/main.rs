//! Broadcast with topics: each connection subscribes to the topic that its target names, and each message is published
//! to it.

use bench_common::server::{self, MAX_MESSAGE};
use tokio::net::TcpListener;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

struct Member {
    topic: String,
}

impl Handler for Member {
    type Context = ();

    fn accept(request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self { topic: request.path().to_owned() })
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.subscribe(&self.topic).expect("a topic has room for each connection");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        // A message that is refused misses everywhere. The load generator would report that.
        let _ = conn.topics().publish(&self.topic, message.into_message());
    }
}

fn main() -> std::io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(server::listen(options.listen)?)?;
        let server = Server::builder().max_message_size(MAX_MESSAGE).listener(listener)?;
        server.sharded(1).serve_handler::<Member>(()).await.map(drop)
    })
}
