//! Connections of hyper and axum that a server of `ws-server` decides about and serves.

mod axum;
mod ends;
mod http2;
mod hyper;

use e2e_tests::{
    harness,
    raw_peer::{Head, RawClient, RawFrame, RequestHead},
    server::{Api, ObservedServer, close_normally, start_echo, start_sharded_echo},
};
use ws_server::{Server, ServerBuilder, adopt::Adopter};

use crate::support::{HyperServer, Serve};

/// Runs a test with each kind of echo server: of a handler and of an async function, on shards and on tasks.
fn for_each_server(
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
    test: impl AsyncFn(&mut ObservedServer),
) {
    harness::run(async {
        for api in Api::ALL {
            for on_shards in [true, false] {
                println!("{api:?}, on shards: {on_shards}");
                let builder = configure(Server::builder());
                let mut server = if on_shards {
                    start_sharded_echo(api, builder, 2).await
                } else {
                    start_echo(api, builder).await
                };
                test(&mut server).await;
                server.stop().await;
            }
        }
    });
}

/// hyper in front of the server.
async fn front(serve: Serve, adopter: &Adopter) -> HyperServer {
    let adopter = adopter.clone();
    HyperServer::start(serve, move |request| {
        let adopter = adopter.clone();
        async move { ws_hyper::adopt(&adopter, request).await }
    })
    .await
}

async fn answered(front: &HyperServer, change: impl FnOnce(RequestHead) -> RequestHead) -> Head {
    let mut client = RawClient::connect(front.addr).await;
    let request = change(client.request("/ws"));
    client.upgrade_with(request.to_bytes()).await
}

/// Exchanges a message and closes the connection.
async fn echo_and_close(mut client: RawClient) {
    client.send(RawFrame::text("hello")).await;
    client.expect_text("hello").await;
    close_normally(client).await;
}
