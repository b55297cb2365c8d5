//! The HTTP/2 client of `ws-client`, against the adapter inside hyper.

use std::{convert::Infallible, future::poll_fn, net::SocketAddr, pin::pin, task::Poll};

use bytes::Bytes;
use e2e_tests::harness::{self, Options};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use ws_client::{
    Connector, Message, WebSocket,
    error::ConnectError,
    http2::{Http2, Http2Stream},
};
use ws_hyper::{CloseCode, Config, DeflateConfig, HyperStream, Upgrader};

use crate::support::{HyperServer, Once, Serve, echo};

/// An HTTP/2 connection of a client.
struct Client {
    http2: Http2,
    authority: String,
}

impl Client {
    /// Connects and waits until the server has offered extended CONNECT.
    async fn connect(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let http2 = Connector::new().http2_on(tcp).await.unwrap();
        assert!(http2.offers_websockets());
        Self { http2, authority: addr.to_string() }
    }

    fn url(&self) -> String {
        format!("ws://{}/ws", self.authority)
    }

    async fn open(&self) -> WebSocket<Http2Stream> {
        Connector::new().connect_http2(self.url(), &self.http2).await.unwrap().ws
    }
}

async fn expect_echo(ws: &mut WebSocket<Http2Stream>, message: impl Into<Message>) {
    let message = message.into();
    ws.send(message.clone()).await.unwrap();
    assert_eq!(ws.recv().await, Some(message));
}

#[test]
fn messages_are_echoed_to_a_connector() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Auto, Upgrader::default()).await;
        let client = Client::connect(server.addr).await;
        let mut ws = client.open().await;
        expect_echo(&mut ws, "hello").await;
        // More than the stream's window and hyper's buffers hold.
        expect_echo(&mut ws, vec![7_u8; 8 << 20]).await;
        assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
    });
}

#[test]
fn the_settings_of_a_connector_apply_to_each_websocket() {
    harness::run(async {
        let mut config = Config::default();
        config.deflate = Some(DeflateConfig::server());
        let upgrader = Upgrader::new(config.validate().unwrap());
        let (paths, mut requested) = mpsc::unbounded_channel();
        let server = HyperServer::start(Serve::Auto, move |mut request| {
            let header =
                |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            paths.send((request.uri().to_string(), header("x-token"), header("authorization"))).unwrap();
            let upgrade = upgrader.begin(&mut request).unwrap().protocols(["v1"]);
            let answer = upgrade.header("x-answer".parse().unwrap(), "yes".parse().unwrap()).on_upgrade(echo);
            let answer = answer.unwrap();
            async { answer }
        })
        .await;
        let client = Client::connect(server.addr).await;
        let connector = Connector::new()
            .subprotocol("v2")
            .subprotocol("v1")
            .header("x-token", "t")
            .max_message_size(1000);
        let compressing = connector.clone().deflate(DeflateConfig::client());

        let plain = connector.connect_http2(client.url() + "?room=1", &client.http2).await.unwrap();
        assert_eq!(plain.response.headers()["x-answer"], "yes");
        let mut plain = plain.ws;
        assert_eq!((plain.subprotocol(), plain.deflate_params()), (Some("v1"), None));
        let url = client.url().replace("ws://", "ws://user:pass@");
        let mut compressed = compressing.connect_http2(url, &client.http2).await.unwrap().ws;
        assert!(compressed.deflate_params().is_some());
        let http = client.url().replace("ws://", "http://");
        let token = Some("t".to_owned());
        assert_eq!(requested.recv().await, Some((http.clone() + "?room=1", token.clone(), None)));
        assert_eq!(requested.recv().await, Some((http, token, Some("Basic dXNlcjpwYXNz".to_owned()))));

        expect_echo(&mut plain, "plain").await;
        expect_echo(&mut compressed, "compressed ".repeat(50)).await;
        plain.send("x".repeat(1001)).await.unwrap();
        assert_eq!(plain.recv().await, None);
        assert_eq!(plain.close_info().unwrap().sent.unwrap().code, Some(CloseCode::MESSAGE_TOO_BIG));
        assert!(compressed.close(1000.try_into().unwrap(), "").await.is_clean());
    });
}

