//! Servers and shutdowns that are dropped after each number of polls: all clients see the end of their connections.
//!
//! | future | test |
//! |---|---|
//! | `Server::bind`, `ServerBuilder::bind` | `a_dropped_bind_leaves_the_address_free` |
//! | `Server::serve`, `serve`, `run`, `ShardedServer::serve`, `ShardedServer::serve_handler` | `wherever_a_server_is_dropped_all_clients_see_the_end` |
//! | `ShutdownHandle::shutdown` | `a_dropped_shutdown_continues` |

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};

use e2e_tests::{
    faults::dropped_after,
    harness::{Options, run, run_with},
    raw_peer::{RawClient, RequestHead},
    server::{GRACE, answer_close},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::interval,
};
use ws_server::{
    Conn, Handler, MessageRef, Rejection, Request, Server, ServerStream, ShutdownReport, WebSocket,
};

#[test]
fn a_dropped_bind_leaves_the_address_free() {
    run(async {
        let free = SocketAddr::from(([127, 0, 0, 1], e2e_tests::free_port()));
        for polls in 0.. {
            if dropped_after(polls, Server::bind(free)).await.is_some_and(|bound| bound.is_ok()) {
                break;
            }
            drop(Server::builder().bind(free).await.unwrap());
        }
    });
}

/// Echoes.
struct Echo;

impl Handler for Echo {
    type Context = ();

    fn accept(_: &mut Request, (): &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let _ = conn.send_text(message.as_text().unwrap_or_default());
    }
}

async fn echo(mut ws: WebSocket<ServerStream>) {
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

type Serving = Pin<Box<dyn Future<Output = io::Result<ShutdownReport>>>>;

/// A server's future and its name.
type Form = (&'static str, fn(Server) -> Serving);

const FORMS: [Form; 5] = [
    ("serve", |server| Box::pin(async { Ok(server.serve(|ws, _| echo(ws)).await) })),
    ("serve_handler", |server| Box::pin(async { Ok(server.serve_handler::<Echo>(()).await) })),
    ("one shard, serve", |server| Box::pin(server.sharded(1).serve(|ws, _| echo(ws)))),
    ("two shards, serve", |server| Box::pin(server.sharded(2).serve(|ws, _| echo(ws)))),
    ("two shards, serve_handler", |server| Box::pin(server.sharded(2).serve_handler::<Echo>(()))),
];

/// Polls a server's future this many times, with and without wake-ups. Returns whether it was ready.
async fn served_for(polls: usize, serving: Serving) -> bool {
    let mut serving = pin!(dropped_after(polls, serving));
    let mut ticks = interval(Duration::from_micros(200));
    poll_fn(|cx| {
        while ticks.poll_tick(cx).is_ready() {}
        serving.as_mut().poll(cx).map(|done| done.is_some())
    })
    .await
}

/// Connects, exchanges messages, and waits until the server is gone.
async fn talk(addr: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return };
    let _ = stream.write_all(&RequestHead::new(addr, "/").to_bytes()).await;
    for _ in 0..3 {
        let _ = stream.write_all(b"\x81\x85\0\0\0\0hello").await;
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Sends a request that it never completes.
async fn stammer(addr: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return };
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[test]
fn wherever_a_server_is_dropped_all_clients_see_the_end() {
    let options = Options { deadline: Duration::from_secs(60), ..Options::default() };
    run_with(options, async {
        for (name, serve) in FORMS {
            for polls in 0..40 {
                let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
                let addr = server.local_addr().unwrap();
                let clients = async {
                    tokio::join!(talk(addr), stammer(addr), talk(addr));
                };
                let ((), done) = tokio::join!(clients, served_for(polls, serve(server)));
                assert!(!done, "{name}: ended without a shutdown");
                // A thread of the server may take a moment to end.
                while TcpStream::connect(addr).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
}

#[test]
fn a_dropped_shutdown_continues() {
    run(async {
        for polls in 0.. {
            let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
            let (addr, handle) = (server.local_addr().unwrap(), server.shutdown_handle());
            let serving = tokio::spawn(server.serve(|ws, _| echo(ws)));
            let client = RawClient::open(addr, "/").await;
            let leaving = async move {
                answer_close(client, 1001).await;
            };
            let ending = async {
                let reported = dropped_after(polls, handle.shutdown(GRACE)).await;
                if polls == 0 {
                    assert_eq!(handle.connections(), 1, "it has not begun");
                    handle.start(GRACE);
                }
                (reported, serving.await.unwrap())
            };
            let ((), (reported, report)) = tokio::join!(leaving, ending);
            assert_eq!((report.clean, report.unclean, report.forced), (1, 0, false), "after {polls} polls");
            if let Some(reported) = reported {
                assert_eq!(reported, report);
                assert!(polls > 1);
                break;
            }
            assert_eq!(handle.shutdown(GRACE).await, report, "a later call returns the same report");
        }
    });
}
