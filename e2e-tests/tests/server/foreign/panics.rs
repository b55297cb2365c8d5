//! Panics whose payload panics when it is dropped, and destructors of the application's values.

use super::{Make, Way, expect_echo, explode, once, run, start};
use bytes::Bytes;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, Script, ServerRunner, bind, close_normally};
use http::HeaderValue;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server, ServerStream, WebSocket};

/// Checks that the first client's connection ends with 1011, and that the second is served before and after.
async fn expect_1011(server: ServerRunner, trigger: &[RawFrame]) {
    let mut bad = server.open().await;
    bad.send_together(trigger).await;
    loop {
        let frame = bad.recv_frame().await;
        if let Some((code, _)) = frame.close_code() {
            assert_eq!(code, 1011);
            break;
        }
    }
    bad.expect_eof().await;
    drop(bad);
    server.wait_for_connections(0).await;
    server.expect_alive().await;
    server.stop().await;
}

/// A handler that panics, and the message that causes it.
type Case<'a> = (fn() -> Script, &'a [RawFrame]);

/// A script with a callback that panics once.
fn on(hook: impl FnOnce(Box<dyn Fn() + Send + Sync>, Script) -> Script) -> Script {
    hook(Box::new(once()), Script::new())
}

#[test]
fn a_panic_whose_payload_panics_ends_its_own_connection() {
    run(async {
        let hello = [RawFrame::text("hello")];
        let cases: [Case<'_>; 5] = [
            (|| on(|f, script| script.on_open(move |_| f())), &[]),
            (|| on(|f, script| script.on_message(move |_, _| f())), &hello),
            (|| on(|f, script| script.on_ping(move |_, _| f())), &[RawFrame::ping("boom")]),
            (|| on(|f, script| script.on_pong(move |_, _| f())), &[RawFrame::pong("boom")]),
            (
                || {
                    on(|f, script| {
                        let script = script.on_message(|conn, _| conn.send_text("a".to_owned()).unwrap());
                        script.on_write_complete(move |_, _| f())
                    })
                },
                &hello,
            ),
        ];
        for (script, trigger) in cases {
            let mut server = script().start(Server::builder()).await;
            let mut bad = server.open().await;
            bad.send_together(trigger).await;
            while bad.recv_frame().await.close_code().is_none_or(|(code, _)| code != 1011) {}
            bad.expect_eof().await;
            drop(bad);
            server.closed().await;
            server.wait_for_connections(0).await;
            server.expect_alive().await;
            server.stop().await;
        }
    });
}

#[test]
fn a_panic_whose_payload_panics_ends_its_own_function() {
    run(async {
        let f = Arc::new(once());
        let server = ServerRunner::serve(Server::builder(), move |mut ws: WebSocket<ServerStream>| {
            let f = Arc::clone(&f);
            async move {
                while ws.recv().await.is_some() {
                    f();
                }
            }
        });
        expect_1011(server.await, &[RawFrame::text("boom")]).await;
        // Panics in the function that makes the future.
        let f = once();
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            f();
            async move { while ws.recv().await.is_some() {} }
        });
        expect_1011(server.await, &[]).await;
    });
}

/// Panics when it is dropped, the first time.
struct Mine(Arc<dyn Fn() + Send + Sync>);

impl Mine {
    fn new() -> impl Fn() -> Self + Clone + Send + Sync + 'static {
        let f: Arc<dyn Fn() + Send + Sync> = Arc::new(once());
        move || Self(Arc::clone(&f))
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn the_destructor_of_a_function_may_panic_wherever_it_runs() {
    run(async {
        // With a function that returns, and with one that is cut off.
        for shuts_down in [false, true] {
            let mine = Mine::new();
            let server = ServerRunner::serve(Server::builder(), move |mut ws| {
                let mine = mine();
                async move {
                    ws.recv().await;
                    if shuts_down {
                        pending::<()>().await;
                    }
                    drop(ws);
                    std::future::poll_fn(|_| std::task::Poll::Ready(())).await;
                    drop(mine);
                }
            })
            .await;
            let mut other = server.open().await;
            let mut client = server.open().await;
            client.send(RawFrame::text("end")).await;
            if shuts_down {
                let report = server.stop_within(Duration::ZERO).await;
                assert!(report.forced);
                while other.try_recv_frame().await.is_ok() {}
                continue;
            }
            let _ = client.recv_frame().await;
            client.send(RawFrame::close(1000, "")).await;
            drop(client);
            server.wait_for_connections(1).await;
            close_normally(other).await;
            server.stop().await;
        }
    });
}

/// A handler with a field whose destructor panics.
struct Mined(#[expect(dead_code, reason = "its destructor is what matters")] Mine);

impl Handler for Mined {
    type Context = Arc<dyn Fn() -> Mine + Send + Sync>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).unwrap();
    }

