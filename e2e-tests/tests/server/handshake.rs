//! The handshake, from the first byte to the 101.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, RecvError, SAMPLE_KEY};
use e2e_tests::server::{
    Api, Event, ObservedServer, Script, ServerRunner, close_normally, echo_test, start_echo,
};
use std::sync::{Mutex, mpsc};
use ws_server::{Message, Server};

#[test]
fn the_101_answers_the_key_and_has_no_header_too_many() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let head = client.upgrade("/").await;
        assert_eq!(head.start_line, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(head.headers.len(), 3, "{head:?}");
        close_normally(client).await;
    });
}

#[test]
fn a_request_in_pieces_of_any_size_is_accepted() {
    echo_test(async |server| {
        for size in [1, 2, 7, 50] {
            let mut client = server.connect().await;
            let request = client.request("/some/path?query").to_bytes();
            client.send_in_pieces(request, size).await;
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            close_normally(client).await;
        }
    });
}

#[test]
fn header_names_and_tokens_have_no_case_and_tokens_may_stand_in_lists() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let request = client
            .request("/")
            .without("Upgrade")
            .with("UPGRADE", "h2c, WebSocket")
            .replacing("Connection", "keep-alive, upgrade")
            .with("X-Unknown", "");
        client.upgrade_with(request.to_bytes()).await.assert_switching_protocols(SAMPLE_KEY);
        close_normally(client).await;
    });
}

#[test]
fn frames_behind_the_request_are_delivered_after_on_open() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let frames = [RawFrame::text("first"), RawFrame::binary([2])];
        let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| client.writer.encode(frame)).collect();
        let request = client.request("/").to_bytes();
        client.send_bytes([request, bytes.concat()].concat()).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client.expect_text("first").await;
        client.expect_binary(&[2]).await;
        server.expect(Event::Opened).await;
        server.expect(Event::Message(Message::text("first"))).await;
        close_normally(client).await;
    });
}

#[test]
fn more_frames_behind_the_request_than_one_read_takes_are_answered() {
    echo_test(async |server| {
        // The kernel reports them once, together with the request.
        for size in [700, 3000, 60_000] {
            let mut client = server.connect().await;
            let text = "x".repeat(size);
            let frames = [&text[..], "last"].map(|text| client.writer.encode(&RawFrame::text(text)));
            let request = client.request("/").to_bytes();
            client.send_bytes([request, frames.concat()].concat()).await;
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            client.expect_text(&text).await;
            client.expect_text("last").await;
            close_normally(client).await;
        }
    });
}

#[test]
fn a_ping_behind_the_request_is_answered() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let ping = client.writer.encode(&RawFrame::ping("early"));
        let request = client.request("/").to_bytes();
        client.send_bytes([request, ping].concat()).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client.expect_pong(b"early").await;
        close_normally(client).await;
    });
}

#[test]
fn a_frame_that_begins_behind_the_request_may_end_later() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let frame = client.writer.encode(&RawFrame::text("in two parts"));
        let request = client.request("/").to_bytes();
        client.send_bytes([&request, &frame[..9]].concat()).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client.send_bytes(&frame[9..]).await;
        client.expect_text("in two parts").await;
        close_normally(client).await;
    });
}

#[test]
fn a_close_behind_the_request_is_answered() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let close = client.writer.encode(&RawFrame::close(1000, "changed my mind"));
        let request = client.request("/").to_bytes();
        client.send_bytes([request, close].concat()).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        assert_eq!(client.expect_close(1000).await, "changed my mind");
        client.expect_eof().await;
    });
}

#[test]
fn an_empty_line_before_the_request_is_ignored_whole_or_in_pieces() {
    echo_test(async |server| {
        for size in [1, 2, 3, 1000] {
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            client.send_in_pieces([b"\r\n", &request[..]].concat(), size).await;
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            close_normally(client).await;
        }
    });
}

async fn expect_refusal(client: &mut RawClient, status: u16) {
    let head = client.recv_head().await;
    assert_eq!(head.status(), status, "{head:?}");
    client.recv_body(&head).await;
    client.expect_eof().await;
}

