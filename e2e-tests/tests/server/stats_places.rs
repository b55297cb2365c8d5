//! Each panic of the application's code is counted once, at its place.

use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame, RequestHead};
use e2e_tests::server::{
    Api, ObservedServer, Script, ServerRunner, answer_close, close_normally, start_echo,
};
use std::sync::Arc;
use ws_server::{OriginPolicy, Server, ServerBuilder, stats::Panics};

/// Handlers, functions, requests, observers.
fn counts(panics: Panics) -> [u64; 4] {
    let Panics { handlers, functions, requests, observers, .. } = panics;
    assert_eq!(panics.total(), handlers + functions + requests + observers);
    [handlers, functions, requests, observers]
}

fn run(test: impl Future<Output = ()>) {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, test);
}

fn boom() {
    panic!("on purpose");
}

/// A server whose hooks panic for the paths of their names.
async fn panicking(api: Api) -> ObservedServer {
    let origin = OriginPolicy::Custom(Arc::new(|origin| {
        assert_ne!(origin, "http://panic.example", "on purpose");
        true
    }));
    let builder = Server::builder()
        .origin(origin)
        .http(|_request| panic!("on purpose"))
        .on_request(|request| {
            assert_ne!(request.path(), "/on_request", "on purpose");
            Ok(())
        })
        .on_request_async(async |request| {
            assert_ne!(request.path(), "/on_request_async", "on purpose");
            Ok(request)
        });
    match api {
        Api::Handler => {
            let script = Script::new().accept(|request| {
                assert_ne!(request.path(), "/accept", "on purpose");
                Ok(())
            });
            script.start(builder).await
        }
        Api::Async => start_echo(api, builder).await,
    }
}

async fn expect_500(mut client: RawClient, request: RequestHead) {
    client.send_bytes(request.to_bytes()).await;
    assert_eq!(client.recv_head().await.status(), 500);
}

#[test]
fn each_hook_of_a_request_counts_as_one() {
    run(async {
        for api in Api::ALL {
            let server = panicking(api).await;
            let mut requests = 0;
            for path in ["/on_request", "/on_request_async", "/accept"] {
                if path == "/accept" && api == Api::Async {
                    continue;
                }
                let client = server.connect().await;
                let request = client.request(path);
                expect_500(client, request).await;
                requests += 1;
                assert_eq!(counts(server.stats().panics), [0, 0, requests, 0], "{path}");
            }
            let client = server.connect().await;
            let request = client.request("/").with("Origin", "http://panic.example");
            expect_500(client, request).await;
            let client = server.connect().await;
            let request = client.request("/").without("Upgrade").without("Connection");
            expect_500(client, request).await;
            assert_eq!(counts(server.stats().panics), [0, 0, requests + 2, 0]);
            close_normally(server.open().await).await;
            server.stop().await;
        }
    });
}

/// A handler that panics in one callback, once. The peer sends `frame`.
async fn panics_of(script: Script, builder: ServerBuilder, frame: RawFrame) -> [u64; 4] {
    let server = script.start(builder).await;
    let mut client = server.open().await;
    client.send(frame).await;
    // A message may come before.
    let code = loop {
        if let Some((code, _)) = client.recv_frame().await.close_code() {
            break code;
        }
    };
    assert_eq!(code, 1011);
    client.send(RawFrame::close(1011, "")).await;
    client.expect_eof().await;
    server.wait_for_connections(0).await;
    let panics = counts(server.stats().panics);
    server.stop().await;
    panics
}

#[test]
fn each_callback_of_a_handler_counts_as_one() {
    run(async {
        let ping = || RawFrame::ping("");
        let scripts = [
            (Script::new().on_open(|_| boom()), ping()),
            (Script::new().on_message(|_, _| boom()), RawFrame::text("go")),
            (Script::new().on_ping(|_, _| boom()), ping()),
            (Script::new().on_pong(|_, _| boom()), RawFrame::pong("")),
            (
                Script::new()
                    .on_message(|conn, _| conn.send_message(vec![0; 10].into()).unwrap())
                    .on_write_complete(|_, _| boom()),
                RawFrame::text("go"),
            ),
        ];
        for (script, frame) in scripts {
            assert_eq!(panics_of(script, Server::builder(), frame).await, [1, 0, 0, 0]);
        }
        let server = Script::new().on_close(|_, _| boom()).start(Server::builder()).await;
        close_normally(server.open().await).await;
        server.wait_for_connections(0).await;
        assert_eq!(counts(server.stats().panics), [1, 0, 0, 0]);
        server.stop().await;
    });
}

#[test]
fn the_call_of_a_function_and_its_future_count_as_one_each() {
    run(async {
        // The call panics, and no future is made.
        let server =
            ServerRunner::serve(Server::builder(), |_ws| -> std::future::Ready<()> { panic!("on purpose") });
        let server = server.await;
        answer_close(server.open().await, 1011).await;
        server.wait_for_connections(0).await;
        assert_eq!(counts(server.stats().panics), [0, 1, 0, 0]);
        server.stop().await;
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            let _ = ws.recv().await;
            boom();
        });
        let server = server.await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        answer_close(client, 1011).await;
        server.wait_for_connections(0).await;
        assert_eq!(counts(server.stats().panics), [0, 1, 0, 0]);
        server.stop().await;
    });
}
