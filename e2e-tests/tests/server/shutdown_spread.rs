//! Shutdowns with a code of choice, spread over a time, with a delay before the listener closes.

use crate::adoption::Front;
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{DEADLINE, RawClient, RawFrame, RequestHead, SAMPLE_KEY};
use e2e_tests::server::{Api, ObservedServer, bind, close_normally, counts, start_echo, start_sharded_echo};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use ws_server::{
    CloseCode, Server, ServerBuilder, ServerStream,
    adopt::{Adopter, OpeningRequest},
    close::Shutdown,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits for a Close with this code and reason, and answers it. Returns when the Close came.
fn polite(mut client: RawClient, code: u16, reason: &'static str) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        assert_eq!(client.expect_close(code).await, reason);
        let came = Instant::now();
        client.send(RawFrame::close(code, "")).await;
        client.expect_eof().await;
        came
    })
}

#[test]
fn connections_get_the_code_and_the_reason_of_choice() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let front = Front::bind().await;
            let clients = [server.open().await, front.open(server.adopter()).await];
            let clients = clients.map(|client| polite(client, 1012, "a new version"));
            let restart =
                Shutdown::new().code(CloseCode::SERVICE_RESTART).reason("a new version").grace(HOUR);
            assert_eq!(counts(server.handle().shutdown_with(restart).await), (2, 0, false));
            for client in clients {
                client.await.unwrap();
            }
            server.stop().await;
        }
    });
}

#[test]
fn a_reason_that_is_too_long_is_cut_between_characters() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut client = server.open().await;
            server.handle().start_with(Shutdown::new().reason("\u{20ac}".repeat(100)).grace(HOUR));
            assert_eq!(client.expect_close(1001).await, "\u{20ac}".repeat(41));
            client.send(RawFrame::close(1001, "")).await;
            client.expect_eof().await;
            server.stop().await;
        }
    });
}

#[test]
fn until_their_close_connections_work_as_before() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut clients = [server.open().await, server.open().await, server.open().await];
            assert!(!server.handle().is_draining());
            // The first Close is due after 20 minutes.
            server.handle().start_with(Shutdown::new().spread(HOUR));
            assert!(server.handle().is_draining());
            let refused = async { while TcpStream::connect(server.addr()).await.is_ok() {} };
            tokio::time::timeout(DEADLINE, refused).await.expect("no connection is accepted");
            for client in &mut clients {
                client.send(RawFrame::text("still here")).await;
                client.expect_text("still here").await;
            }
            // The shutdown ends with the last connection and not with the time.
            for client in clients {
                close_normally(client).await;
            }
            assert_eq!(counts(server.stop().await), (3, 0, false));
        }
    });
}

#[test]
fn handshakes_that_have_begun_continue_while_the_closes_are_spread() {
    harness::run(async {
        for api in Api::ALL {
            for shards in [0, 1, 2] {
                let server = match shards {
                    0 => start_echo(api, Server::builder()).await,
                    shards => start_sharded_echo(api, Server::builder(), shards).await,
                };
                let held = server.open().await;
                let (mut silent, mut slow) = (server.connect().await, server.connect().await);
                let request = slow.request("/").to_bytes();
                slow.send_bytes(&request[..20]).await;
                server.wait_for_handshakes(2).await;
                server.handle().start_with(Shutdown::new().spread(HOUR));
                let refused = async { while TcpStream::connect(server.addr()).await.is_ok() {} };
                tokio::time::timeout(DEADLINE, refused).await.expect("no connection is accepted");
                silent.upgrade("/").await;
                slow.send_bytes(&request[20..]).await;
                slow.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
                for client in [&mut silent, &mut slow] {
                    client.send(RawFrame::text("in time")).await;
                    client.expect_text("in time").await;
                }
                for client in [held, silent, slow] {
                    close_normally(client).await;
                }
                assert_eq!(counts(server.stop().await), (3, 0, false));
            }
        }
    });
}

#[test]
fn handshakes_end_with_the_time_over_which_the_closes_are_spread() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder().handshake_timeout(HOUR)).await;
            let mut silent = server.connect().await;
            server.wait_for_handshakes(1).await;
            let spread = Duration::from_millis(300);
            let start = Instant::now();
            let report = server.handle().shutdown_with(Shutdown::new().spread(spread).grace(HOUR)).await;
            assert_eq!(counts(report), (0, 0, false));
            assert!(start.elapsed() >= spread, "{:?}", start.elapsed());
            silent.expect_end().await;
            server.stop().await;
        }
    });
}

