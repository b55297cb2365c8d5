//! Echo server on tokio-websockets: its `echo_server` example.

use bench_common::server;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Config, Error, Limits, ServerBuilder};

async fn echo(conn: TcpStream) -> Result<(), Error> {
    let (_request, mut server) = ServerBuilder::new()
        .config(Config::default().frame_size(usize::MAX))
        .limits(Limits::unlimited())
        .accept(conn)
        .await?;
    while let Some(Ok(item)) = server.next().await {
        if item.is_text() || item.is_binary() {
            server.send(item).await?;
        }
    }
    Ok(())
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (conn, _) = listener.accept().await?;
        conn.set_nodelay(true)?;
        tokio::spawn(tokio::task::unconstrained(echo(conn)));
    }
}

fn main() -> std::io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move { serve(TcpListener::from_std(server::listen(options.listen)?)?).await })
}
