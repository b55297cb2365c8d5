//! A shutdown reaches all connections and waits for them.

use std::{
    pin::pin,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use tokio::sync::{mpsc, oneshot};
use ws_hyper::{
    CloseCode, Upgrader,
    close::Shutdown,
    error::{AnswerError, UpgradeError},
};

use crate::support::{ALL, HyperServer, Once, Serve, send_request, text};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn every_connection_gets_1001_and_is_waited_for() {
    harness::run(async {
        for serve in ALL {
            let upgrader = Upgrader::default();
            let server = HyperServer::echo(serve, upgrader.clone()).await;
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut client = RawClient::open(server.addr, "/").await;
                client.send(RawFrame::text("a")).await;
                client.expect_text("a").await;
                clients.push(client);
            }
            assert_eq!(upgrader.connections(), 3);
            let shutdown = tokio::spawn({
                let upgrader = upgrader.clone();
                async move { upgrader.shutdown(HOUR).await }
            });
            for client in &mut clients {
                assert_eq!(client.expect_close(1001).await, "");
            }
            assert!(!shutdown.is_finished(), "no client has answered");
            let last = clients.pop().unwrap();
            for mut client in clients {
                client.send(RawFrame::close(1001, "")).await;
                client.expect_eof().await;
            }
            assert!(!shutdown.is_finished(), "one client has not answered");
            last.into_connection().reset();
            let report = shutdown.await.unwrap();
            assert_eq!((report.clean, report.unclean, report.forced), (2, 1, false), "{serve:?}");
            assert_eq!(upgrader.connections(), 0);
        }
    });
}

#[test]
fn a_shutdown_may_have_a_code_and_a_reason() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Http1, upgrader.clone()).await;
        let mut client = RawClient::open(server.addr, "/").await;
        client.send(RawFrame::text("a")).await;
        client.expect_text("a").await;
        let restart = Shutdown::new().code(CloseCode::SERVICE_RESTART).reason("new version").grace(HOUR);
        let ((), report) = tokio::join!(
            async {
                assert_eq!(client.expect_close(1012).await, "new version");
                client.send(RawFrame::close(1012, "")).await;
                drop(client);
            },
            upgrader.shutdown_with(restart),
        );
        assert_eq!((report.clean, report.unclean, report.forced), (1, 0, false));
    });
}

#[test]
fn a_connection_that_does_not_end_is_cut_off_after_the_grace_period() {
    harness::run(async {
        let mut config = ws_hyper::Config::default();
        config.close_timeout = HOUR;
        let upgrader = Upgrader::new(config.validate().unwrap());
        let (sender, mut dropped) = mpsc::unbounded_channel();
        let server = HyperServer::sockets(Serve::Http1, upgrader.clone(), move |ws| {
            let sender = sender.clone();
            async move {
                sender.send(()).unwrap();
                // The future is dropped here.
                let _held = (ws, sender);
                std::future::pending::<()>().await;
            }
        })
        .await;
        let mut client = RawClient::open(server.addr, "/").await;
        dropped.recv().await.unwrap();
        let report = upgrader.shutdown(Duration::from_millis(20)).await;
        assert_eq!((report.clean, report.unclean, report.forced), (0, 1, true));
        client.expect_close(1001).await;
        client.expect_end().await;
    });
}