/// The k-th of the Closes must not come before k shares of the time have passed.
fn assert_not_early(mut came: Vec<Instant>, start: Instant, spread: Duration) {
    came.sort_unstable();
    let share = spread / u32::try_from(came.len()).unwrap();
    for (before, came) in came.iter().enumerate() {
        let earliest = share * u32::try_from(before).unwrap();
        assert!(*came - start >= earliest, "Close {before} came after {:?} of {spread:?}", *came - start);
    }
}

#[test]
fn closes_are_spread_over_the_time_and_over_shards() {
    const SPREAD: Duration = Duration::from_secs(1);
    harness::run(async {
        for api in Api::ALL {
            for shards in [0, 1, 3] {
                let server = match shards {
                    0 => start_echo(api, Server::builder()).await,
                    shards => start_sharded_echo(api, Server::builder(), shards).await,
                };
                let mut clients = Vec::new();
                for _ in 0..40 {
                    clients.push(polite(server.open().await, 1001, ""));
                }
                let start = Instant::now();
                let report = server.handle().shutdown_with(Shutdown::new().spread(SPREAD).grace(HOUR)).await;
                assert_eq!(counts(report), (40, 0, false));
                let mut came = Vec::new();
                for client in clients {
                    came.push(client.await.unwrap());
                }
                assert_not_early(came, start, SPREAD);
                server.stop().await;
            }
        }
    });
}

#[test]
fn the_grace_period_begins_when_the_last_close_is_due() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder().close_timeout(HOUR)).await;
            let mut mute = [server.open().await, server.open().await];
            let (spread, grace) = (Duration::from_millis(200), Duration::from_millis(100));
            let start = Instant::now();
            let report = server.handle().shutdown_with(Shutdown::new().spread(spread).grace(grace)).await;
            assert_eq!(counts(report), (0, 2, true));
            assert!(start.elapsed() >= spread + grace, "{:?}", start.elapsed());
            for client in &mut mute {
                client.expect_close(1001).await;
                client.expect_end().await;
            }
            server.stop_within(grace).await;
        }
    });
}

#[test]
fn the_settings_of_the_first_call_count() {
    harness::run(async {
        let server = start_echo(Api::Async, Server::builder()).await;
        let client = polite(server.open().await, 3000, "first");
        server
            .handle()
            .start_with(Shutdown::new().code(CloseCode::new(3000).unwrap()).reason("first").grace(HOUR));
        server.handle().start_with(Shutdown::new().spread(HOUR).grace(Duration::ZERO));
        client.await.unwrap();
        assert_eq!(counts(server.stop().await), (1, 0, false));
    });
}

