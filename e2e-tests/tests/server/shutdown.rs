//! Shutdown: each connection gets a 1001, and it ends within the grace period.

use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{DEADLINE, RawClient, RawFrame, SAMPLE_KEY};
use e2e_tests::server::{
    Api, Event, ObservedServer, Script, ServerRunner, answer_close, bind, close_normally, counts, start_echo,
    start_sharded_echo,
};
use http::StatusCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use ws_server::{
    Rejection, Server, ShutdownHandle, close::Initiator, error::ConnectionError, message::Completion,
};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Waits for the 1001 and answers it.
fn polite(client: RawClient) -> JoinHandle<()> {
    tokio::spawn(async move {
        answer_close(client, 1001).await;
    })
}

#[test]
fn every_connection_gets_1001_and_is_counted() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let clients = [server.open().await, server.open().await, server.open().await].map(polite);
            let report = server.stop().await;
            assert_eq!(counts(report), (3, 0, false));
            for client in clients {
                client.await.unwrap();
            }
        }
    });
}

#[test]
fn shards_count_together() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_sharded_echo(api, Server::builder(), 3).await;
            let mut clients = Vec::new();
            for _ in 0..7 {
                clients.push(polite(server.open().await));
            }
            let report = server.stop().await;
            assert_eq!(counts(report), (7, 0, false));
            for client in clients {
                client.await.unwrap();
            }
        }
    });
}

#[test]
fn a_connection_that_ended_before_is_not_counted() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            close_normally(server.open().await).await;
            drop(server.open().await);
            server.wait_for_connections(0).await;
            assert_eq!(counts(server.stop().await), (0, 0, false));
        }
    });
}

#[test]
fn a_peer_that_does_not_answer_is_unclean() {
    harness::run(async {
        for api in Api::ALL {
            within(Duration::from_millis(100), async |deadline| {
                let server = start_echo(api, Server::builder().close_timeout(deadline)).await;
                let (mut client, mut mute) = (server.open().await, server.open().await);
                let pauses = Pauses::begin();
                let answer = async {
                    client.expect_close(1001).await;
                    // The server may have given up waiting.
                    let close = client.writer.encode(&RawFrame::close(1001, ""));
                    let _ = client.writer.try_send_bytes(close).await;
                    client.expect_end().await;
                };
                let (report, ()) = tokio::join!(server.stop(), answer);
                mute.expect_close(1001).await;
                mute.expect_eof().await;
                let in_time = counts(report) == (1, 1, false);
                if !in_time {
                    assert_eq!(counts(report), (0, 2, false));
                    pauses.assert_missed(deadline);
                }
                in_time
            })
            .await;
        }
    });
}

#[test]
fn a_connection_that_is_open_at_the_end_of_the_grace_period_is_cut_off() {
    harness::run(async {
        for api in Api::ALL {
            let grace = Duration::from_millis(100);
            let mut server = start_echo(api, Server::builder().close_timeout(LONG)).await;
            let mut mute = server.open().await;
            server.expect(Event::Opened).await;
            let start = Instant::now();
            let handle = server.handle().clone();
            assert_eq!(counts(handle.shutdown(grace).await), (0, 1, true));
            assert!(start.elapsed() >= grace, "{:?}", start.elapsed());
            mute.expect_close(1001).await;
            mute.expect_end().await;
            if api == Api::Handler {
                let info = server.expect_closed().await;
                assert_eq!((info.initiator, info.received), (Initiator::Local, None));
            }
            server.stop_within(grace).await;
        }
    });
}

#[test]
fn a_cut_off_handler_hears_of_its_sends_and_of_the_end() {
    const HUGE: usize = 16 * 1024 * 1024;
    harness::run(async {
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; HUGE]).unwrap());
        let server = script.start(Server::builder()).await;
        let client = server.open().await;
        let handle = server.handle().clone();
        assert!(handle.shutdown(Duration::ZERO).await.forced);
        let mut server = server;
        server.expect(Event::Opened).await;
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        server.expect_closed().await;
        drop(client);
        server.stop_within(Duration::ZERO).await;
    });
}

