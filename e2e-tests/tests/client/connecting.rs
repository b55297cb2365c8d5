//! Connecting to a URL: a connection, or an error that states the reason.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use e2e_tests::pauses::{Pauses, takes_less_than, within};
use e2e_tests::raw_peer::{RawAcceptor, RawFrame};
use tokio::{io::AsyncReadExt as _, net::TcpListener, runtime::Builder, task::JoinSet};
use ws_client::{
    Connector, Message, connect,
    error::{ConnectError, UrlError},
};

use crate::support::{SHORT, run, soon, with_short_handshake};

#[test]
fn a_client_of_five_lines() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let client = tokio::spawn(async move {
            let mut ws = connect(&url).await?;
            ws.send("hello").await.unwrap();
            assert_eq!(ws.recv().await, Some(Message::text("world")));
            ws.close(ws_client::CloseCode::NORMAL, "").await;
            Ok::<_, ConnectError>(())
        });
        let mut server = acceptor.accept_upgraded().await;
        server.expect_text("hello").await;
        server.send(RawFrame::text("world")).await;
        server.expect_close(1000).await;
        server.send(RawFrame::close(1000, "")).await;
        drop(server);
        client.await.unwrap().unwrap();
    });
}

#[test]
fn a_port_without_a_listener_is_an_error_that_names_it() {
    run(async {
        let addr = SocketAddr::from(([127, 0, 0, 1], e2e_tests::free_port()));
        let error = connect(&format!("ws://{addr}/")).await.unwrap_err();
        let ConnectError::Connect { host, source: cause, .. } = &error else { panic!("{error}") };
        assert_eq!((host.as_str(), cause.kind()), (&*addr.to_string(), ErrorKind::ConnectionRefused));
        assert!(error.is_temporary());
    });
}

#[test]
fn a_name_that_does_not_resolve_is_an_error_that_names_it() {
    run(async {
        let error = with_short_handshake().connect("ws://no-such-host.invalid/").await.unwrap_err();
        match &error {
            ConnectError::Resolve { host, .. } => assert_eq!(host, "no-such-host.invalid"),
            // Where a resolver is slow.
            ConnectError::TimedOut(_) => {}
            error => panic!("{error}"),
        }
        assert!(error.is_temporary());
    });
}

#[test]
fn a_bad_url_is_an_error_without_a_connection() {
    run(async {
        for (url, expected) in [
            ("http://127.0.0.1:1/", UrlError::Scheme("http".into())),
            ("127.0.0.1:1", UrlError::Scheme(String::new())),
            ("ws://user:se%cret@127.0.0.1:1/", UrlError::Credentials),
        ] {
            let error = connect(url).await.unwrap_err();
            assert!(!error.is_temporary());
            match error {
                ConnectError::Url(error) => assert_eq!(error, expected),
                error => panic!("{url}: {error}"),
            }
        }
        for url in [
            "",
            "ws:",
            "ws://",
            "ws:///path",
            "ws://:80/",
            "ws://127.0.0.1:99999/",
            "ws://a b/",
            "ws://[::1/",
            "ws://[::1]evil.example/",
            "ws://[::1]:1evil.example/",
            "ws://[example.com]/",
            "ws://[127.0.0.1]/",
            "ws://[::1]]/",
            "ws://127.0.0.1:+1/",
            "ws://127.0.0.1:-1/",
            "ws://127.0.0.1: 1/",
            "ws://127.0.0.1:1:1/",
            "ws://a<b/",
            "ws://a\\b/",
            "ws://256.0.0.1/",
            "ws://1.2.3.4.5/",
            "ws://a.1/",
            "ws://a.0x/",
        ] {
            let error = connect(url).await.unwrap_err();
            assert!(matches!(error, ConnectError::Url(_)), "{url:?}: {error}");
        }
    });
}

#[test]
fn a_secret_in_a_bad_url_stays_out_of_the_error() {
    run(async {
        for url in ["ws://user:se%cret@127.0.0.1:1/", "ws://user:sec ret@[/", "http://user:secret@127.0.0.1/"]
        {
            let error = connect(url).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sec"), "{error}");
        }
    });
}