/// A server whose health check follows its readiness.
fn with_health_check() -> ServerBuilder {
    Server::builder().http(|request| {
        let mut response = http::Response::new("ok\n".into());
        if request.is_server_draining() {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
}

async fn health(addr: SocketAddr) -> u16 {
    let mut client = RawClient::connect(addr).await;
    let request = client.request("/health").without("Upgrade").to_bytes();
    client.upgrade_with(request).await.status()
}

#[test]
fn while_readiness_is_withdrawn_connections_are_still_accepted() {
    harness::run(async {
        for shards in [0, 1, 2] {
            let server = bind(with_health_check()).await;
            let (addr, handle) = (server.local_addr().unwrap(), server.shutdown_handle());
            let echo = async |mut ws: ws_server::WebSocket<ServerStream>, _| {
                while let Some(message) = ws.recv().await {
                    let _ = ws.send(message).await;
                }
            };
            let serving = tokio::spawn(async move {
                match shards {
                    0 => drop(server.serve(echo).await),
                    shards => drop(server.sharded(shards).serve(echo).await),
                }
            });
            assert_eq!(health(addr).await, 200);
            let mut before = RawClient::open(addr, "/").await;
            handle.start_with(Shutdown::new().ready_delay(HOUR));
            assert!(handle.is_draining());
            assert_eq!(health(addr).await, 503);
            let mut late = RawClient::open(addr, "/").await;
            for client in [&mut before, &mut late] {
                client.send(RawFrame::text("hello")).await;
                client.expect_text("hello").await;
            }
            // Nothing ends this shutdown earlier but the end of the server's future.
            serving.abort();
            assert!(serving.await.unwrap_err().is_cancelled());
            assert!(handle.shutdown(HOUR).await.forced);
        }
    });
}

#[test]
fn after_the_delay_the_listener_is_closed_and_connections_close() {
    harness::run(async {
        for api in Api::ALL {
            for server in [
                start_echo(api, with_health_check()).await,
                start_sharded_echo(api, with_health_check(), 2).await,
            ] {
                let client = polite(server.open().await, 1012, "");
                let delay = Duration::from_millis(300);
                let settings =
                    Shutdown::new().code(CloseCode::SERVICE_RESTART).ready_delay(delay).grace(HOUR);
                let start = Instant::now();
                assert_eq!(counts(server.handle().shutdown_with(settings).await), (1, 0, false));
                assert!(client.await.unwrap() - start >= delay);
                TcpStream::connect(server.addr()).await.expect_err("the listener is closed");
                server.stop().await;
            }
        }
    });
}

#[test]
fn a_server_without_a_listener_waits_for_the_delay_too() {
    harness::run(async {
        let server = Server::builder().without_listener().unwrap();
        let (adopter, handle) = (server.adopter(), server.shutdown_handle());
        let serving = tokio::spawn(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}));
        let front = Front::bind().await;
        let early = polite(front.open(&adopter).await, 1001, "");
        let delay = Duration::from_millis(300);
        let start = Instant::now();
        let ending = tokio::spawn(async move {
            handle.shutdown_with(Shutdown::new().ready_delay(delay).grace(HOUR)).await
        });
        assert!(early.await.unwrap() - start >= delay);
        assert_eq!(counts(ending.await.unwrap()), (1, 0, false));
        serving.await.unwrap();
    });
}

/// Raises the limit on descriptors as far as possible and returns it.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> usize {
    256
}

/// Waits for the Close, answers it and waits for the end of the stream. Returns when the Close came.
async fn close_politely(mut io: impl AsyncRead + AsyncWrite + Unpin) -> Instant {
    let mut close = [0; 4];
    io.read_exact(&mut close).await.unwrap();
    let came = Instant::now();
    assert_eq!(close, [0x88, 2, 0x03, 0xf4], "an unmasked Close 1012");
    io.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4]).await.unwrap();
    assert_eq!(io.read(&mut close).await.unwrap(), 0);
    came
}

async fn open_tcp(addr: SocketAddr) -> JoinHandle<Instant> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&RequestHead::new(addr, "/").to_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    tokio::spawn(close_politely(stream))
}

async fn adopt(adopter: &Adopter) -> JoinHandle<Instant> {
    let (client, server) = tokio::io::duplex(64);
    let mut request = http::Request::builder().uri("/");
    for (name, value) in &RequestHead::new("localhost", "/").headers {
        request = request.header(name, value);
    }
    let reservation = adopter.reserve(OpeningRequest::new(request.body(()).unwrap())).await.unwrap();
    reservation.adopt(ServerStream::from_io(server), Vec::new()).unwrap();
    tokio::spawn(close_politely(client))
}

/// Half of them are accepted, half are adopted.
async fn open(server: &ObservedServer, count: usize) -> Vec<JoinHandle<Instant>> {
    let accepted = (count / 2).min(descriptors().saturating_sub(200) / 2);
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(if number < accepted {
            open_tcp(server.addr()).await
        } else {
            adopt(server.adopter()).await
        });
    }
    server.wait_for_connections(count).await;
    clients
}

#[test]
fn ten_thousand_connections_are_closed_evenly() {
    const COUNT: usize = 10_000;
    const SPREAD: Duration = Duration::from_secs(3);
    let options = Options { deadline: Duration::from_secs(300), ..Options::default() };
    harness::run_with(options, async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder().keepalive(None)).await;
            let clients = open(&server, COUNT).await;
            let restart = Shutdown::new().code(CloseCode::SERVICE_RESTART).spread(SPREAD).grace(HOUR);
            let start = Instant::now();
            assert_eq!(counts(server.handle().shutdown_with(restart).await), (COUNT, 0, false));
            let mut came = Vec::new();
            for client in clients {
                came.push(client.await.unwrap());
            }
            assert_not_early(came, start, SPREAD);
            server.stop().await;
        }
    });
}
