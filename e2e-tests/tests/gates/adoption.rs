//! What a connection costs that a server has adopted, while it is idle.

use crate::counting::held;
use e2e_tests::harness;
use e2e_tests::server::ServerRunner;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

const WARM_UP: usize = 100;
const CONNECTIONS: usize = 350;
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

/// Opens a connection that the server adopts, exchanges a message, and returns the client's end.
async fn open(server: &ServerRunner, front: &TcpListener) -> TcpStream {
    let mut client = TcpStream::connect(front.local_addr().expect("a bound listener")).expect("it listens");
    let (stream, peer) = front.accept().expect("the connection that was just made");
    stream.set_nonblocking(true).expect("a socket");
    // As inside hyper, the socket is registered with a runtime.
    let stream = tokio::net::TcpStream::from_std(stream).expect("a runtime");
    let request = http::Request::builder()
        .uri("/")
        .header("Host", "a.example")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .expect("a request");
    let opening = ws_server::adopt::OpeningRequest::new(request).peer_addr(peer);
    let reservation = server.adopter().reserve(opening).await.expect("the server has room");
    reservation.adopt(stream, Vec::new()).expect("the server runs");
    // A masked text "x", and its echo.
    client.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).expect("the server reads");
    let mut echo = [0; 3];
    client.read_exact(&mut echo).expect("the server answers");
    assert_eq!(echo, [0x81, 1, b'x']);
    client
}

#[test]
fn an_adopted_idle_connection_of_a_handler_is_as_small_as_an_accepted_one() {
    harness::run(async {
        let server = ServerRunner::serve_handler_on_shards::<Echo>(Server::builder(), 1, ()).await;
        let front = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut clients = Vec::with_capacity(WARM_UP + CONNECTIONS);
        for _ in 0..WARM_UP {
            clients.push(open(&server, &front).await);
        }
        let before = held();
        for _ in 0..CONNECTIONS {
            clients.push(open(&server, &front).await);
        }
        // The runtime frees the last registrations when it next looks for events.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let each = (held() - before) / CONNECTIONS as isize;
        println!("an adopted idle connection: {each} bytes");
        assert!(each <= MOST, "{each}");
        drop(clients);
        server.stop().await;
    });
}