#[test]
fn garbage_is_400_and_leaves_other_connections_alone() {
    echo_test(async |server| {
        for garbage in [
            &b"garbage\r\nand more\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01",
            b"\0\0\0\0",
            b"\r\n\r\n",
            b"GET\r\n\r\n",
        ] {
            let mut client = server.connect().await;
            client.send_bytes(garbage).await;
            expect_refusal(&mut client, 400).await;
        }
        server.expect_alive().await;
    });
}

#[test]
fn a_bare_line_feed_is_400_and_leaves_other_connections_alone() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let request = client.request("/").line_end("\n").to_bytes();
        client.send_bytes(&request).await;
        expect_refusal(&mut client, 400).await;

        let mut client = server.connect().await;
        let headers = String::from_utf8(request).unwrap().split_once('\n').unwrap().1.to_owned();
        client.send_bytes(format!("GET / HTTP/1.1\r\n{headers}")).await;
        expect_refusal(&mut client, 400).await;
        server.expect_alive().await;
    });
}

#[test]
fn a_peer_that_leaves_inside_its_request_leaves_other_connections_alone() {
    echo_test(async |server| {
        for reset in [false, true] {
            let mut client = server.connect().await;
            client.send_bytes("GET / HTTP/1.1\r\nHost: x\r\n").await;
            server.wait_for_handshakes(1).await;
            if reset {
                client.into_connection().reset();
            } else {
                drop(client);
            }
            server.wait_for_handshakes(0).await;
        }
        server.expect_alive().await;
    });
}

/// Passes a client to the callback of its own request, once.
struct ClientToReset(Mutex<mpsc::Receiver<RawClient>>);

impl ClientToReset {
    fn take(&self) -> Option<RawClient> {
        // With threads, the client may not be here yet. Later there is none.
        self.0.lock().unwrap().recv().ok()
    }
}

/// A client whose connection is reset inside the server's `accept`, so that the 101 cannot be written.
async fn reset_in_accept(hook: impl FnOnce(ClientToReset) -> Script) -> (ObservedServer, RawClient) {
    let (sender, client) = mpsc::channel();
    let server = hook(ClientToReset(Mutex::new(client))).start(Server::builder()).await;
    let bystander = server.connect().await;
    let mut client = server.connect().await;
    let request = client.request("/").to_bytes();
    // No await after the write, so that on one thread the server cannot run before the client is passed on.
    let written = client.writer.try_send_bytes(request).await;
    sender.send(client).unwrap();
    written.unwrap();
    (server, bystander)
}

#[test]
fn a_101_that_cannot_be_written_is_a_failed_handshake_and_nothing_else() {
    harness::run(async {
        let (mut server, mut bystander) = reset_in_accept(|to_reset| {
            Script::new().accept(move |_| {
                if let Some(client) = to_reset.take() {
                    client.into_connection().reset();
                }
                Ok(())
            })
        })
        .await;
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(0).await;
        bystander.upgrade("/").await;
        server.expect(Event::Opened).await;
        close_normally(bystander).await;
        let (_, rest) = server.stop_and_drain().await;
        assert!(matches!(rest[..], [Event::Closed(_)]), "{rest:?}");
    });
}

#[test]
fn a_reset_right_behind_the_request_leaves_other_connections_alone() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            for _ in 0..20 {
                let mut client = server.connect().await;
                let request = client.request("/").to_bytes();
                client.send_bytes(request).await;
                client.into_connection().reset();
            }
            server.expect_alive().await;
            server.wait_for_connections(0).await;
            server.stop().await;
        }
    });
}

#[test]
fn a_client_that_half_closes_behind_its_request_gets_its_101() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            ws.send("hello").await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let mut client = server.connect().await;
        let request = client.request("/").to_bytes();
        client.send_bytes(request).await;
        client.half_close().await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client.expect_text("hello").await;
        assert_eq!(client.expect_end().await, RecvError::Eof);
        server.stop().await;
    });
}
