//! The deadline of a handshake on real sockets.

use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, takes_less_than, within};
use e2e_tests::raw_peer::{Head, RawClient, SAMPLE_KEY};
use e2e_tests::server::{Api, ObservedServer, ServerRunner, close_normally, start_echo};
use http::{HeaderName, StatusCode};
use std::time::{Duration, Instant};
use ws_server::{Rejection, Request, Server, ServerBuilder};

/// Runs `test` with a handshake deadline and an echo server of each API. It returns false if the client was too late.
fn with_deadline(
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
    test: impl AsyncFn(&mut ObservedServer, Duration) -> bool,
) {
    harness::run(async {
        for api in Api::ALL {
            within(Duration::from_millis(100), async |deadline| {
                let builder = configure(Server::builder().handshake_timeout(deadline));
                let mut server = start_echo(api, builder).await;
                let in_time = test(&mut server, deadline).await;
                server.stop().await;
                in_time
            })
            .await;
        }
    });
}

/// The head of the response. `None`: pauses made the client miss the deadline, so there is none.
async fn head_unless_late(client: &mut RawClient, pauses: &Pauses, deadline: Duration) -> Option<Head> {
    let head = client.reader.try_recv_head().await.ok();
    if head.is_none() {
        pauses.assert_missed(deadline);
    }
    head
}

/// Opens a connection and closes it. Returns false if the request was too late.
async fn is_served(server: &ServerRunner, deadline: Duration) -> bool {
    let pauses = Pauses::begin();
    let mut client = server.connect().await;
    let request = client.request("/").to_bytes();
    client.send_bytes(request).await;
    let Some(head) = head_unless_late(&mut client, &pauses, deadline).await else { return false };
    head.assert_switching_protocols(SAMPLE_KEY);
    close_normally(client).await;
    true
}

#[test]
fn an_unfinished_request_is_408_at_the_deadline() {
    with_deadline(
        |builder| builder,
        async |server, deadline| {
            let (start, pauses) = (Instant::now(), Pauses::begin());
            let mut client = server.connect().await;
            client.send_bytes("GET / HTTP/1.1\r\nHost: x\r\n").await;
            let Some(head) = head_unless_late(&mut client, &pauses, deadline).await else { return false };
            assert_eq!(head.status(), 408);
            client.recv_body(&head).await;
            client.expect_eof().await;
            assert!(start.elapsed() >= deadline, "{:?}", start.elapsed());
            drop(client);
            server.wait_for_handshakes(0).await;
            is_served(server, deadline).await
        },
    );
}

#[test]
fn a_peer_that_says_nothing_is_left_at_the_deadline() {
    with_deadline(
        |builder| builder,
        async |server, deadline| {
            // The default is 10 s.
            takes_less_than(Duration::from_secs(8), async || {
                let start = Instant::now();
                let mut client = server.connect().await;
                // No 408: a browser that opened the connection in advance would take it as the response to its next
                // request.
                client.expect_eof().await;
                let took = start.elapsed();
                assert!(took >= deadline, "{took:?}");
                took
            })
            .await;
            server.wait_for_handshakes(0).await;
            is_served(server, deadline).await
        },
    );
}

#[test]
fn a_trickle_of_bytes_does_not_move_the_deadline() {
    with_deadline(
        |builder| builder,
        async |server, deadline| {
            let (start, pauses) = (Instant::now(), Pauses::begin());
            let mut client = server.connect().await;
            client.send_bytes("GET / HTTP/1.1\r\nX: ").await;
            let (mut reader, mut writer) = client.into_connection().split();
            let trickle = async {
                // An error says that the connection has ended, as the reader will see.
                while writer.try_send_bytes("x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                std::future::pending::<()>().await;
            };
            let head = tokio::select! {
                head = reader.try_recv_head() => head,
                () = trickle => unreachable!(),
            };
            match &head {
                Ok(head) => {
                    assert_eq!(head.status(), 408);
                    assert!(start.elapsed() >= deadline, "{:?}", start.elapsed());
                }
                Err(_) => pauses.assert_missed(deadline),
            }
            head.is_ok()
        },
    );
}

/// Sends a request in two pieces, reads nothing until the deadline has passed, and then reads all. `None`: the request
/// was too late.
async fn answer_that_is_read_late(
    server: &ServerRunner,
    target: &str,
    deadline: Duration,
) -> Option<Vec<u8>> {
    let (start, pauses) = (Instant::now(), Pauses::begin());
    let mut client = RawClient::connect_with_receive_buffer(server.addr(), 4096).await;
    let request = client.request(target).to_bytes();
    client.send_bytes(&request[..10]).await;
    while server.handle().handshakes() == 0 {
        if start.elapsed() >= deadline {
            pauses.assert_missed(deadline);
            return None;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sent = client.writer.try_send_bytes(&request[10..]).await;
    tokio::time::sleep(3 * deadline).await;
    let (mut reader, _writer) = client.into_connection().split();
    let head = match sent {
        Ok(()) => reader.try_recv_bytes(12).await.ok(),
        Err(_) => None,
    };
    match head {
        Some(head) if head != b"HTTP/1.1 408" => Some([head, reader.recv_to_eof().await].concat()),
        _ => {
            pauses.assert_missed(deadline);
            None
        }
    }
}

#[test]
fn an_answer_under_way_at_the_deadline_has_no_other_inside() {
    /// More than the kernel takes in one write.
    const LARGE: usize = 16 * 1024 * 1024;
    let decide = |request: &mut Request| {
        let large = "x".repeat(LARGE);
        if request.path() == "/refused" {
            return Err(Rejection::new(StatusCode::FORBIDDEN).with_text(&large));
        }
        request.add_response_header(HeaderName::from_static("x-large"), large.parse().unwrap());
        Ok(())
    };
    with_deadline(
        |builder| builder.on_request(decide),
        async |server, deadline| {
            for (target, status) in [("/refused", "403"), ("/accepted", "101")] {
                let Some(answer) = answer_that_is_read_late(server, target, deadline).await else {
                    return false;
                };
                assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
                let heads = answer.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
                assert_eq!(heads, 1, "{target}: {} bytes", answer.len());
                server.wait_for_handshakes(0).await;
            }
            server.wait_for_connections(0).await;
            true
        },
    );
}

#[test]
fn a_refused_peer_hears_one_answer_even_at_the_deadline() {
    with_deadline(
        |builder| builder,
        async |server, deadline| {
            let pauses = Pauses::begin();
            let mut client = server.connect().await;
            client.send_bytes("POST / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            // It keeps its end open after the deadline.
            let Some(head) = head_unless_late(&mut client, &pauses, deadline).await else { return false };
            assert_eq!(head.status(), 405);
            client.recv_body(&head).await;
            client.expect_eof().await;
            server.wait_for_handshakes(0).await;
            true
        },
    );
}
