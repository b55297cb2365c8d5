//! Echo server on sockudo-ws: its `simple_echo` example.

use bench_common::server::{self, MAX_MESSAGE};
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use sockudo_ws::error::{Error, Result};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::protocol::Message;
use sockudo_ws::{Config, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No other server here pings on its own or closes a silent connection, so this one does not either.
fn config() -> Config {
    Config::builder().max_payload_length(MAX_MESSAGE).auto_ping(false).idle_timeout(0).build()
}

async fn handle_connection(stream: TcpStream) -> Result<()> {
    let stream = do_handshake(stream).await?;
    let mut ws = WebSocketStream::server(stream, config());
    while let Some(msg) = ws.next().await {
        match msg? {
            Message::Text(text) => ws.send(Message::Text(text)).await?,
            Message::Binary(data) => ws.send(Message::Binary(data)).await?,
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => break,
        }
    }
    Ok(())
}

async fn do_handshake(mut stream: TcpStream) -> Result<TcpStream> {
    let mut buf = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buf).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        if let Some((req, _)) = parse_request(&buf)? {
            let accept_key = generate_accept_key(req.key);
            stream.write_all(&build_response(&accept_key, None, None)).await?;
            stream.flush().await?;
            return Ok(stream);
        }
    }
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(handle_connection(stream));
    }
}

fn main() -> std::io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    // Its closing deadline needs the clock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async move { serve(TcpListener::from_std(server::listen(options.listen)?)?).await })
}
