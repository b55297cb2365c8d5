//! hyper's HTTP/2 client, with extended CONNECT.

use std::{future::poll_fn, net::SocketAddr, task::Poll, time::Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http2, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use ws_client::Message;
use ws_hyper::protocol::{Connection, ValidConfig};

pub(crate) type ClientSocket = ws_client::WebSocket<TokioIo<Upgraded>>;

/// An HTTP/2 connection of a client.
pub(crate) struct Http2 {
    pub(crate) sender: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
    pub(crate) authority: String,
    scheme: &'static str,
}

impl Http2 {
    /// Connects, and waits until the server has offered extended CONNECT.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap(), "http", addr.to_string()).await
    }

    /// As [`connect`](Self::connect), over a connection that exists.
    pub(crate) async fn over<S>(stream: S, scheme: &'static str, authority: String) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let mut connection = Box::pin(connection);
        poll_fn(|cx| {
            assert!(connection.as_mut().poll(cx).is_pending(), "the server has left");
            if connection.is_extended_connect_protocol_enabled() {
                return Poll::Ready(());
            }
            // The settings arrive in another task of hyper, which does not wake this one.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, connection, authority, scheme }
    }

    pub(crate) fn request(&self) -> http::request::Builder {
        Request::connect(format!("{}://{}/ws", self.scheme, self.authority))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
    }

    pub(crate) fn get(&self, path: &str) -> http::request::Builder {
        Request::get(format!("{}://{}{path}", self.scheme, self.authority))
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder) -> Response<Incoming> {
        self.sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
    }

    pub(crate) async fn open(&mut self) -> ClientSocket {
        let mut response = self.send(self.request()).await;
        assert_eq!(response.status(), StatusCode::OK);
        client_socket(hyper::upgrade::on(&mut response).await.unwrap())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(crate) fn client_socket(upgraded: Upgraded) -> ClientSocket {
    let masks = Box::new(ws_proto::mask::ChaChaMaskSource::from_seed([7; 32]));
    let connection = Connection::client(ValidConfig::default(), masks, Instant::now());
    ws_client::WebSocket::new(TokioIo::new(upgraded), connection)
}

pub(crate) async fn expect_echo(ws: &mut ClientSocket, message: impl Into<Message>) {
    let message = message.into();
    ws.send(message.clone()).await.unwrap();
    assert_eq!(ws.recv().await, Some(message));
}