    fn on_handshake_failed(&mut self) {
        explode();
    }
}

#[test]
fn the_destructor_of_a_handler_may_panic() {
    run(async {
        let server = ServerRunner::serve_handler::<Mined>(Server::builder(), Arc::new(Mine::new())).await;
        let (client, mut other) = (server.open().await, server.open().await);
        close_normally(client).await;
        server.wait_for_connections(1).await;
        expect_echo(&mut other).await;
        close_normally(other).await;
        server.stop().await;
    });
}

#[test]
fn a_handler_that_is_refused_after_all_may_panic_twice() {
    run(async {
        // A header that a 101 must not have.
        let builder = Server::builder().on_request(|request| {
            request.add_response_header(http::header::CONNECTION, HeaderValue::from_static("close"));
            Ok(())
        });
        let server = ServerRunner::serve_handler::<Mined>(builder, Arc::new(Mine::new())).await;
        for _ in 0..2 {
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            let head = client.upgrade_with(request).await;
            assert_eq!(head.status(), 500);
        }
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

/// A handler's context that panics in its clone or in its destructor.
struct Fragile {
    clones: bool,
    drops: Arc<AtomicBool>,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if self.clones {
            explode();
        }
        Self { clones: false, drops: Arc::clone(&self.drops) }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.drops.load(SeqCst) {
            explode();
        }
    }
}

struct Simple;

impl Handler for Simple {
    type Context = Fragile;

    fn accept(_request: &mut Request, _context: &Fragile) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).unwrap();
    }
}

#[test]
fn a_context_that_panics_ends_the_server_and_its_shutdown_returns() {
    run(async {
        for clones in [true, false] {
            let server = bind(Server::builder()).await;
            let (handle, addr) = (server.shutdown_handle(), server.local_addr().unwrap());
            let drops = Arc::new(AtomicBool::new(false));
            let context = Fragile { clones, drops: Arc::clone(&drops) };
            let running = tokio::spawn(server.sharded(1).serve_handler::<Simple>(context));
            if !clones {
                let mut client = RawClient::open(addr, "/").await;
                expect_echo(&mut client).await;
                close_normally(client).await;
                drops.store(true, SeqCst);
            }
            // Without a clone of the context there is no shard, and the server ends by itself.
            handle.shutdown(Duration::ZERO).await;
            running.await.unwrap().unwrap_err();
            assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "peers are refused");
        }
    });
}

/// A `tracing` subscriber that panics at each error.
struct Logs;

impl tracing::Subscriber for Logs {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {
        explode();
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

#[test]
fn a_log_that_panics_ends_the_connection_it_is_about_and_no_other() {
    run(async {
        tracing::subscriber::set_global_default(Logs).unwrap();
        for api in Api::ALL {
            // Panics in the callback, and then when that panic is logged.
            let make: Make = Arc::new(|_| {
                explode();
                Bytes::new()
            });
            let server = start(api, Server::builder(), Way::Send, make).await;
            let (mut client, mut other) = (server.open().await, server.open().await);
            client.send(RawFrame::text("go")).await;
            while client.try_recv_frame().await.is_ok() {}
            server.wait_for_connections(1).await;
            expect_echo(&mut other).await;
            close_normally(other).await;
            server.stop().await;
        }
    });
}
