//! Echo server on tokio-websockets: its `echo_server` example.

use bench_runtime::{Clock, Start, TlsAcceptor};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_websockets::{Config, Error, Limits, ServerBuilder};

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(conn: S) -> Result<(), Error> {
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

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    loop {
        let (conn, _) = listener.accept().await?;
        conn.set_nodelay(true)?;
        let Some(tls) = tls.clone() else {
            tokio::spawn(tokio::task::unconstrained(echo(conn)));
            continue;
        };
        tokio::spawn(tokio::task::unconstrained(async move {
            if let Ok(conn) = tls.accept(conn).await {
                // An error means that the connection has ended.
                let _ = echo(conn).await;
            }
        }));
    }
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    let tls = start.tls();
    start.run(Clock::Off, |listener| serve(listener, tls))
}
