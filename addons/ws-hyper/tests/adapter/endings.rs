//! How a connection ends when its function ends, panics, or drops the WebSocket.

use e2e_tests::{
    harness::{self, Options},
    raw_peer::{RawClient, RawFrame},
};
use tokio::sync::mpsc;
use ws_hyper::{HyperStream, Upgrader, WebSocket};

use crate::support::{ALL, HyperServer, Serve};

const PANICS: fn() -> Options = || Options { allow_panics: true, ..Options::default() };

async fn expect_close(server: &HyperServer, code: u16) {
    let mut client = RawClient::open(server.addr, "/").await;
    client.expect_close(code).await;
    client.send(RawFrame::close(code, "")).await;
    client.expect_eof().await;
}

#[test]
fn a_function_that_ends_closes_with_1000() {
    harness::run(async {
        for serve in ALL {
            let server = HyperServer::sockets(serve, Upgrader::default(), |_ws| async {}).await;
            expect_close(&server, 1000).await;
        }
    });
}

#[test]
fn messages_before_the_end_of_the_function_are_sent() {
    harness::run(async {
        let server = HyperServer::sockets(Serve::Opaque, Upgrader::default(), |mut ws| async move {
            for number in 0..100 {
                ws.send(number.to_string()).await.unwrap();
            }
        })
        .await;
        let mut client = RawClient::open(server.addr, "/").await;
        for number in 0..100 {
            client.expect_text(&number.to_string()).await;
        }
        client.expect_close(1000).await;
    });
}

#[test]
fn a_panic_closes_with_1011() {
    harness::run_with(PANICS(), async {
        for serve in ALL {
            let server = HyperServer::sockets(serve, Upgrader::default(), |mut ws| async move {
                let _ = ws.recv().await;
                panic!("as the test wants");
            })
            .await;
            let mut client = RawClient::open(server.addr, "/").await;
            client.send(RawFrame::text("now")).await;
            client.expect_close(1011).await;
        }
    });
}

#[test]
fn a_function_that_panics_before_its_future_closes_with_1011() {
    fn serve(_ws: WebSocket<HyperStream>) -> std::future::Ready<()> {
        panic!("as the test wants")
    }
    harness::run_with(PANICS(), async {
        let server = HyperServer::sockets(Serve::Http1, Upgrader::default(), serve).await;
        expect_close(&server, 1011).await;
    });
}

#[test]
fn in_two_steps_a_dropped_websocket_closes_with_1000_and_a_panic_with_1011() {
    harness::run_with(PANICS(), async {
        for code in [1000, 1011] {
            let upgrader = Upgrader::default();
            let server = HyperServer::start(Serve::Http1, move |mut request| {
                let accepted = upgrader.begin(&mut request).unwrap().accept().unwrap();
                let socket = accepted.socket;
                tokio::spawn(async move {
                    let _ws = socket.await.unwrap();
                    assert_eq!(code, 1000, "as the test wants");
                });
                async { accepted.response }
            })
            .await;
            expect_close(&server, code).await;
        }
    });
}

#[test]
fn a_function_sees_that_the_peer_has_left() {
    harness::run(async {
        for serve in ALL {
            let (sender, mut ended) = mpsc::unbounded_channel();
            let server = HyperServer::sockets(serve, Upgrader::default(), move |mut ws| {
                let sender = sender.clone();
                async move {
                    assert!(ws.recv().await.is_none());
                    sender.send(ws.close_info().unwrap().is_clean()).unwrap();
                }
            })
            .await;
            drop(RawClient::open(server.addr, "/").await);
            assert_eq!(ended.recv().await, Some(false));
        }
    });
}

#[test]
fn a_deadline_ends_a_silent_connection() {
    harness::run(async {
        let mut config = ws_hyper::Config::default();
        config.idle_timeout = Some(std::time::Duration::from_millis(50));
        let upgrader = Upgrader::new(config.validate().unwrap());
        let server = HyperServer::echo(Serve::Http1, upgrader).await;
        let mut client = RawClient::open(server.addr, "/").await;
        client.expect_close(1001).await;
    });
}
