//! `accept`, `accept_with`, and the hook of an `Acceptor`.

use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{Head, RawClient, RequestHead, SAMPLE_KEY};
use e2e_tests::server::close_normally;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use ws_server::{
    Acceptor, OriginPolicy, Rejection, Request, WebSocket, accept, accept_with, error::AcceptError,
};

/// Both ends of one connection.
async fn pair() -> (RawClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = RawClient::connect(listener.local_addr().expect("a bound listener")).await;
    let (stream, _) = listener.accept().await.expect("the connection that was just made");
    (client, stream)
}

fn request() -> RequestHead {
    RequestHead::new("localhost", "/chat")
}

/// Sends a request to `accept`, and closes the connection if it is accepted. Returns its result and the response.
async fn ask<Fut>(
    request: RequestHead,
    accept: impl FnOnce(TcpStream) -> Fut,
) -> (Result<(), AcceptError>, Head)
where
    Fut: Future<Output = Result<WebSocket<TcpStream>, AcceptError>>,
{
    let (mut client, stream) = pair().await;
    let serve = async {
        let mut ws = accept(stream).await?;
        assert_eq!(ws.recv().await, None);
        assert!(ws.close_info().expect("it is over").is_clean());
        Ok(())
    };
    let dial = async {
        let head = client.upgrade_with(request.to_bytes()).await;
        if head.status() == 101 {
            head.assert_switching_protocols(SAMPLE_KEY);
            close_normally(client).await;
        } else {
            client.recv_body(&head).await;
            client.expect_eof().await;
            drop(client);
        }
        head
    };
    tokio::join!(serve, dial)
}

/// A hook that accepts the path `/chat` only, and chooses a subprotocol.
fn only_chat(request: &mut Request) -> Result<(), Rejection> {
    request.select_subprotocol(&["chat"]);
    if request.path() == "/chat" { Ok(()) } else { Err(Rejection::new(StatusCode::NOT_FOUND)) }
}

fn expect_status(error: &AcceptError, expected: StatusCode) {
    assert!(matches!(error, AcceptError::Rejected(status) if *status == expected), "{error}");
}

#[test]
fn accept_serves_a_stream_and_refuses_pages_of_other_hosts() {
    harness::run(async {
        let (result, _) = ask(request(), accept).await;
        result.expect("it is a valid request");
        let (result, head) = ask(request().with("Origin", "http://other.example"), accept).await;
        assert!(matches!(result, Err(AcceptError::Origin)), "{result:?}");
        assert_eq!(head.status(), 403);
    });
}

#[test]
fn the_function_of_accept_with_decides_about_the_request() {
    harness::run(async {
        let offer = request().with("Sec-WebSocket-Protocol", "chat");
        // Its future may be a task.
        let accept =
            async |stream| tokio::spawn(accept_with(stream, only_chat)).await.expect("it does not panic");
        let (result, head) = ask(offer, accept).await;
        result.expect("it is accepted");
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("chat"));
        let other = RequestHead::new("localhost", "/other");
        let (result, head) = ask(other, |stream| accept_with(stream, only_chat)).await;
        expect_status(&result.expect_err("it is rejected"), StatusCode::NOT_FOUND);
        assert_eq!(head.status(), 404);
    });
}

#[test]
fn an_acceptor_asks_its_hook_about_each_request() {
    harness::run(async {
        let acceptor = Acceptor::new().on_request(only_chat);
        let (result, _) = ask(request(), |stream| acceptor.accept(stream)).await;
        result.expect("it is accepted");
        for read_only in [false, true] {
            let accept = async |stream| match read_only {
                true => acceptor.read_request(stream, Vec::new()).await?.accept().await,
                false => acceptor.accept(stream).await,
            };
            let (result, head) = ask(RequestHead::new("localhost", "/other"), accept).await;
            expect_status(&result.expect_err("it is rejected"), StatusCode::NOT_FOUND);
            assert_eq!(head.status(), 404);
        }
    });
}

#[test]
fn a_hook_of_an_acceptor_that_panics_is_answered_with_500() {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, async {
        let policy = OriginPolicy::Custom(Arc::new(|_| panic!("on purpose")));
        for acceptor in [Acceptor::new().on_request(|_| panic!("on purpose")), Acceptor::new().origin(policy)]
        {
            let page = request().with("Origin", "http://localhost");
            let (result, head) = ask(page, |stream| acceptor.accept(stream)).await;
            assert!(matches!(result, Err(AcceptError::Panicked)), "{result:?}");
            assert_eq!(head.status(), 500);
        }
        let (result, head) = ask(request(), |stream| accept_with(stream, |_| panic!("on purpose"))).await;
        assert!(matches!(result, Err(AcceptError::Panicked)), "{result:?}");
        assert_eq!(head.status(), 500);
    });
}

#[test]
fn a_peer_that_does_not_take_the_101_is_given_up_at_the_deadline() {
    harness::run(async {
        // It holds less than the response.
        let (theirs, ours) = tokio::io::duplex(16);
        let hasty = Acceptor::new().timeout(Duration::from_millis(50));
        let pending = hasty.read_request(ours, request().to_bytes()).await.expect("it is a valid request");
        let error = pending.accept().await.expect_err("nothing reads");
        assert!(matches!(error, AcceptError::TimedOut), "{error}");
        drop(theirs);
    });
}
