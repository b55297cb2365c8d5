//! Helpers for tests with a client and a raw server.

use std::time::Duration;

use e2e_tests::{
    harness,
    raw_peer::{DEADLINE, RawAcceptor, RawServer},
};
use ws_client::{ClientStream, CloseInfo, Connected, Connector, Message, WebSocket, error::ConnectError};

/// A connected client with default options.
pub(crate) async fn open() -> (WebSocket<ClientStream>, RawServer) {
    open_with(Connector::new()).await
}

pub(crate) async fn open_with(connector: Connector) -> (WebSocket<ClientStream>, RawServer) {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let (ws, server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
    (ws.expect("a valid upgrade"), server)
}

/// The result of a connection attempt whose server sends `response` and closes. `{accept}` in it is replaced by the
/// right value of `Sec-WebSocket-Accept`.
pub(crate) async fn answered_with(connector: &Connector, response: &str) -> Result<Connected, ConnectError> {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let server = async {
        let mut server = acceptor.accept().await;
        let request = server.recv_head().await;
        let accept = e2e_tests::raw_peer::accept_key(request.header("Sec-WebSocket-Key").unwrap());
        // The client may already be gone.
        let _ = server.into_connection().writer.try_send_bytes(response.replace("{accept}", &accept)).await;
    };
    tokio::join!(connector.open(&url), server).0
}

/// A valid response, without the blank line at its end.
pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n";

/// An error and its causes, as a program prints them.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Receives until the end.
pub(crate) async fn drain(ws: &mut WebSocket<ClientStream>) -> (Vec<Message>, CloseInfo) {
    let mut messages = Vec::new();
    let all = async {
        while let Some(message) = ws.recv().await {
            messages.push(message);
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("the connection ends");
    (messages, ws.close_info().expect("it is over"))
}

/// Waits for a future for at most [`DEADLINE`].
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it does not take long")
}

/// The deadline of [`with_short_handshake`] and [`with_short_close`].
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// A connector for servers that do not answer the request.
pub(crate) fn with_short_handshake() -> Connector {
    Connector::new().handshake_timeout(SHORT)
}

/// A connector for servers that do not answer a Close.
pub(crate) fn with_short_close() -> Connector {
    Connector::new().close_timeout(SHORT)
}

pub(crate) use harness::run;