#[test]
fn a_request_of_http_sets_headers_host_and_subprotocols() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let (heads, mut requested) = mpsc::unbounded_channel();
        let server = HyperServer::start(Serve::Auto, move |mut request| {
            heads.send((request.uri().to_string(), request.headers().clone())).unwrap();
            let answer = upgrader.begin(&mut request).unwrap().protocols(["b"]).on_upgrade(echo).unwrap();
            async { answer }
        })
        .await;
        let client = Client::connect(server.addr).await;
        let request = Request::get(client.url())
            .header("host", "other.example")
            .header("origin", "http://other.example")
            .header("sec-websocket-protocol", "a, b")
            .header("sec-websocket-key", "not sent");
        let request = request.body(()).unwrap();
        let ws = Connector::new().connect_http2(request, &client.http2).await.unwrap().ws;
        assert_eq!(ws.subprotocol(), Some("b"));
        let (uri, headers) = requested.recv().await.unwrap();
        assert_eq!(uri, "http://other.example/ws");
        assert_eq!(headers["origin"], "http://other.example");
        assert_eq!(headers["sec-websocket-protocol"], "a, b");
        for absent in ["host", "upgrade", "connection", "sec-websocket-key"] {
            assert!(!headers.contains_key(absent), "{absent}");
        }
    });
}

#[test]
fn each_status_but_200_is_a_refusal_with_its_headers_and_body() {
    harness::run(async {
        let server = HyperServer::start(Serve::Auto, |request| {
            let status = request.uri().path().trim_start_matches("/ws").parse().unwrap();
            let mut answer = Response::new(Full::from(format!("body of {status}")));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer.headers_mut().insert("x-why", status.into());
            async { answer }
        })
        .await;
        let client = Client::connect(server.addr).await;
        for status in [300, 301, 307, 400, 401, 403, 404, 405, 408, 421, 425, 426, 429, 431, 500, 501, 503] {
            let url = format!("{}{status}", client.url());
            let error = Connector::new().connect_http2(url, &client.http2).await.unwrap_err();
            let is_temporary = matches!(status, 408 | 425 | 429 | 500..);
            assert_eq!(error.is_temporary(), is_temporary, "{status}");
            let ConnectError::Refused(refusal) = error else { panic!("{status}: {error}") };
            assert_eq!(refusal.status(), status);
            assert_eq!(refusal.headers()["x-why"], status.to_string());
            assert_eq!(refusal.body(), format!("body of {status}").as_bytes());
        }
        assert!(!client.http2.is_closed());
    });
}

#[test]
fn redirects_are_not_followed() {
    harness::run(async {
        let server = HyperServer::start(Serve::Auto, |_| async {
            let mut answer = crate::support::text("");
            *answer.status_mut() = StatusCode::FOUND;
            answer.headers_mut().insert("location", "/other".parse().unwrap());
            answer
        })
        .await;
        let client = Client::connect(server.addr).await;
        let error =
            Connector::new().redirects(5).connect_http2(client.url(), &client.http2).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused(refusal) if refusal.status() == 302));
    });
}

