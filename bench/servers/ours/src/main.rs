//! Our echo server for the cases that `echo-server` has no options for: on a runtime with `--workers N`, with
//! `--api handler|async`. With `--shards N` it has its own threads. Keepalive is off, as in all other servers here.

use bench_common::server::{self, MAX_MESSAGE};
use bench_runtime::{Clock, Start};
use tokio::net::TcpListener;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    Handler,
    Async,
}

struct Echo;

impl Handler for Echo {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        // The write queue has room for all messages in flight. The load generator would report a missing echo.
        let _ = conn.send(message);
    }
}

macro_rules! echo {
    () => {
        |mut ws, _request| async move {
            while let Some(message) = ws.recv().await {
                if ws.send(message).await.is_err() {
                    break;
                }
            }
        }
    };
}

async fn serve(listener: TcpListener, api: Api, shards: usize) -> std::io::Result<()> {
    let builder = Server::builder().max_message_size(MAX_MESSAGE).max_connections(None).max_handshakes(1024);
    let server = builder.keepalive(None).listener(listener)?;
    let _report = match api {
        Api::Handler if shards == 0 => server.serve_handler::<Echo>(()).await,
        Api::Async if shards == 0 => server.serve(echo!()).await,
        Api::Handler => server.sharded(shards).serve_handler::<Echo>(()).await?,
        Api::Async => server.sharded(shards).serve(echo!()).await?,
    };
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    let api = match start.option("api", String::from("handler")).as_str() {
        "handler" => Api::Handler,
        "async" => Api::Async,
        _ => server::refuse("--api handler|async"),
    };
    let shards = start.option("shards", 0);
    start.run(Clock::On, |listener| serve(listener, api, shards))
}
