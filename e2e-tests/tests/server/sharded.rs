//! Shards: the server's own threads.

use crate::adoption::Front;
use e2e_tests::harness;
use e2e_tests::raw_peer::RawClient;
use e2e_tests::server::{ServerRunner, bind, close_normally};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

thread_local! {
    /// The number of connections that this thread has had.
    static SERVED: Rc<Cell<usize>> = Rc::default();
}

/// Sends the name of its thread, and the number of connections that this thread has had.
struct Local(Rc<Cell<usize>>);

/// The number of clones of the context.
#[derive(Default)]
struct Shared(Arc<AtomicUsize>);

impl Clone for Shared {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(Arc::clone(&self.0))
    }
}

impl Handler for Local {
    type Context = Shared;

    fn accept(_request: &mut Request, _context: &Shared) -> Result<Self, Rejection> {
        let served = SERVED.with(Rc::clone);
        served.set(served.get() + 1);
        Ok(Self(served))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let here = thread::current();
        let greeting = format!("{} {}", here.name().unwrap_or("?"), self.0.get());
        conn.send_text(greeting).expect("an open connection");
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

/// The thread's name and its number of connections.
async fn greeting(client: &mut RawClient) -> (String, usize) {
    let frame = client.recv_frame().await;
    let text = String::from_utf8(frame.payload).expect("text is UTF-8");
    let (thread, count) = text.split_once(' ').expect("two words");
    (thread.to_owned(), count.parse().expect("a number"))
}

#[test]
fn connections_are_spread_evenly_and_handlers_need_not_be_send() {
    harness::run(async {
        let server =
            ServerRunner::serve_handler_on_shards::<Local>(Server::builder(), 3, Shared::default()).await;
        let mut clients = Vec::new();
        let mut served: HashMap<String, usize> = HashMap::new();
        for _ in 0..12 {
            let mut client = server.open().await;
            let (thread, count) = greeting(&mut client).await;
            let known = served.entry(thread).or_default();
            *known += 1;
            assert_eq!(count, *known, "accept and on_open run on the shard's thread");
            clients.push(client);
        }
        let mut spread: Vec<(String, usize)> = served.into_iter().collect();
        spread.sort();
        let expected = ["ws-shard-0", "ws-shard-1", "ws-shard-2"].map(|name| (name.to_owned(), 4));
        assert_eq!(spread, expected);
        drop(clients);
        server.stop().await;
    });
}

/// `Handler::accept` runs on the shard that will run the connection.
#[test]
fn adopted_connections_are_spread_as_accepted_ones_are() {
    harness::run(async {
        let server =
            ServerRunner::serve_handler_on_shards::<Local>(Server::builder(), 3, Shared::default()).await;
        let (front, mut served) = (Front::bind().await, HashMap::<String, usize>::new());
        let mut clients = Vec::new();
        for number in 0..12 {
            let mut client = match number % 2 {
                0 => front.open(server.adopter()).await,
                _ => server.open().await,
            };
            let (thread, count) = greeting(&mut client).await;
            let known = served.entry(thread).or_default();
            *known += 1;
            assert_eq!(count, *known, "accept and on_open run on the shard's thread");
            clients.push(client);
        }
        assert_eq!(served.into_values().collect::<Vec<_>>(), [4, 4, 4]);
        drop(clients);
        server.stop().await;
    });
}

#[test]
fn a_shard_that_lost_its_connections_gets_the_next() {
    harness::run(async {
        let server =
            ServerRunner::serve_handler_on_shards::<Local>(Server::builder(), 2, Shared::default()).await;
        let (mut first, mut second) = (server.open().await, server.open().await);
        let first_thread = greeting(&mut first).await.0;
        assert_ne!(greeting(&mut second).await.0, first_thread);
        for _ in 0..3 {
            close_normally(first).await;
            server.wait_for_connections(1).await;
            first = server.open().await;
            assert_eq!(greeting(&mut first).await.0, first_thread);
        }
        drop((first, second));
        server.stop().await;
    });
}

#[test]
fn each_shard_gets_a_clone_of_the_context_and_no_connection_does() {
    harness::run(async {
        let context = Shared::default();
        let clones = Arc::clone(&context.0);
        let server = ServerRunner::serve_handler_on_shards::<Local>(Server::builder(), 2, context).await;
        for _ in 0..5 {
            close_normally_after_greeting(server.open().await).await;
        }
        let made = clones.load(SeqCst);
        for _ in 0..5 {
            close_normally_after_greeting(server.open().await).await;
        }
        assert_eq!(clones.load(SeqCst), made, "none for a connection");
        server.stop().await;
    });
}

async fn close_normally_after_greeting(mut client: RawClient) {
    greeting(&mut client).await;
    close_normally(client).await;
}

#[test]
fn no_shards_are_one() {
    harness::run(async {
        let server =
            ServerRunner::serve_handler_on_shards::<Local>(Server::builder(), 0, Shared::default()).await;
        let mut client = server.open().await;
        assert_eq!(greeting(&mut client).await.0, "ws-shard-0");
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn dropping_the_servers_future_ends_its_threads() {
    harness::run(async {
        let server = bind(Server::builder()).await;
        let (handle, addr) = (server.shutdown_handle(), server.local_addr().unwrap());
        let running = tokio::spawn(server.sharded(2).serve_handler::<Local>(Shared::default()));
        let mut client = RawClient::open(addr, "/").await;
        greeting(&mut client).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        client.expect_end().await;
        assert!(handle.shutdown(std::time::Duration::ZERO).await.forced);
        // The harness waits for the threads and fails if they remain.
    });
}
