//! A client and the server that faces it.

use std::time::Duration;

use e2e_tests::{
    harness,
    raw_peer::{DEADLINE, RawAcceptor, RawServer},
};
use ws_client::{CloseInfo, ConnectError, Connected, Connector, Message, WebSocket};

/// A client with the defaults, connected.
pub(crate) async fn open() -> (WebSocket, RawServer) {
    open_with(Connector::new()).await
}

pub(crate) async fn open_with(connector: Connector) -> (WebSocket, RawServer) {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let (ws, server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
    (ws.expect("a valid upgrade"), server)
}

/// What comes of a connection attempt that the server answers with `response`, where `{accept}` stands for the right
/// value of `Sec-WebSocket-Accept`, and ends.
pub(crate) async fn answered_with(connector: &Connector, response: &str) -> Result<Connected, ConnectError> {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let server = async {
        let mut server = acceptor.accept().await;
        let request = server.recv_head().await;
        let accept = e2e_tests::raw_peer::accept_key(request.header("Sec-WebSocket-Key").unwrap());
        // A client that has seen enough may be gone already.
        let _ = server.into_connection().writer.try_send_bytes(response.replace("{accept}", &accept)).await;
    };
    tokio::join!(connector.open(&url), server).0
}

/// A valid response, up to the blank line that ends it.
pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n";

/// Receives until the end.
pub(crate) async fn drain(ws: &mut WebSocket) -> (Vec<Message>, CloseInfo) {
    let mut messages = Vec::new();
    let all = async {
        while let Some(message) = ws.recv().await {
            messages.push(message);
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("the connection ends");
    (messages, ws.close_info().expect("it is over"))
}

/// The longest wait for what must not take long, bounded by [`DEADLINE`].
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it does not take long")
}

/// Runs a test whose client has these deadlines short, so that it need not wait.
pub(crate) fn hasty() -> Connector {
    Connector::new().close_timeout(Duration::from_millis(200)).handshake_timeout(Duration::from_millis(200))
}

pub(crate) use harness::run;
