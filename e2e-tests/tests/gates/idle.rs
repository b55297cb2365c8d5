//! What an async function's connection holds while it waits for messages, after it has received many together.

use crate::counting::held;
use crate::server::upgraded;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use e2e_tests::server::ServerRunner;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use ws_server::{Server, ServerStream, WebSocket};

const WARM_UP: usize = 20;
const CONNECTIONS: usize = 200;
/// Messages that arrive together.
const TOGETHER: usize = 64;
/// Bytes of user memory for an idle connection.
const MOST: isize = 600;
/// The same for a function that has split the connection. Its future is larger.
const MOST_LENT: isize = 740;

async fn echo(mut ws: WebSocket<ServerStream>) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.expect("open");
    }
}

async fn echo_lent(ws: WebSocket<ServerStream>) {
    let (sender, mut receiver) = ws.split();
    while let Some(message) = receiver.recv_ref().await {
        sender.send_ref(message).await.expect("open");
    }
}

/// Opens a connection. It exchanges messages, many at once, and then waits for the next one.
async fn open(server: &ServerRunner) -> TcpStream {
    // Without tokio, a client holds no memory.
    let mut client = upgraded(server.addr()).await.into_std().expect("a socket");
    client.set_nonblocking(false).expect("a socket");
    exchange(&mut client, (opcode::TEXT, opcode::TEXT), TOGETHER);
    // The turn that answered them has ended when a later one answers this.
    exchange(&mut client, (opcode::PING, opcode::PONG), 1);
    client
}

fn exchange(client: &mut TcpStream, (sent, received): (u8, u8), count: usize) {
    let frames = RawFrame::new(sent, "x").encode(Side::Client).repeat(count);
    client.write_all(&frames).expect("the server reads");
    let expected = RawFrame::new(received, "x").encode(Side::Server).repeat(count);
    let mut answers = vec![0; expected.len()];
    client.read_exact(&mut answers).expect("the server answers");
    assert_eq!(answers, expected);
}

/// The bytes that an idle connection holds.
async fn measure(server: ServerRunner) -> isize {
    let mut clients = Vec::with_capacity(WARM_UP + CONNECTIONS);
    for _ in 0..WARM_UP {
        clients.push(open(&server).await);
    }
    let before = held();
    for _ in 0..CONNECTIONS {
        clients.push(open(&server).await);
    }
    let each = (held() - before) / CONNECTIONS as isize;
    drop(clients);
    server.stop().await;
    each
}

#[test]
fn an_idle_connection_of_an_async_function_is_small_after_many_messages_at_once() {
    harness::run(async {
        let server = ServerRunner::serve_on_shards(Server::builder(), 1, |ws, _request| echo(ws)).await;
        let each = measure(server).await;
        println!("an idle connection of an async function: {each} bytes");
        let server = ServerRunner::serve_on_shards(Server::builder(), 1, |ws, _request| echo_lent(ws)).await;
        let each_lent = measure(server).await;
        println!("the same, with messages that are lent: {each_lent} bytes");
        assert!(each <= MOST, "{each}");
        assert!(each_lent <= MOST_LENT, "{each_lent}");
    });
}