#[test]
fn closes_are_spread_over_the_time_and_until_then_connections_work_as_before() {
    const SPREAD: Duration = Duration::from_secs(1);
    harness::run(async {
        for serve in ALL {
            let upgrader = Upgrader::default();
            let server = HyperServer::echo(serve, upgrader.clone()).await;
            let start = Instant::now();
            let mut clients = Vec::new();
            for _ in 0..10_u32 {
                let mut client = RawClient::open(server.addr, "/").await;
                client.send(RawFrame::text("a")).await;
                client.expect_text("a").await;
                clients.push(client);
            }
            let shutdown = tokio::spawn({
                let upgrader = upgrader.clone();
                async move { upgrader.shutdown_with(Shutdown::new().spread(SPREAD).grace(HOUR)).await }
            });
            // The last one is closed after the whole time.
            let last = clients.last_mut().unwrap();
            has_begun(&upgrader).await;
            last.send(RawFrame::text("still here")).await;
            last.expect_text("still here").await;
            for (before, mut client) in (0..).zip(clients) {
                client.expect_close(1001).await;
                let came = start.elapsed();
                assert!(came >= SPREAD / 10 * before, "Close {before} after {came:?}");
                client.send(RawFrame::close(1001, "")).await;
                client.expect_eof().await;
            }
            let report = shutdown.await.unwrap();
            assert_eq!((report.clean, report.unclean, report.forced), (10, 0, false), "{serve:?}");
        }
    });
}

/// Waits until a shutdown has begun.
async fn has_begun(upgrader: &Upgrader) {
    while !upgrader.is_draining() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn for_the_delay_requests_are_accepted_and_the_upgrader_is_not_ready() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Http1, upgrader.clone()).await;
        assert!(!upgrader.is_draining());
        let delay = Duration::from_millis(500);
        let start = Instant::now();
        let shutdown = tokio::spawn({
            let upgrader = upgrader.clone();
            async move { upgrader.shutdown_with(Shutdown::new().ready_delay(delay).grace(HOUR)).await }
        });
        has_begun(&upgrader).await;
        let mut late = RawClient::open(server.addr, "/").await;
        late.expect_close(1001).await;
        assert!(start.elapsed() >= delay);
        late.send(RawFrame::close(1001, "")).await;
        late.expect_eof().await;
        assert_eq!(shutdown.await.unwrap().clean, 1);
    });
}

#[test]
fn a_shutdown_that_is_dropped_closes_all_connections_at_once() {
    harness::run(async {
        for settings in [Shutdown::new().spread(HOUR), Shutdown::new().ready_delay(HOUR)] {
            let upgrader = Upgrader::default();
            let server = HyperServer::echo(Serve::Http1, upgrader.clone()).await;
            let mut client = RawClient::open(server.addr, "/").await;
            client.send(RawFrame::text("a")).await;
            client.expect_text("a").await;
            {
                let mut shutdown = pin!(upgrader.shutdown_with(settings));
                assert!(shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            client.expect_close(1001).await;
            client.send(RawFrame::close(1001, "")).await;
            client.expect_eof().await;
        }
    });
}

#[test]
fn later_requests_get_503() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Http1, upgrader.clone()).await;
        let report = upgrader.shutdown(HOUR).await;
        assert_eq!((report.clean, report.unclean, report.forced), (0, 0, false));
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/").to_bytes();
        assert_eq!(client.upgrade_with(request).await.status(), 503);
    });
}

#[test]
fn a_request_that_is_accepted_after_the_shutdown_began_gets_503() {
    harness::run(async {
        for is_accept in [false, true] {
            let upgrader = Upgrader::default();
            let shared = upgrader.clone();
            let server = HyperServer::start(Serve::Http1, move |mut request| {
                let upgrade = shared.begin(&mut request).unwrap();
                let shared = shared.clone();
                async move {
                    assert!(!shared.shutdown(HOUR).await.forced);
                    let answered = if is_accept {
                        upgrade.accept().map(|accepted| accepted.response)
                    } else {
                        upgrade.on_upgrade(crate::support::echo)
                    };
                    assert!(matches!(answered, Err(AnswerError::ShuttingDown)));
                    answered.unwrap_or_else(|error| error.into_response())
                }
            })
            .await;
            let mut client = RawClient::connect(server.addr).await;
            let request = client.request("/").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 503, "{is_accept}");
            assert_eq!(upgrader.connections(), 0);
        }
    });
}

