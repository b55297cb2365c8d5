//! Connections that a listener of the test's own accepts and hands to a running server.

mod decisions;
mod ends;
mod limits;
mod transports;

use e2e_tests::faults::dropped_after;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, RequestHead, SAMPLE_KEY, Side};
use e2e_tests::server::{Api, Event, Script, ServerRunner, close_normally, echo_test, start_echo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use ws_proto::{Limits, handshake::RequestReader};
use ws_server::{
    Server,
    adopt::{Adopter, OpeningRequest, Reservation},
    error::ReserveError,
};

/// Stands for an HTTP server: it accepts connections and reads their requests.
pub(crate) struct Front(TcpListener);

/// A connection whose request is read and not answered.
struct Arrived {
    stream: TcpStream,
    peer: SocketAddr,
    request: http::Request<()>,
    /// What was read behind the request.
    received: Vec<u8>,
}

impl Front {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    /// A client that has sent a valid request, and its connection.
    async fn arrive(&self) -> (RawClient, Arrived) {
        self.arrive_with(|request| request).await
    }

    /// As [`arrive`](Self::arrive), with a changed request.
    async fn arrive_with(&self, change: impl FnOnce(RequestHead) -> RequestHead) -> (RawClient, Arrived) {
        let (mut client, stream, peer) = self.connect().await;
        let request = change(client.request("/chat?room=1")).to_bytes();
        client.send_bytes(&request).await;
        (client, Arrived::read(stream, peer, request.len()).await)
    }

    async fn connect(&self) -> (RawClient, TcpStream, SocketAddr) {
        let client = RawClient::connect(self.0.local_addr().expect("a bound listener")).await;
        let (stream, peer) = self.0.accept().await.expect("the connection that was just made");
        (client, stream, peer)
    }

    /// A client whose connection `adopter`'s server has adopted.
    pub(crate) async fn open(&self, adopter: &Adopter) -> RawClient {
        let (mut client, arrived) = self.arrive().await;
        arrived.adopt(adopter).await.expect("the server takes it");
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client
    }
}

impl Arrived {
    /// Reads this many bytes, which contain the request.
    async fn read(mut stream: TcpStream, peer: SocketAddr, length: usize) -> Self {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.expect("the client has sent as much");
        let read = RequestReader::new(&Limits::default()).read(&bytes).expect("a request");
        let (request, head) = read.expect("the whole of it");
        Self { stream, peer, request, received: bytes.split_off(head) }
    }

    async fn reserve(self, adopter: &Adopter) -> Result<(Reservation, TcpStream, Vec<u8>), ReserveError> {
        let Self { stream, peer, request, received } = self;
        let reservation = adopter.reserve(OpeningRequest::new(request).peer_addr(peer)).await?;
        Ok((reservation, stream, received))
    }

    async fn adopt(self, adopter: &Adopter) -> Result<(), ReserveError> {
        let (reservation, mut stream, received) = self.reserve(adopter).await?;
        stream.write_all(&reservation.encode_response()).await.expect("the client is there");
        reservation.adopt(stream, received).expect("the server still runs");
        Ok(())
    }
}

/// The status of the answer to a request that the server refuses.
fn status(refused: Result<impl Sized, ReserveError>) -> u16 {
    refused.err().expect("it is refused").into_rejection().response().status().as_u16()
}

async fn expect_echo(client: &mut RawClient, text: &str) {
    client.send(RawFrame::text(text)).await;
    client.expect_text(text).await;
}

#[test]
fn an_adopted_connection_is_served_as_an_accepted_one_is() {
    echo_test(async |server| {
        let front = Front::bind().await;
        let (mut adopted, mut accepted) = (front.open(server.adopter()).await, server.open().await);
        server.expect(Event::Opened).await;
        for client in [&mut adopted, &mut accepted] {
            expect_echo(client, "hello").await;
            client.send(RawFrame::ping("alive?")).await;
            client.expect_pong(b"alive?").await;
        }
        assert_eq!((server.handle().connections(), server.handle().handshakes()), (2, 0));
        close_normally(adopted).await;
        close_normally(accepted).await;
        server.wait_for_connections(0).await;
    });
}

#[test]
fn bytes_that_were_read_behind_the_request_are_not_lost_wherever_they_are_cut() {
    echo_test(async |server| {
        let front = Front::bind().await;
        let frames =
            [RawFrame::text("first"), RawFrame::binary(vec![7; 200])].map(|frame| frame.encode(Side::Client));
        let frames = frames.concat();
        for cut in 0..=frames.len() {
            let (mut client, stream, peer) = front.connect().await;
            let request = client.request("/").to_bytes();
            client.send_bytes([request.as_slice(), &frames].concat()).await;
            let arrived = Arrived::read(stream, peer, request.len() + cut).await;
            assert_eq!(arrived.received.len(), cut);
            arrived.adopt(server.adopter()).await.expect("the server takes it");
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            client.expect_text("first").await;
            client.expect_binary(&[7; 200]).await;
            close_normally(client).await;
        }
    });
}

/// More than a connection reads in one turn. The kernel reports nothing new while they are handled.
#[test]
fn megabytes_that_were_read_behind_the_request_are_all_delivered_in_order() {
    const MESSAGES: u8 = 200;

    echo_test(async |server| {
        let (mut client, mut arrived) = Front::bind().await.arrive().await;
        let payload = |n: u8| vec![n; 100 * usize::from(n)];
        for n in 0..MESSAGES {
            arrived.received.extend(RawFrame::binary(payload(n)).encode(Side::Client));
        }
        arrived.adopt(server.adopter()).await.expect("the server takes it");
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        for n in 0..MESSAGES {
            client.expect_binary(&payload(n)).await;
        }
        close_normally(client).await;
    });
}

#[test]
fn the_application_gets_the_request_with_its_extensions() {
    #[derive(Debug, Clone, PartialEq)]
    struct User(&'static str);

    harness::run(async {
        let serve = |mut ws: ws_server::WebSocket<ws_server::ServerStream>, request: ws_server::Request| async move {
            let User(name) = request.extensions().get().cloned().expect("the front has set it");
            assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
            assert!(request.peer_addr().is_some() && ws.subprotocol() == Some("chat"));
            ws.send(format!("hello, {name}")).await.expect("open");
        };
        let builder = Server::builder().on_request(|request| {
            request.select_subprotocol(&["chat"]);
            Ok(())
        });
        let server = ServerRunner::serve_with_request(builder, serve).await;
        let front = Front::bind().await;
        let offer = |request: RequestHead| request.with("Sec-WebSocket-Protocol", "other, chat");
        let (mut client, mut arrived) = front.arrive_with(offer).await;
        arrived.request.extensions_mut().insert(User("eve"));
        arrived.adopt(server.adopter()).await.unwrap();
        assert_eq!(client.recv_head().await.header("Sec-WebSocket-Protocol"), Some("chat"));
        client.expect_text("hello, eve").await;
        client.expect_close(1000).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_connection_is_adopted_from_a_runtime_that_ends_afterwards() {
    for_each_api(async |api| {
        let server = start_echo(api, Server::builder()).await;
        let (front, adopter) =
            (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), server.adopter().clone());
        let mut client = RawClient::connect(front.local_addr().unwrap()).await;
        let request = client.request("/").to_bytes();
        client.send_bytes(&request).await;
        let elsewhere = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (stream, peer) = front.accept().unwrap();
                stream.set_nonblocking(true).unwrap();
                let stream = TcpStream::from_std(stream).unwrap();
                let arrived = Arrived::read(stream, peer, request.len()).await;
                arrived.adopt(&adopter).await.unwrap();
            });
        });
        elsewhere.await.unwrap();
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        expect_echo(&mut client, "still here").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_server_without_a_listener_serves_what_it_adopts() {
    harness::run(async {
        for shards in 0..3 {
            let server = Server::builder().without_listener().unwrap();
            assert_eq!(server.local_addr().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
            let (adopter, handle) = (server.adopter(), server.shutdown_handle());
            let echo = |mut ws: ws_server::WebSocket<ws_server::ServerStream>, _request| async move {
                while let Some(message) = ws.recv().await {
                    let _ = ws.send(message).await;
                }
            };
            let running = tokio::spawn(async move {
                match shards {
                    0 => server.serve(echo).await,
                    shards => server.sharded(shards).serve(echo).await.unwrap(),
                }
            });
            let front = Front::bind().await;
            let mut client = front.open(&adopter).await;
            expect_echo(&mut client, "hello").await;
            close_normally(client).await;
            handle.shutdown(Duration::from_secs(5)).await;
            assert!(!running.await.unwrap().forced);
        }
    });
}

/// Runs a test for each API.
fn for_each_api(test: impl AsyncFn(Api)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            test(api).await;
        }
    });
}

#[test]
fn wherever_a_reservation_is_dropped_its_place_is_free_again_and_the_handler_learns_it() {
    harness::run(async {
        let mut server = Script::new().start(Server::builder().max_connections(1)).await;
        let front = Front::bind().await;
        for polls in 0.. {
            let (_client, arrived) = front.arrive().await;
            let reserved = dropped_after(polls, server.adopter().reserve(arrived.request)).await;
            let is_done = reserved.is_some();
            drop(reserved);
            server.wait_for_connections(0).await;
            server.wait_for_handshakes(0).await;
            if is_done {
                break;
            }
        }
        assert_eq!(server.next().await, Event::HandshakeFailed);
        let (_report, rest) = server.stop_and_drain().await;
        assert!(rest.iter().all(|event| *event == Event::HandshakeFailed), "{rest:?}");
    });
}
