//! One attempt: the request hook, connecting, and the hook for a new connection. It is one future that owns the
//! connection, so dropping it ends everything that it began.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    cause::{BoxError, Cause},
    request::{Attempt, Request},
};
use crate::{ClientStream, Connector, WebSocket};

/// A boxed future, as the hook for new connections returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(super) type Attempting<S> = BoxFuture<'static, Result<WebSocket<S>, Cause>>;

/// Opens a connection.
pub(super) type Dial<S> = Box<dyn FnMut(Attempt) -> Attempting<S> + Send>;

/// The hook for a new connection. It gets the connection's number too.
pub(super) type Setup<S> =
    Arc<dyn for<'a> Fn(&'a mut WebSocket<S>, u64) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync>;

/// Dials with a connector. `request` is called for each attempt.
pub(super) fn dial_with<F, Fut, R>(connector: Connector, mut request: F) -> Dial<ClientStream>
where
    F: FnMut(Attempt) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R, BoxError>> + Send + 'static,
    R: Into<Request> + Send + 'static,
{
    Box::new(move |attempt| {
        let (request, connector) = (request(attempt), connector.clone());
        Box::pin(async move {
            let (url, connector) = request.await.map_err(Cause::Request)?.into().apply(connector)?;
            Ok(connector.connect(&url).await?)
        })
    })
}

/// Opens connection `number` within `limit`.
pub(super) fn begin<S>(
    dialling: Attempting<S>,
    setup: Option<Setup<S>>,
    number: u64,
    limit: Duration,
) -> Attempting<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(async move {
        let opening = async {
            let mut ws = dialling.await?;
            if let Some(setup) = setup
                && let Err(error) = setup(&mut ws, number).await
            {
                return Err(setup_failure(&mut ws, error).await);
            }
            Ok(ws)
        };
        tokio::time::timeout(limit, opening).await.unwrap_or(Err(Cause::AttemptTimedOut(limit)))
    })
}

/// If the connection has ended, its end is the cause: the hook's error only follows from it.
async fn setup_failure<S: AsyncRead + AsyncWrite + Unpin>(ws: &mut WebSocket<S>, error: BoxError) -> Cause {
    if !ws.is_open() {
        while ws.recv().await.is_some() {}
    }
    ws.close_info().map_or(Cause::Setup(error), Cause::Closed)
}
