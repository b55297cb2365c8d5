//! What a connection costs that axum has handed to a server's shard, while it is idle.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../../../e2e-tests/tests/gates/counting.rs"]
mod counting;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::State, response::Response, routing::any};
use e2e_tests::{harness, server::ServerRunner};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use ws_hyper::Adoptable;
use ws_server::{Adopter, Conn, Handler, MessageRef, Rejection, Request, Server};

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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().route("/ws", any(adopt)).with_state(server.adopter().clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let tasks = Handle::current().metrics();
        let mut clients = Vec::with_capacity(WARM_UP + CONNECTIONS);
        let mut before = 0;
        for number in 0..WARM_UP + CONNECTIONS {
            if number == WARM_UP {
                settle(&tasks).await;
                before = held();
            }
            clients.push(open(addr).await);
        }
        settle(&tasks).await;
        let each = (held() - before) / CONNECTIONS as isize;
        println!("an idle connection behind axum: {each} bytes");
        assert!(each <= MOST, "{each}");
        assert!(each >= 50, "the connections are counted: {each}");
        drop(clients);
        serving.abort();
        server.stop().await;
    });
}

/// Waits until only the tasks of the two servers are left. The runtime frees the last registrations of sockets when it
/// next looks for events.
async fn settle(tasks: &tokio::runtime::RuntimeMetrics) {
    while tasks.num_alive_tasks() > 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
}
