//! Echo server on sockudo-ws: its `simple_echo` example.

use bench_common::server::MAX_MESSAGE;
use bench_runtime::{Clock, Start};
use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use sockudo_ws::deflate::{DeflateNegotiation, negotiate_server_deflate};
use sockudo_ws::error::{Error, Result};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::protocol::Message;
use sockudo_ws::{CompressedWebSocketStream, Compression, Config, DeflateConfig, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No pings and no idle timeout, as in all other servers here.
fn config() -> Config {
    Config::builder().max_payload_length(MAX_MESSAGE).auto_ping(false).idle_timeout(0).build()
}

/// Its mode without context takeover, at the same level as all others.
fn deflate_config() -> Option<DeflateConfig> {
    Some(DeflateConfig { compression_level: 1, ..Compression::Shared.to_deflate_config()? })
}

async fn handle_connection(mut stream: TcpStream, deflate: bool) -> Result<()> {
    match do_handshake(&mut stream, deflate).await? {
        Some(negotiated) => echo(CompressedWebSocketStream::server(stream, config(), negotiated)).await,
        None => echo(WebSocketStream::server(stream, config())).await,
    }
}

async fn echo<W>(mut ws: W) -> Result<()>
where
    W: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Unpin,
{
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

async fn do_handshake(stream: &mut TcpStream, deflate: bool) -> Result<Option<DeflateConfig>> {
    let mut buf = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buf).await? == 0 {
            return Err(Error::ConnectionClosed);
        }
        if let Some((req, _)) = parse_request(&buf)? {
            let accept_key = generate_accept_key(req.key);
            let negotiated = match (req.extensions, deflate_config()) {
                (Some(offers), Some(policy)) if deflate => negotiate_server_deflate(offers, &policy),
                _ => None,
            };
            let extensions = negotiated.as_ref().map(DeflateNegotiation::to_response_header);
            stream.write_all(&build_response(&accept_key, None, extensions.as_deref())).await?;
            stream.flush().await?;
            return Ok(negotiated.map(|negotiated| negotiated.config));
        }
    }
}

async fn serve(listener: TcpListener, deflate: bool) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(handle_connection(stream, deflate));
    }
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    let deflate = start.flag("deflate");
    // Its closing deadline needs the clock.
    start.run(Clock::On, |listener| serve(listener, deflate))
}
