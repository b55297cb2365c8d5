//! Streams that the application has accepted, with or without bytes that it has already read from them.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, SAMPLE_KEY};
use http::{HeaderName, HeaderValue, StatusCode};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use ws_server::{
    Acceptor, OriginPolicy, Rejection, WebSocket,
    close::Initiator,
    error::{AcceptError, RequestError},
};

/// Both ends of one connection.
async fn pair() -> (RawClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = RawClient::connect(listener.local_addr().expect("a bound listener")).await;
    let (stream, _) = listener.accept().await.expect("the connection that was just made");
    (client, stream)
}

async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.expect("the client has sent as much");
    bytes
}

/// Echoes until the connection ends, and checks that the end is clean.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<S>) {
    while let Some(message) = ws.recv().await {
        ws.send(message).await.expect("the connection is open");
    }
    let info = ws.close_info().expect("it is over");
    assert!(info.is_clean(), "{info:?}");
    assert_eq!(info.initiator, Initiator::Remote);
}

async fn expect_echo_and_close(mut client: RawClient) {
    client.send(RawFrame::text("hello")).await;
    client.expect_text("hello").await;
    client.send(RawFrame::close(1000, "")).await;
    client.expect_close(1000).await;
    client.expect_eof().await;
}

#[test]
fn a_stream_becomes_a_websocket() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let accept = async {
            let pending = Acceptor::new().read_request(stream, Vec::new()).await.unwrap();
            assert_eq!((pending.request().path(), pending.request().peer_addr()), ("/chat", None));
            echo(pending.accept().await.unwrap()).await;
        };
        let dial = async {
            client.upgrade("/chat").await;
            expect_echo_and_close(client).await;
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn a_request_that_was_read_already_whole_or_in_part_is_taken_over() {
    harness::run(async {
        for share in [1, 2, 3, 100] {
            let (mut client, mut stream) = pair().await;
            let request = client.request("/").to_bytes();
            let length = request.len() * share / 100 + share.min(1);
            client.send_bytes(&request).await;
            let received = read_exactly(&mut stream, length.min(request.len())).await;
            let accept = async {
                let pending = Acceptor::new().read_request(stream, received).await.unwrap();
                echo(pending.accept().await.unwrap()).await;
            };
            let dial = async {
                client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
                expect_echo_and_close(client).await;
            };
            tokio::join!(accept, dial);
        }
    });
}

#[test]
fn frames_that_were_read_with_the_request_are_delivered_however_many_they_are() {
    harness::run(async {
        let (mut client, mut stream) = pair().await;
        let request = client.request("/").to_bytes();
        // Far more than is held for an application that does not receive.
        let frames: Vec<Vec<u8>> =
            (0..200_u8).map(|number| client.writer.encode(&RawFrame::binary([number; 2000]))).collect();
        let bytes = [request, frames.concat()].concat();
        let (received, ()) = tokio::join!(read_exactly(&mut stream, bytes.len()), client.send_bytes(&bytes));
        let accept = async {
            let pending = Acceptor::new().read_request(stream, received).await.unwrap();
            echo(pending.accept().await.unwrap()).await;
        };
        let dial = async {
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            for number in 0..200_u8 {
                client.expect_binary(&[number; 2000]).await;
            }
            expect_echo_and_close(client).await;
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn a_decision_may_take_its_time_and_add_to_the_response() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let accept = async {
            let mut pending = Acceptor::new().read_request(stream, Vec::new()).await.unwrap();
            tokio::task::yield_now().await;
            pending.request_mut().select_subprotocol(&["chat"]);
            let ws = pending.accept().await.unwrap();
            assert_eq!(ws.subprotocol(), Some("chat"));
            echo(ws).await;
        };
        let dial = async {
            let request = client.request("/").with("Sec-WebSocket-Protocol", "other, chat");
            let head = client.upgrade_with(request.to_bytes()).await;
            assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("chat"));
            expect_echo_and_close(client).await;
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn a_rejection_is_sent_as_it_is() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let reject = async {
            let pending = Acceptor::new().read_request(stream, Vec::new()).await.unwrap();
            pending.reject(Rejection::new(StatusCode::GONE).with_text("moved on")).await;
        };
        let dial = async {
            let request = client.request("/").to_bytes();
            let head = client.upgrade_with(request).await;
            assert_eq!((head.status(), client.recv_body(&head).await), (410, b"moved on".to_vec()));
            client.expect_eof().await;
            drop(client);
        };
        tokio::join!(reject, dial);
    });
}

/// The acceptor's result for this request, and the status that the client receives.
async fn refused(acceptor: Acceptor, request: Vec<u8>) -> (AcceptError, u16) {
    let (mut client, stream) = pair().await;
    let accept = async { acceptor.read_request(stream, Vec::new()).await.expect_err("it is refused") };
    let dial = async {
        let head = client.upgrade_with(request).await;
        let body = client.recv_body(&head).await;
        client.expect_eof().await;
        drop((client, body));
        head.status()
    };
    tokio::join!(accept, dial)
}

#[test]
fn a_bad_request_is_answered_and_reported() {
    harness::run(async {
        let request = e2e_tests::raw_peer::RequestHead::new("localhost", "/");
        let (error, status) = refused(Acceptor::new(), b"garbage\r\n\r\n".to_vec()).await;
        assert!(matches!(error, AcceptError::Request(RequestError::Malformed)), "{error}");
        assert_eq!(status, 400);
        let (error, status) = refused(Acceptor::new(), request.clone().without("Upgrade").to_bytes()).await;
        assert!(matches!(error, AcceptError::Request(RequestError::Upgrade)), "{error}");
        assert_eq!(status, 426);
        let (error, status) =
            refused(Acceptor::new(), request.with("Origin", "http://evil.example").to_bytes()).await;
        assert!(matches!(error, AcceptError::Origin), "{error}");
        assert_eq!(status, 403);
    });
}

#[test]
fn a_refused_head_gets_no_body() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let accept =
            async { Acceptor::new().read_request(stream, Vec::new()).await.expect_err("it is refused") };
        let dial = async {
            let request = client.request("/").method("HEAD").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 405);
            client.expect_eof().await;
            drop(client);
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn another_policy_lets_other_origins_in() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let accept = async {
            let acceptor = Acceptor::new().origin(OriginPolicy::Any);
            echo(acceptor.read_request(stream, Vec::new()).await.unwrap().accept().await.unwrap()).await;
        };
        let dial = async {
            let request = client.request("/").with("Origin", "http://other.example").to_bytes();
            client.upgrade_with(request).await.assert_switching_protocols(SAMPLE_KEY);
            expect_echo_and_close(client).await;
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn on_streams_with_tls_a_page_without_it_is_refused() {
    harness::run(async {
        let request =
            e2e_tests::raw_peer::RequestHead::new("localhost", "/").with("Origin", "http://localhost");
        let (error, status) = refused(Acceptor::new().over_tls(true), request.to_bytes()).await;
        assert!(matches!(error, AcceptError::Origin), "{error}");
        assert_eq!(status, 403);
    });
}

#[test]
fn a_request_that_is_late_or_missing_is_reported() {
    harness::run(async {
        let (client, stream) = pair().await;
        let hasty = Acceptor::new().timeout(Duration::from_millis(50));
        let error = hasty.read_request(stream, Vec::new()).await.err().unwrap();
        assert!(matches!(error, AcceptError::TimedOut), "{error}");
        drop(client);

        let (client, stream) = pair().await;
        drop(client);
        let error = Acceptor::new().read_request(stream, b"GET / HT".to_vec()).await.err().unwrap();
        assert!(
            matches!(&error, AcceptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof),
            "{error}"
        );
    });
}

#[test]
fn an_unfinished_request_is_answered_with_408_and_silence_with_nothing() {
    harness::run(async {
        let hasty = Acceptor::new().timeout(Duration::from_millis(50));
        let (mut client, stream) = pair().await;
        client.send_bytes(b"GET / HTTP/1.1\r\nHost: a").await;
        let (result, head) = tokio::join!(hasty.accept(stream), async {
            let head = client.recv_head().await;
            client.expect_eof().await;
            drop(client);
            head
        });
        let error = result.expect_err("the request is not complete");
        assert!(matches!(error, AcceptError::TimedOut), "{error}");
        assert_eq!((head.status(), head.header("Connection")), (408, Some("close")));

        let (mut client, stream) = pair().await;
        let error = hasty.accept(stream).await.expect_err("there is no request");
        assert!(matches!(error, AcceptError::TimedOut), "{error}");
        client.expect_eof().await;
    });
}

#[test]
fn a_response_that_cannot_be_sent_as_asked_is_500() {
    harness::run(async {
        let (mut client, stream) = pair().await;
        let accept = async {
            let mut pending = Acceptor::new().read_request(stream, Vec::new()).await.unwrap();
            let name = HeaderName::from_static("upgrade");
            pending.request_mut().add_response_header(name, HeaderValue::from_static("h2c"));
            let error = pending.accept().await.err().unwrap();
            assert!(matches!(error, AcceptError::ResponseParts(_)), "{error}");
        };
        let dial = async {
            let request = client.request("/").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 500);
            client.expect_eof().await;
            drop(client);
        };
        tokio::join!(accept, dial);
    });
}

#[test]
fn any_stream_will_do() {
    harness::run(async {
        let (theirs, ours) = tokio::io::duplex(64);
        let accept = async {
            let pending = Acceptor::new().read_request(ours, Vec::new()).await.unwrap();
            echo(pending.accept().await.unwrap()).await;
        };
        let dial = async {
            use futures_util::{SinkExt, StreamExt};
            use tokio_tungstenite::tungstenite::Message;
            let (mut client, _) = tokio_tungstenite::client_async("ws://localhost/", theirs).await.unwrap();
            let text = "more than the stream holds at once ".repeat(20);
            client.send(Message::text(text.clone())).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text));
            client.close(None).await.unwrap();
            while client.next().await.is_some() {}
        };
        tokio::join!(accept, dial);
    });
}