#[test]
fn wss_never_goes_out_in_clear() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        let connector = Connector::new();
        let first = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0; 3];
            stream.read_exact(&mut first).await.unwrap();
            first
        };
        let (first, result) = tokio::join!(first, connector.connect(&url));
        assert_eq!(first, [0x16, 3, 1], "a handshake record of TLS");
        assert!(matches!(result, Err(ConnectError::TlsHandshake { .. })), "{result:?}");
    });
}

#[test]
fn ipv6_works_and_its_host_has_brackets() {
    run(async {
        let acceptor = RawAcceptor::bind_to(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), None);
        let port = acceptor.addr().port();
        let url = format!("ws://[::1]:{port}/");
        let server = async {
            let request = acceptor.accept().await.upgrade().await;
            assert_eq!(request.header("Host"), Some(&*format!("[::1]:{port}")));
        };
        tokio::join!(async { connect(&url).await.unwrap() }, server);
    });
}

#[test]
fn an_ipv4_address_is_what_the_url_standard_makes_of_it() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let port = acceptor.addr().port();
        for host in ["0x7f000001", "127.1", "2130706433", "017700000001", "127.0.0.1.", "0x7F.1", "127%2E1"] {
            let url = format!("ws://{host}:{port}/");
            let server = async {
                let request = acceptor.accept().await.upgrade().await;
                assert_eq!(request.header("Host"), Some(&*format!("127.0.0.1:{port}")));
            };
            tokio::join!(async { connect(&url).await.unwrap() }, server);
        }
    });
}

#[test]
fn a_name_is_resolved_and_stays_in_the_host_header() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let port = acceptor.addr().port();
        let url = format!("ws://localhost:{port}/");
        let server = async {
            let request = acceptor.accept().await.upgrade().await;
            assert_eq!(request.header("Host"), Some(&*format!("localhost:{port}")));
        };
        tokio::join!(async { connect(&url).await.unwrap() }, server);
    });
}

/// Checks that the handshake timeout ends the attempt, whatever part of a response the server sent.
async fn expect_timeout(answer: &str) {
    within(SHORT, async |deadline| {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let (started, pauses) = (Instant::now(), Pauses::begin());
        let server = async {
            let mut server = acceptor.accept().await;
            if server.reader.try_recv_head().await.is_err() {
                pauses.assert_missed(deadline);
                return false;
            }
            // The client may have given up.
            let is_sent = server.writer.try_send_bytes(answer).await.is_ok();
            if !is_sent {
                pauses.assert_missed(deadline);
            }
            // Sends nothing until the client gives up.
            server.expect_end().await;
            is_sent
        };
        let connector = Connector::new().handshake_timeout(deadline);
        let (result, in_time) = tokio::join!(connector.connect(&url), server);
        let error = result.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut(_)) && error.is_temporary(), "{error}");
        assert!(started.elapsed() >= deadline);
        in_time
    })
    .await;
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    run(expect_timeout(""));
}

#[test]
fn a_shorter_deadline_than_the_default_counts() {
    // The default is 10 s.
    run(takes_less_than(Duration::from_secs(8), async || {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let silent = async {
            let mut server = acceptor.accept().await;
            // The client may have given up.
            let _ = server.reader.try_recv_head().await;
            server.expect_end().await;
        };
        let (connector, started) = (with_short_handshake(), Instant::now());
        let (result, ()) = tokio::join!(connector.connect(&url), silent);
        assert!(matches!(result, Err(ConnectError::TimedOut(_))));
        started.elapsed()
    }));
}

#[test]
fn half_an_answer_is_no_answer() {
    run(async {
        expect_timeout("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            .await;
        expect_timeout("H").await;
    });
}

#[test]
fn a_server_that_ends_before_its_answer_is_complete_is_an_error() {
    run(async {
        for answer in ["", "HTTP/1.1 101 Switching"] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/");
            let server = async { drop(acceptor.accept().await.answer(answer).await) };
            let (result, ()) = tokio::join!(connect(&url), server);
            match result.unwrap_err() {
                ConnectError::Io(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
                error => panic!("{error}"),
            }
        }
    });
}

#[test]
fn a_reset_instead_of_an_answer_is_an_error() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let server = async {
            let mut server = acceptor.accept().await;
            server.recv_head().await;
            server.into_connection().reset();
        };
        let (result, ()) = tokio::join!(connect(&url), server);
        let error = result.unwrap_err();
        assert!(matches!(error, ConnectError::Io(_)) && error.is_temporary(), "{error}");
    });
}

