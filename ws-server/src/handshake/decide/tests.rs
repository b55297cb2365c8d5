use std::{cell::Cell, sync::Arc};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ws_proto::{Config, handshake::RequestReader};

use super::*;
use crate::{handshake::established::HandshakeFailed, options::Options};

/// An application that counts what happens to its requests.
#[derive(Default)]
struct Counting {
    asked: Cell<usize>,
    failed: Arc<std::sync::atomic::AtomicUsize>,
    panics: bool,
}

struct Token(Arc<std::sync::atomic::AtomicUsize>);

impl HandshakeFailed for Token {
    fn on_failure(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Application for Counting {
    type Accepted = Token;

    fn protocol(server: &ServerState) -> &ValidConfig {
        &server.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Token, Rejection> {
        self.asked.set(self.asked.get() + 1);
        assert!(!self.panics, "as the test asks");
        Ok(Token(Arc::clone(&self.failed)))
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn request(head: &str) -> Request {
    let config = Config::default();
    let head = format!("{head}\r\n");
    let read = RequestReader::new(&config.limits).read(head.as_bytes()).unwrap();
    Request::new(read.unwrap().0, None)
}

fn server(change: impl FnOnce(&mut Options)) -> Arc<ServerState> {
    let mut options = Options::default();
    change(&mut options);
    let config = Config::default().validate().unwrap();
    ServerState::new(options, config.clone(), config)
}

fn run(app: &Counting, server: &ServerState, head: &str) -> Decision<Token> {
    let request = request(head);
    admit(server, &request, false).and_then(|admitted| decide(app, server, admitted, request, Vec::new()))
}

/// The rejection, as text.
fn rejection(decision: Decision<Token>) -> String {
    String::from_utf8(decision.err().expect("rejected").response).unwrap()
}

#[test]
fn a_request_is_accepted_with_101_and_takes_a_connection_permit() {
    let (app, server) = (Counting::default(), server(|_| ()));
    let accepted = run(&app, &server, UPGRADE).expect("accepted");
    assert!(accepted.response.starts_with(b"HTTP/1.1 101 "));
    assert_eq!((app.asked.get(), server.connections.active()), (1, 1));
}

#[test]
fn the_application_is_notified_of_an_accepted_request_that_is_dropped() {
    let (app, server) = (Counting::default(), server(|_| ()));
    drop(run(&app, &server, UPGRADE));
    assert_eq!(app.failed.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(server.connections.active(), 0);
}

#[test]
fn a_full_server_rejects_without_asking_the_application() {
    let (app, server) = (Counting::default(), server(|options| options.max_connections = Some(1)));
    let _first = run(&app, &server, UPGRADE).expect("accepted");
    assert!(rejection(run(&app, &server, UPGRADE)).starts_with("HTTP/1.1 503 "));
    assert_eq!(app.asked.get(), 1);
}

#[test]
fn an_application_that_panics_is_answered_with_500_and_its_permit_is_free() {
    let (app, server) = (Counting { panics: true, ..Counting::default() }, server(|_| ()));
    assert!(rejection(run(&app, &server, UPGRADE)).starts_with("HTTP/1.1 500 "));
    assert_eq!(server.connections.active(), 0);
}

#[test]
fn the_request_hook_is_asked_before_the_application() {
    let app = Counting::default();
    let hook = |_: &mut Request| Err(Rejection::new(StatusCode::IM_A_TEAPOT));
    let server = server(|options| options.on_request = Some(Arc::new(hook)));
    assert!(rejection(run(&app, &server, UPGRADE)).starts_with("HTTP/1.1 418 "));
    assert_eq!(app.asked.get(), 0);
}

#[test]
fn only_requests_that_ask_for_no_websocket_reach_the_http_hook() {
    let app = Counting::default();
    let page = |_: &Request| http::Response::new(Bytes::from_static(b"a page"));
    let server = server(|options| options.http = Some(Arc::new(page)));
    assert!(rejection(run(&app, &server, "GET / HTTP/1.1\r\nHost: a\r\n")).ends_with("a page"));
    assert!(rejection(run(&app, &server, "HEAD / HTTP/1.1\r\nHost: a\r\n")).ends_with("\r\n\r\n"));
    let broken = UPGRADE.replace("Version: 13", "Version: 12");
    assert!(rejection(run(&app, &server, &broken)).starts_with("HTTP/1.1 426 "));
}

/// What an [`Acceptor`](crate::Acceptor) with the default settings answers.
async fn acceptor_answers(head: &str) -> (AcceptError, String) {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    theirs.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    theirs.shutdown().await.unwrap();
    let error = crate::Acceptor::new().accept(ours).await.unwrap_err();
    let mut response = String::new();
    theirs.read_to_string(&mut response).await.unwrap();
    (error, response)
}

#[tokio::test]
async fn the_server_and_the_acceptor_answer_the_same_request_alike() {
    let (app, server) = (Counting::default(), server(|_| ()));
    let foreign = format!("{UPGRADE}Origin: https://b.example\r\n");
    let version = UPGRADE.replace("Version: 13", "Version: 12");
    let post = UPGRADE.replace("GET", "POST");
    for head in [&foreign, &version, &post, "GET / HTTP/1.1\r\nHost: a\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n"]
    {
        assert_eq!(acceptor_answers(head).await.1, rejection(run(&app, &server, head)), "{head}");
    }
    let (error, response) = acceptor_answers(&foreign).await;
    assert!(matches!(error, AcceptError::Origin), "{error}");
    assert!(response.starts_with("HTTP/1.1 403 ") && response.ends_with("\r\n\r\norigin not allowed\n"));
    assert_eq!(app.asked.get(), 0);
}

#[test]
fn a_response_to_head_has_no_body() {
    let error = AcceptError::Origin;
    let get = error.response(&Method::GET).unwrap();
    let head = error.response(&Method::HEAD).unwrap();
    assert_eq!(get.strip_suffix(b"origin not allowed\n"), Some(head.as_slice()));
}
