//! The start that all servers inside axum share.

use axum::Router;
use axum::serve::ListenerExt as _;
use bench_common::server;
use std::net::TcpListener;
use std::pin::Pin;

/// Serves a router with `axum::serve`, on one thread and with `TCP_NODELAY`.
///
/// # Errors
/// The kernel's error, for example that the port is in use.
pub fn serve(app: Router) -> std::io::Result<()> {
    run(|listener| {
        Box::pin(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
                // An error means that the connection has ended.
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, app).await
        })
    })
}

/// Runs a server on a runtime with one thread.
///
/// # Errors
/// That of the server.
pub fn run<F>(serve: F) -> std::io::Result<()>
where
    F: FnOnce(TcpListener) -> Pin<Box<dyn Future<Output = std::io::Result<()>>>>,
{
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(server::listen(options.listen)?))
}