#[test]
fn a_function_that_waits_for_something_else_is_dropped_at_the_end_of_the_grace_period() {
    struct Dropped(std::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    harness::run(async {
        let (sender, dropped) = std::sync::mpsc::channel();
        let server = ServerRunner::serve(Server::builder(), move |ws| {
            let guard = Dropped(sender.clone());
            async move {
                std::future::pending::<()>().await;
                drop((ws, guard));
            }
        })
        .await;
        let client = polite(server.open().await);
        assert!(server.stop_within(Duration::from_millis(200)).await.forced);
        dropped.try_recv().expect("it was dropped before the shutdown was over");
        client.await.unwrap();
    });
}

#[test]
fn what_was_queued_goes_out_before_the_1001() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            for number in 0..1000 {
                conn.send_text(format!("{number}")).unwrap();
            }
        });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        server.expect(Event::Opened).await;
        server.next().await;
        server.handle().start(LONG);
        for number in 0..1000 {
            client.expect_text(&number.to_string()).await;
        }
        polite(client).await.unwrap();
        assert_eq!(server.stop().await.clean, 1);
    });
}

#[test]
fn handshakes_are_ended_at_once() {
    harness::run(async {
        for api in Api::ALL {
            // Neither the deadline of the handshakes nor the grace period is waited for.
            let server = start_echo(api, Server::builder().handshake_timeout(LONG)).await;
            let (mut silent, mut slow) = (server.connect().await, server.connect().await);
            slow.send_bytes("GET / HTTP/1.1\r\nHost: x\r\n").await;
            server.wait_for_handshakes(2).await;
            let report = server.stop_within(LONG).await;
            assert_eq!(counts(report), (0, 0, false));
            silent.expect_end().await;
            slow.expect_end().await;
        }
    });
}

/// A server that shuts down between a request and its response, which `answer` decides.
async fn shut_down_by_request(
    answer: impl Fn() -> Result<(), Rejection> + Send + Sync + 'static,
) -> ObservedServer {
    let handle: Arc<OnceLock<ShutdownHandle>> = Arc::default();
    let for_hook = Arc::clone(&handle);
    let builder = Server::builder().on_request(move |_| {
        for_hook.get().unwrap().start(LONG);
        answer()
    });
    let server = start_echo(Api::Handler, builder).await;
    assert!(handle.set(server.handle().clone()).is_ok());
    server
}

/// A client that has sent half a request, and the other half.
async fn half_a_request(server: &ServerRunner) -> (RawClient, Vec<u8>) {
    let mut client = server.connect().await;
    let request = client.request("/").to_bytes();
    let (now, later) = request.split_at(request.len() / 2);
    client.send_bytes(now).await;
    server.wait_for_handshakes(1).await;
    (client, later.to_vec())
}

#[test]
fn a_client_that_gets_a_101_also_gets_a_1001() {
    harness::run(async {
        let server = shut_down_by_request(|| Ok(())).await;
        polite(server.open().await).await.unwrap();
        assert_eq!(counts(server.stop().await), (1, 0, false));
    });
}

#[test]
fn a_client_that_gets_a_late_101_also_gets_a_1001() {
    harness::run(async {
        // Several times, because two events are ready together and their order varies.
        for _ in 0..20 {
            let server = shut_down_by_request(|| Ok(())).await;
            let (mut client, rest) = half_a_request(&server).await;
            client.upgrade_with(rest).await.assert_switching_protocols(SAMPLE_KEY);
            polite(client).await.unwrap();
            assert_eq!(counts(server.stop().await), (1, 0, false));
        }
    });
}

#[test]
fn a_refusal_that_can_be_said_at_once_is_said() {
    harness::run(async {
        for _ in 0..20 {
            let server = shut_down_by_request(|| Err(Rejection::new(StatusCode::IM_A_TEAPOT))).await;
            let (mut client, rest) = half_a_request(&server).await;
            assert_eq!(client.upgrade_with(rest).await.status(), 418);
            assert_eq!(counts(server.stop().await), (0, 0, false));
        }
    });
}

