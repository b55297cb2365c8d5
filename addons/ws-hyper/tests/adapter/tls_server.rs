//! axum behind tokio-rustls, and clients that trust it.

use std::{future::pending, io, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    response::{Html, Response},
    routing::{any, get},
    serve::Listener,
};
use e2e_tests::certificates::CertificateFiles;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, client, rustls,
    rustls::{
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
    server,
};
use ws_hyper::{HyperStream, Message, Upgrader, WebSocket, axum::WebSocketUpgrade};

use crate::http2_client::Http2;

/// What the server knows about a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_http2: bool,
    /// Whether hyper gave up the socket.
    pub(crate) is_tcp: bool,
}

/// A server that offers HTTP/2 and HTTP/1.1 by ALPN. `/ws` echoes; `/` is a page with a chat on `/ws/lobby`.
pub(crate) struct TlsServer {
    pub(crate) addr: SocketAddr,
    pub(crate) files: CertificateFiles,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    tasks: [JoinHandle<()>; 2],
}

impl TlsServer {
    pub(crate) async fn start(upgrader: Upgrader) -> Self {
        let files = CertificateFiles::new();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&files)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, streams) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, acceptor, accepted));
        let (app, seen) = app(upgrader);
        let serving =
            tokio::spawn(async move { axum::serve(TlsListener { addr, streams }, app).await.unwrap() });
        Self { addr, files, seen, tasks: [accepting, serving] }
    }

    /// A TLS connection with these protocols in its ALPN.
    pub(crate) async fn connect(&self, protocols: &[&str]) -> client::TlsStream<TcpStream> {
        connect(&self.files, self.addr.port(), protocols).await
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.addr.port())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An echo and a chat, and what the server sees of each WebSocket.
pub(crate) fn app(upgrader: Upgrader) -> (Router, mpsc::UnboundedReceiver<Seen>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let room = broadcast::channel(16).0;
    let echo_sender = sender.clone();
    let echo = |ws: WebSocketUpgrade| async move { respond(ws, echo_sender, crate::support::echo) };
    let chat = |ws: WebSocketUpgrade| async move { respond(ws, sender, |ws| chat(ws, room)) };
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("../../examples/axum-chat/page.html")) }))
        .route("/ws", any(echo))
        .route("/ws/lobby", any(chat))
        .layer(Extension(upgrader));
    (app, seen)
}

fn respond<F, Fut>(ws: WebSocketUpgrade, seen: mpsc::UnboundedSender<Seen>, serve: F) -> Response
where
    F: FnOnce(WebSocket<HyperStream>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    ws.on_upgrade(move |ws| async move {
        let what = ws.with_io(|io| Seen { is_http2: io.is_http2(), is_tcp: io.tcp().is_some() });
        let _ = seen.send(what.unwrap());
        serve(ws).await;
    })
}

async fn chat(mut ws: WebSocket<HyperStream>, room: broadcast::Sender<Message>) {
    let mut messages = room.subscribe();
    loop {
        tokio::select! {
            said = ws.recv() => match said {
                Some(message) => drop(room.send(message)),
                None => break,
            },
            heard = messages.recv() => drop(ws.send(heard.unwrap()).await),
        }
    }
}

struct TlsListener {
    addr: SocketAddr,
    streams: mpsc::Receiver<server::TlsStream<TcpStream>>,
}

impl Listener for TlsListener {
    type Io = server::TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(stream) => (stream, self.addr),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.addr)
    }
}

/// Each handshake has a task of its own, because a browser also opens connections that it does not use.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<server::TlsStream<TcpStream>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = accepted.send(stream).await;
            }
        });
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(files: &CertificateFiles) -> rustls::ServerConfig {
    let chain = CertificateDer::pem_slice_iter(&files.read("cert")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&files.read("key")).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// A TLS connection to this port, with these protocols in its ALPN.
pub(crate) async fn connect(
    files: &CertificateFiles,
    port: u16,
    protocols: &[&str],
) -> client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(files.authority().pem().as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// An HTTP/2 connection over TLS.
pub(crate) async fn connect_http2(files: &CertificateFiles, port: u16) -> Http2 {
    let stream = connect(files, port, &["h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Http2::over(stream, "https", format!("localhost:{port}")).await
}

/// This library's client, which trusts the certificates.
pub(crate) fn connector(files: &CertificateFiles) -> ws_client::Connector {
    let tls = ws_client::Tls::builder().authority(files.authority().pem()).build().unwrap();
    ws_client::Connector::new().tls(tls)
}