#[test]
fn an_upgrade_under_way_is_completed_and_closed_with_1001() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let (go, wait) = oneshot::channel::<()>();
        let (wait, shared) = (Once::new(wait), upgrader.clone());
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let answer = shared.begin(&mut request).unwrap().on_upgrade(crate::support::echo).unwrap();
            let wait = wait.take().unwrap();
            begun.send(()).unwrap();
            async {
                wait.await.unwrap();
                answer
            }
        })
        .await;
        let mut client = RawClient::connect(server.addr).await;
        send_request(&mut client).await;
        has_begun.recv().await.unwrap();
        let shutdown = tokio::spawn(async move { upgrader.shutdown(HOUR).await });
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        assert_eq!(client.recv_head().await.status(), 101);
        client.expect_close(1001).await;
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
        drop(client);
        assert_eq!(shutdown.await.unwrap().clean, 1);
    });
}

#[test]
fn an_upgrade_that_is_never_written_fails_at_the_end_of_the_grace_period() {
    harness::run(async {
        let upgrader = Upgrader::default().upgrade_timeout(HOUR);
        let (failed, mut has_failed) = mpsc::unbounded_channel();
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let shared = upgrader.clone();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let failed = failed.clone();
            let upgrade = shared.begin(&mut request).unwrap();
            let upgrade = upgrade.on_failed_upgrade(move |error| failed.send(error).unwrap());
            let answer = upgrade.on_upgrade(crate::support::echo).unwrap();
            begun.send(()).unwrap();
            async {
                std::future::pending::<()>().await;
                answer
            }
        })
        .await;
        let client = RawClient::connect(server.addr).await;
        let mut client = client;
        send_request(&mut client).await;
        has_begun.recv().await.unwrap();
        let report = upgrader.shutdown(Duration::from_millis(20)).await;
        assert_eq!((report.unclean, report.forced), (1, true));
        assert!(matches!(has_failed.recv().await, Some(UpgradeError::ShutDown)));
    });
}

/// The application has the future of the WebSocket, and its task is busy with something else.
#[test]
fn a_future_of_a_websocket_that_is_not_polled_does_not_hold_up_the_end_of_a_shutdown() {
    harness::run(async {
        for is_polled_before in [false, true] {
            let upgrader = Upgrader::default().upgrade_timeout(HOUR);
            let (sender, mut sockets) = mpsc::unbounded_channel();
            let (go, wait) = oneshot::channel::<()>();
            let (wait, shared) = (Once::new(wait), upgrader.clone());
            let server = HyperServer::start(Serve::Http1, move |mut request| {
                let accepted = shared.begin(&mut request).unwrap().accept().unwrap();
                sender.send(accepted.socket).unwrap();
                let wait = wait.take().unwrap();
                async {
                    wait.await.unwrap();
                    accepted.response
                }
            })
            .await;
            let mut client = RawClient::connect(server.addr).await;
            send_request(&mut client).await;
            let mut socket = sockets.recv().await.unwrap();
            if is_polled_before {
                let polled = pin!(&mut socket).poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "the response is not written");
            }
            go.send(()).unwrap();
            client.recv_head().await;
            let report = upgrader.shutdown(Duration::from_millis(20)).await;
            assert_eq!((report.clean, report.unclean, report.forced), (0, 1, true), "{is_polled_before}");
            assert_eq!(upgrader.connections(), 0);
            assert!(matches!(socket.await, Err(UpgradeError::ShutDown)));
            assert_eq!(upgrader.shutdown(HOUR).await.unclean, 1, "it is counted once");
            client.expect_end().await;
        }
    });
}

#[test]
fn a_shutdown_does_not_wait_for_requests_that_are_not_answered_yet() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let shared = upgrader.clone();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let upgrade = shared.begin(&mut request).unwrap();
            let shared = shared.clone();
            async move {
                assert!(!shared.shutdown(HOUR).await.forced);
                drop(upgrade);
                text("shut down")
            }
        })
        .await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/").to_bytes();
        assert_eq!(client.upgrade_with(request).await.status(), 200);
    });
}