/// Serves one connection with hyper's builder for HTTP/2. `stop` begins its graceful end.
async fn serve_one(
    configure: impl FnOnce(&mut http2::Builder<TokioExecutor>),
    answer: impl Fn(&mut Request<hyper::body::Incoming>) -> Response<Full<Bytes>> + Send + 'static,
    stop: oneshot::Receiver<()>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    configure(&mut builder);
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let service = service_fn(move |mut request| {
            let answer = answer(&mut request);
            async { Ok::<_, Infallible>(answer) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(tcp), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    });
    (addr, serving)
}

#[test]
fn a_server_without_extended_connect_still_answers_ordinary_requests() {
    harness::run(async {
        let (_stop, wait) = oneshot::channel();
        let hello = |request: &mut Request<_>| {
            assert_eq!(request.method(), "POST", "no WebSocket is requested");
            Response::new(Full::from("hello"))
        };
        let (addr, serving) = serve_one(|_| {}, hello, wait).await;
        let tcp = TcpStream::connect(addr).await.unwrap();
        let connector = Connector::new();
        let http2: Http2<Full<Bytes>> =
            connector.http2_with(&ws_client::http2::builder(), tcp).await.unwrap();
        assert!(!http2.offers_websockets());
        let error = connector.connect_http2(format!("ws://{addr}/"), &http2).await.unwrap_err();
        assert!(matches!(error, ConnectError::ExtendedConnectNotOffered), "{error}");
        let post = Request::post(format!("http://{addr}/")).body(Full::from("a body")).unwrap();
        let response = http2.sender().clone().send_request(post).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        drop(http2);
        serving.await.unwrap();
    });
}

#[test]
fn a_graceful_end_of_the_server_keeps_open_websockets() {
    harness::run(async {
        let (stop, wait) = oneshot::channel();
        let upgrader = Upgrader::default();
        let answer =
            move |request: &mut Request<_>| upgrader.begin(request).unwrap().on_upgrade(echo).unwrap();
        let configure = |builder: &mut http2::Builder<_>| {
            builder.enable_connect_protocol();
        };
        let (addr, serving) = serve_one(configure, answer, wait).await;
        let client = Client::connect(addr).await;
        let mut ws = client.open().await;
        stop.send(()).unwrap();
        // Until GOAWAY has arrived, the server still accepts streams.
        let error = loop {
            match Connector::new().connect_http2(client.url(), &client.http2).await {
                Ok(mut connected) => expect_echo(&mut connected.ws, "before GOAWAY").await,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ConnectError::Http2(_)), "{error}");
        assert!(client.http2.is_closed());
        expect_echo(&mut ws, "and still").await;
        assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
        serving.await.unwrap();
    });
}

#[test]
fn a_connection_that_the_application_made_with_hyper_opens_websockets() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Auto, Upgrader::default()).await;
        let io = TokioIo::new(TcpStream::connect(server.addr).await.unwrap());
        let (sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io)
                .await
                .unwrap();
        let running = tokio::spawn(connection);
        let http2 = Http2::new(sender);
        let url = server.url();
        let mut ws = Connector::new().connect_http2(&url, &http2).await.unwrap().ws;
        expect_echo(&mut ws, "hello").await;
        drop((ws, http2));
        running.await.unwrap().unwrap();
    });
}

#[test]
fn a_server_that_cuts_a_websocket_off_ends_it_with_1006() {
    harness::run(async {
        let cut = |mut ws: WebSocket<HyperStream>| async move { ws.abort() };
        let server = HyperServer::sockets(Serve::Auto, Upgrader::default(), cut).await;
        let client = Client::connect(server.addr).await;
        let mut ws = client.open().await;
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.close_info().unwrap().code(), 1006);
    });
}

#[test]
fn a_message_before_the_end_of_a_stream_is_delivered() {
    harness::run(async {
        let (done, wait) = oneshot::channel();
        let done = Once::new(done);
        let server =
            HyperServer::sockets(Serve::Auto, Upgrader::default(), move |mut ws: WebSocket<HyperStream>| {
                let done = done.take().unwrap();
                async move {
                    while let Some(message) = ws.recv().await {
                        done_with(&mut ws, message).await;
                    }
                    let _ = done.send(ws.close_info().unwrap().code());
                }
            })
            .await;
        let client = Client::connect(server.addr).await;
        let mut ws = client.open().await;
        ws.send("ask").await.unwrap();
        assert_eq!(ws.recv().await, Some(Message::from("ask, answered")));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.close_info().unwrap().code(), 1000);
        assert_eq!(wait.await.unwrap(), 1000);
    });
}

async fn done_with(ws: &mut WebSocket<HyperStream>, message: Message) {
    let _ = ws.send(format!("{}, answered", message.as_text().unwrap())).await;
    ws.close(1000.try_into().unwrap(), "").await;
}

/// With several threads, hyper's tasks run beside the futures that are dropped.
#[test]
fn futures_that_are_dropped_leave_a_connection_that_works() {
    let options = Options { worker_threads: 2, ..Options::default() };
    harness::run_with(options, async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Auto, upgrader.clone()).await;
        let client = Client::connect(server.addr).await;
        let connector = Connector::new();
        for polls in 0..200 {
            {
                let mut connecting = pin!(connector.connect_http2(client.url(), &client.http2));
                for _ in 0..polls % 20 {
                    let is_ready = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx).is_ready())).await;
                    if is_ready {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let mut ws = client.open().await;
            expect_echo(&mut ws, polls.to_string()).await;
        }
        drop(client);
        // All the streams end, those of dropped futures too.
        while upgrader.connections() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