#[test]
fn a_dropped_attempt_leaves_nothing_behind() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let attempt = tokio::spawn(async move { connect(&url).await });
        let mut server = acceptor.accept().await;
        server.recv_head().await;
        attempt.abort();
        server.expect_eof().await;
    });
}

/// Polls `connect` once, on the current runtime or on none. The error is the panic's message.
fn polled_once(
    url: &str,
) -> Result<Poll<Result<ws_client::WebSocket<ws_client::ClientStream>, ConnectError>>, String> {
    let polled =
        catch_unwind(AssertUnwindSafe(|| pin!(connect(url)).poll(&mut Context::from_waker(Waker::noop()))));
    polled.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| String::new(), |text| text.to_string()),
    })
}

#[test]
fn outside_of_a_runtime_there_is_an_error() {
    let polled = polled_once("ws://127.0.0.1:1/");
    let Ok(Poll::Ready(Err(error))) = polled else { panic!("{polled:?}") };
    assert!(matches!(error, ConnectError::NoRuntime) && !error.is_temporary(), "{error}");
}

#[test]
fn a_runtime_without_time_or_without_io_is_a_panic_of_tokio() {
    let without_time = Builder::new_current_thread().enable_io().build().unwrap();
    let without_io = Builder::new_current_thread().enable_time().build().unwrap();
    for (runtime, expected) in [(without_time, "timers are disabled"), (without_io, "IO is disabled")] {
        let _entered = runtime.enter();
        let panic = polled_once("ws://127.0.0.1:1/").unwrap_err();
        assert!(panic.contains(expected), "{panic}");
    }
}

#[test]
fn a_runtime_that_is_shut_down_drops_an_attempt_in_a_task_of_its_own() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let task = runtime.spawn(async move { connect(&url).await.map(drop) });
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 16]).unwrap();
    runtime.shutdown_timeout(e2e_tests::raw_peer::DEADLINE);
    let other = Builder::new_current_thread().build().unwrap();
    assert!(other.block_on(task).unwrap_err().is_cancelled());
    std::io::Read::read_to_end(&mut stream, &mut Vec::new()).expect("the socket is closed");
}

#[test]
fn a_runtime_that_is_shut_down_fails_an_attempt_that_a_thread_waits_for() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let handle = runtime.handle().clone();
    let thread = std::thread::spawn(move || handle.block_on(connect(&url)).map(drop));
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 16]).unwrap();
    runtime.shutdown_timeout(e2e_tests::raw_peer::DEADLINE);
    match thread.join() {
        Ok(attempt) => assert!(matches!(attempt, Err(ConnectError::Io(_))), "{attempt:?}"),
        // tokio's timer panics if it is polled before the socket reports its error.
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            assert!(message.contains("shutdown"), "{message}");
        }
    }
}

#[test]
fn one_connector_serves_many_connections_at_once() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let connector = Connector::new();
        let mut clients = JoinSet::new();
        for number in 0..10 {
            let (connector, url) = (connector.clone(), acceptor.url("/"));
            clients.spawn(async move {
                let mut ws = connector.connect(&url).await.unwrap();
                let text = format!("client {number}");
                ws.send(text.as_str()).await.unwrap();
                assert_eq!(ws.recv().await, Some(Message::text(text)));
            });
        }
        let mut servers = JoinSet::new();
        for _ in 0..10 {
            let mut server = acceptor.accept_upgraded().await;
            servers.spawn(async move {
                let text = server.recv_frame().await;
                server.send(RawFrame::text(text.payload)).await;
                server.expect_eof().await;
            });
        }
        soon(clients.join_all()).await;
        soon(servers.join_all()).await;
    });
}
