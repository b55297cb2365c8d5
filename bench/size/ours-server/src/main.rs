//! A minimal echo server with our crate.

use ws_server::Server;

async fn serve() -> std::io::Result<()> {
    let server = Server::bind("127.0.0.1:9001").await?;
    server
        .serve(|mut ws, _request| async move {
            while let Some(message) = ws.recv().await {
                if ws.send(message).await.is_err() {
                    break;
                }
            }
        })
        .await;
    Ok(())
}

fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}
