//! Echo server on our own server, without axum: a task per connection, as in axum.

use bench_common::server::MAX_MESSAGE;
use tokio::net::TcpListener;
use ws_server::Server;

fn main() -> std::io::Result<()> {
    servers_axum::run(|listener| {
        Box::pin(async move {
            let listener = TcpListener::from_std(listener)?;
            let builder = Server::builder().max_message_size(MAX_MESSAGE).max_connections(100_000);
            let server = builder.max_handshakes(1024).listener(listener)?;
            let report = server.serve(|mut ws, _request| async move {
                while let Some(message) = ws.recv().await {
                    if ws.send(message).await.is_err() {
                        break;
                    }
                }
            });
            report.await;
            Ok(())
        })
    })
}
