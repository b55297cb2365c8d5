//! Turns: a connection with many messages does not keep the others waiting.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawConnection, RawFrame, RequestHead, Side};
use e2e_tests::server::{Script, ServerRunner};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;
use tokio::sync::Notify;
use ws_server::{Server, ServerBuilder};

/// The messages that one peer sends at once.
const MANY: usize = 20_000;
/// One of this many takes long.
const SLOW: usize = 50;

/// An application that is slow to handle the many messages of one peer, until another peer's message comes.
#[derive(Default)]
struct Application {
    /// How many of the many messages it has handled.
    handled: AtomicUsize,
    /// The same, when the other peer's message came.
    when_other_came: AtomicUsize,
    other: Mutex<Option<TcpStream>>,
    done: Notify,
}

impl Application {
    fn on_message(&self, payload: &[u8]) {
        let handled = self.handled.load(SeqCst);
        if payload == b"other" {
            self.when_other_came.store(handled, SeqCst);
            return;
        }
        self.handled.store(handled + 1, SeqCst);
        if handled == 2 * SLOW {
            // The other peer's message arrives while this turn continues.
            let mut other = self.other.lock().unwrap().take().unwrap();
            other.write_all(&RawFrame::binary("other").encode(Side::Client)).unwrap();
        }
        if handled.is_multiple_of(SLOW) && self.when_other_came.load(SeqCst) == 0 {
            sleep(Duration::from_millis(2));
        }
        if handled + 1 == MANY {
            self.done.notify_one();
        }
    }

    /// Both peers connect, and one sends its messages.
    async fn is_used(&self, server: SocketAddr) {
        let (mut many, _) = connect(server).await;
        let (other, stream) = connect(server).await;
        *self.other.lock().unwrap() = Some(stream);
        many.send_together(&vec![RawFrame::binary("m"); MANY]).await;
        self.done.notified().await;
        let handled = self.when_other_came.load(SeqCst);
        assert!((2 * SLOW..1000).contains(&handled), "the other message came after {handled} of {MANY}");
        for mut peer in [many, other] {
            peer.send(RawFrame::close(1000, "")).await;
            peer.expect_close(1000).await;
            peer.expect_eof().await;
        }
    }
}

/// Also returns another handle to the socket.
async fn connect(server: SocketAddr) -> (RawConnection, TcpStream) {
    let stream = tokio::net::TcpStream::connect(server).await.unwrap().into_std().unwrap();
    let socket = stream.try_clone().unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut connection = RawConnection::new(stream, Side::Client).unwrap();
    connection.send_bytes(RequestHead::new(server, "/").to_bytes()).await;
    assert_eq!(connection.recv_head().await.status(), 101);
    (connection, socket)
}

#[test]
fn a_handler_with_many_messages_lets_other_connections_run() {
    harness::run(async {
        let app = Arc::<Application>::default();
        let called = Arc::clone(&app);
        let script = Script::new().on_message(move |_, message| called.on_message(message.as_bytes()));
        let server = script.start(Server::builder()).await;
        app.is_used(server.addr()).await;
        server.stop().await;
    });
}

#[test]
fn a_function_with_many_messages_lets_other_connections_run() {
    harness::run(async {
        let app = Arc::<Application>::default();
        let called = Arc::clone(&app);
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            let app = Arc::clone(&called);
            async move {
                while let Some(message) = ws.recv().await {
                    app.on_message(message.as_bytes());
                }
            }
        })
        .await;
        app.is_used(server.addr()).await;
        server.stop().await;
    });
}

/// Sends many messages together with the handshake, and is silent then.
async fn is_silent_after_many(server: SocketAddr) {
    let stream = tokio::net::TcpStream::connect(server).await.unwrap();
    let mut peer = RawConnection::new(stream, Side::Client).unwrap();
    let mut bytes = RequestHead::new(server, "/").to_bytes();
    for _ in 0..3 * SLOW {
        bytes.extend(RawFrame::binary("m").encode(Side::Client));
    }
    peer.send_bytes(bytes).await;
    assert_eq!(peer.recv_head().await.status(), 101);
    peer.expect_close(1001).await;
    peer.send(RawFrame::close(1001, "")).await;
    peer.expect_eof().await;
}

fn with_idle_timeout() -> ServerBuilder {
    Server::builder().idle_timeout(Some(Duration::from_millis(300))).keepalive(None)
}

#[test]
fn a_handler_whose_first_turn_was_long_has_its_idle_timeout() {
    harness::run(async {
        let script = Script::new().on_message(|_, _| sleep(Duration::from_micros(100)));
        let server = script.start(with_idle_timeout()).await;
        is_silent_after_many(server.addr()).await;
        server.stop().await;
    });
}

#[test]
fn a_function_whose_first_turn_was_long_has_its_idle_timeout() {
    harness::run(async {
        let server = ServerRunner::serve(with_idle_timeout(), |mut ws| async move {
            while ws.recv().await.is_some() {
                sleep(Duration::from_micros(100));
            }
        })
        .await;
        is_silent_after_many(server.addr()).await;
        server.stop().await;
    });
}

#[test]
fn a_function_that_borrows_its_messages_answers_all_of_them_before_a_close() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            while let Some(message) = ws.recv_ref().await {
                let message = message.into_message();
                tokio::time::sleep(Duration::from_millis(1)).await;
                if ws.send(message).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let (mut peer, _) = connect(server.addr()).await;
        let mut frames: Vec<_> = (0..10).map(|n| RawFrame::binary([n])).collect();
        frames.push(RawFrame::close(1000, ""));
        peer.send_together(&frames).await;
        for n in 0..10 {
            peer.expect_binary(&[n]).await;
        }
        peer.expect_close(1000).await;
        peer.expect_eof().await;
        drop(peer);
        server.stop().await;
    });
}