#[test]
fn a_refusal_of_a_whole_request_is_said_too() {
    harness::run(async {
        for _ in 0..20 {
            let server = shut_down_by_request(|| Err(Rejection::new(StatusCode::IM_A_TEAPOT))).await;
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 418);
            assert_eq!(counts(server.stop().await), (0, 0, false));
        }
    });
}

#[test]
fn no_connection_is_accepted_during_a_shutdown() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut client = server.open().await;
            server.handle().start(LONG);
            client.expect_close(1001).await;
            // The listener and the connections end at the same time.
            let refused = async { while TcpStream::connect(server.addr()).await.is_ok() {} };
            tokio::time::timeout(DEADLINE, refused).await.expect("no connection is accepted");
            client.send(RawFrame::close(1001, "")).await;
            client.expect_eof().await;
            drop(client);
            server.stop().await;
        }
    });
}

#[test]
fn a_second_call_waits_for_the_same_end() {
    harness::run(async {
        let server = start_echo(Api::Handler, Server::builder()).await;
        let client = server.open().await;
        let (first, second) = (server.handle().clone(), server.handle().clone());
        let (first, second, ()) = tokio::join!(
            first.shutdown(LONG),
            // The grace period of the first call applies.
            second.shutdown(Duration::ZERO),
            async { polite(client).await.unwrap() }
        );
        assert_eq!(counts(first), (1, 0, false));
        assert_eq!(second, first);
        // Also after the server has ended.
        assert_eq!(server.handle().shutdown(LONG).await, first);
        server.stop().await;
    });
}

#[test]
fn a_shutdown_whose_future_is_dropped_continues() {
    harness::run(async {
        let server = start_echo(Api::Async, Server::builder()).await;
        let client = server.open().await;
        let handle = server.handle().clone();
        tokio::select! {
            biased;
            _ = handle.shutdown(LONG) => panic!("a connection is open"),
            () = std::future::ready(()) => {}
        }
        polite(client).await.unwrap();
        assert_eq!(server.stop().await.clean, 1);
    });
}

#[test]
fn a_server_that_is_ended_before_it_runs_returns_at_once() {
    harness::run(async {
        let server = bind(Server::builder()).await;
        let handle = server.shutdown_handle();
        handle.start(LONG);
        let report = server.serve(async |_, _| ()).await;
        assert_eq!(counts(report), (0, 0, false));
        assert_eq!(handle.shutdown(LONG).await, report);
    });
}

#[test]
fn the_shutdown_of_a_server_that_never_ran_does_not_wait_for_it() {
    harness::run(async {
        let server = bind(Server::builder()).await;
        let handle = server.shutdown_handle();
        drop(server);
        let report = tokio::time::timeout(LONG, handle.shutdown(LONG)).await.expect("no connection is left");
        assert_eq!((report.clean, report.unclean), (0, 0));
    });
}

#[test]
fn dropping_the_servers_future_cuts_all_connections_off() {
    harness::run(async {
        let server = bind(Server::builder()).await;
        let (handle, addr) = (server.shutdown_handle(), server.local_addr().unwrap());
        let running = tokio::spawn(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}));
        let mut client = RawClient::open(addr, "/").await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        client.expect_end().await;
        assert!(handle.shutdown(LONG).await.forced);
    });
}

#[test]
fn a_connection_that_is_closing_already_just_ends() {
    harness::run(async {
        let script =
            Script::new().on_message(|conn, _| conn.close(ws_server::CloseCode::NORMAL, "own reasons"));
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("close")).await;
        assert_eq!(client.expect_close(1000).await, "own reasons");
        server.handle().start(LONG);
        // There is no second Close, and the answer to the first is still accepted.
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
        drop(client);
        assert_eq!(server.closed().await.error, None::<ConnectionError>);
        assert_eq!(counts(server.stop().await), (1, 0, false));
    });
}
