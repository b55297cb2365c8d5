//! What a connection costs that axum has handed to a server's shard, while it is idle.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../../../e2e-tests/tests/gates/counting.rs"]
mod counting;

use std::{net::SocketAddr, time::Duration};

use axum::{Extension, Router, extract::State, response::Response, routing::any};
use e2e_tests::{harness, server::ServerRunner};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use ws_hyper::{Adoptable, Upgrader, axum::WebSocketUpgrade};
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server, adopt::Adopter};

use crate::counting::held;

const WARM_UP: usize = 100;
const CONNECTIONS: usize = 300;
/// Bytes of user memory for an idle connection of a handler.
const MOST: isize = 300;

struct Echo;

impl Handler for Echo {
    type Context = ();

    fn accept(_request: &mut Request, (): &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).expect("room for an echo");
    }
}

/// For comparison: a connection that axum's runtime serves.
async fn serve(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(|mut ws| async move {
        while let Some(message) = ws.recv().await {
            let _ = ws.send(message).await;
        }
    })
}

async fn adopt(State(adopter): State<Adopter>, ws: Adoptable) -> Response {
    ws.adopt(&adopter).await
}

/// Opens a connection through axum, exchanges a message, and returns the client's socket. It is registered with no
/// runtime, so it holds no memory.
async fn open(addr: SocketAddr) -> std::net::TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    // A masked text "x", and its echo.
    client.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
    let mut echo = [0; 3];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, [0x81, 1, b'x']);
    client.into_std().unwrap()
}

#[test]
fn an_idle_connection_of_a_handler_behind_axum_is_as_small_as_an_accepted_one() {
    harness::run(async {
        let server = ServerRunner::serve_handler_on_shards::<Echo>(Server::builder(), 1, ()).await;
        let app = Router::new().route("/ws", any(adopt)).with_state(server.adopter().clone());
        let adopted = cost_of_each(app, 0).await;
        server.stop().await;
        let upgrader = Upgrader::default();
        let app = Router::new().route("/ws", any(serve)).layer(Extension(upgrader.clone()));
        let with_task = cost_of_each(app, 1).await;
        upgrader.shutdown(Duration::from_secs(60)).await;
        println!("an idle connection behind axum: {adopted} bytes on a shard, {with_task} bytes with a task");
        assert!(adopted <= MOST, "{adopted}");
        assert!((50..with_task).contains(&adopted), "all is counted: {adopted}, {with_task}");
    });
}

/// Returns the bytes that each connection holds. `tasks` is the number of tasks that it has.
async fn cost_of_each(app: Router, tasks: usize) -> isize {
    let metrics = Handle::current().metrics();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let others = metrics.num_alive_tasks();
    // Waits until the tasks of the HTTP server's connections have ended. The runtime frees the last registrations of
    // sockets when it next looks for events.
    let settle = async |connections: usize| {
        while metrics.num_alive_tasks() > others + connections * tasks {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let mut clients = Vec::with_capacity(WARM_UP + CONNECTIONS);
    for _ in 0..WARM_UP {
        clients.push(open(addr).await);
    }
    settle(WARM_UP).await;
    let before = held();
    for _ in 0..CONNECTIONS {
        clients.push(open(addr).await);
    }
    settle(WARM_UP + CONNECTIONS).await;
    let each = (held() - before) / CONNECTIONS as isize;
    serving.abort();
    each
}
