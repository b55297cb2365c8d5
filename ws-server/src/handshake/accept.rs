//! Accepting a stream in one line.

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::handshake::Rejection;
use ws_tokio::WebSocket;

use crate::admission::Request;

use super::{acceptor::Acceptor, error::AcceptError};

/// Accepts a WebSocket on any stream, with the defaults of [`Acceptor`]: the default
/// [`Config`](ws_proto::Config), web pages of the same host only, and 10 s for the request.
///
/// ```no_run
/// # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let (stream, _addr) = listener.accept().await?;
/// let mut ws = ws_server::accept(stream).await?;
/// while let Some(message) = ws.recv().await {
///     ws.send(message).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// For a TCP stream, also set [`with_send_queue`](WebSocket::with_send_queue); [`Acceptor`] shows how.
///
/// Use an [`Acceptor`] for other settings and for a stream over TLS, and a [`Server`](crate::Server) for limits over
/// all connections and graceful shutdown.
///
/// # Errors
/// [`AcceptError`]. A bad request has been answered.
///
/// # Cancel safety
/// Dropping the future drops the stream.
#[doc(alias = "accept_async")]
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Result<WebSocket<S>, AcceptError> {
    Acceptor::new().accept(io).await
}

/// As [`accept()`], with a function that gets the request before it is accepted. It can authenticate, choose a
/// subprotocol, add response headers, or reject.
///
/// ```no_run
/// use ws_server::{Rejection, http::StatusCode};
///
/// # async fn example(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let ws = ws_server::accept_with(stream, |request| match request.path() {
///     "/chat" => Ok(()),
///     _ => Err(Rejection::new(StatusCode::NOT_FOUND)),
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`accept()`], and [`AcceptError::Rejected`] if `hook` rejects the request. The rejection has been sent. If `hook`
/// panics, the request is answered with 500, and the error is [`AcceptError::Panicked`].
///
/// # Cancel safety
/// Dropping the future drops the stream.
#[doc(alias = "accept_hdr_async")]
pub async fn accept_with<S, F>(io: S, hook: F) -> Result<WebSocket<S>, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(&mut Request) -> Result<(), Rejection>,
{
    Acceptor::new().read_request(io, Vec::new()).await?.ask(hook).await?.accept().await
}
