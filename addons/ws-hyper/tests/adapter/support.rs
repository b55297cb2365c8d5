//! A hyper server for one test.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use e2e_tests::raw_peer::RawClient;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::join,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use ws_hyper::{HyperStream, Upgrader, WebSocket};

pub(crate) type Answer = Response<Full<Bytes>>;

/// How the server gives a connection to hyper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serve {
    /// With hyper's own builder for HTTP/1.
    Http1,
    /// With hyper-util's builder, which detects the version, as axum does.
    Auto,
    /// As `Auto`, with the windows that README.md recommends for HTTP/2.
    SmallWindows,
    /// As a type that the adapter does not know, like TLS.
    Opaque,
    /// With hyper's own builder for HTTP/1, and without upgrades.
    WithoutUpgrades,
}

pub(crate) const ALL: [Serve; 3] = [Serve::Http1, Serve::Auto, Serve::Opaque];

/// A server that stops with this value. Connections continue.
#[derive(Debug)]
pub(crate) struct HyperServer {
    pub(crate) addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl HyperServer {
    pub(crate) async fn start<F, Fut>(serve: Serve, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve_connection(serve, stream, answer.clone()));
            }
        });
        Self { addr, accepting }
    }

    /// Serves each WebSocket with `serve`.
    pub(crate) async fn sockets<F, Fut>(how: Serve, upgrader: Upgrader, serve: F) -> Self
    where
        F: Fn(WebSocket<HyperStream>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start(how, move |mut request| {
            let answer = match upgrader.begin(&mut request) {
                Ok(upgrade) => {
                    let serve = serve.clone();
                    upgrade.on_upgrade(serve).unwrap_or_else(|error| error.into_response())
                }
                Err(error) => error.into_response(),
            };
            async { answer }
        })
        .await
    }

    pub(crate) async fn echo(how: Serve, upgrader: Upgrader) -> Self {
        Self::sockets(how, upgrader, echo).await
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }
}

impl Drop for HyperServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Returns when hyper is done with the connection.
pub(crate) async fn serve_connection<F, Fut>(serve: Serve, stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    // An error means that the client has left.
    match serve {
        Serve::Http1 => {
            let io = TokioIo::new(stream);
            let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        }
        Serve::WithoutUpgrades => {
            let io = TokioIo::new(stream);
            let _ = http1::Builder::new().serve_connection(io, service).await;
        }
        Serve::Auto | Serve::SmallWindows => {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().enable_connect_protocol();
            if serve == Serve::SmallWindows {
                builder.http2().initial_stream_window_size(64 << 10);
                builder.http2().initial_connection_window_size(16 << 20);
            }
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        }
        Serve::Opaque => {
            let (reader, writer) = stream.into_split();
            let io = TokioIo::new(join(reader, writer));
            let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        }
    }
}

pub(crate) async fn echo(mut ws: WebSocket<HyperStream>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

pub(crate) fn text(text: &'static str) -> Answer {
    Response::new(Full::from(text))
}

/// Gives a value to the first call of a function that may be called often.
pub(crate) struct Once<T>(Arc<Mutex<Option<T>>>);

impl<T> Once<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap().take()
    }
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Sends a valid request and does not wait for the response.
pub(crate) async fn send_request(client: &mut RawClient) {
    let request = client.request("/").to_bytes();
    client.send_bytes(request).await;
}
