//! Echo server on tokio-tungstenite: its `autobahn-server` example (a `send` per message), or with `--style forward`
//! its `echo-server` example (`read.forward(write)`, which flushes once per batch).

use bench_common::server::{self, MAX_MESSAGE};
use bench_runtime::{Clock, Start, TlsAcceptor};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

/// A connection with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

#[derive(Clone, Copy)]
enum Style {
    Send,
    Forward,
}

async fn accept_connection<S: Stream>(stream: S, style: Style) -> Result<(), Error> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let ws_stream = accept_async_with_config(stream, Some(config)).await?;
    match style {
        Style::Send => send_loop(ws_stream).await,
        Style::Forward => forward(ws_stream).await,
    }
}

async fn send_loop<S: Stream>(mut ws_stream: WebSocketStream<S>) -> Result<(), Error> {
    while let Some(msg) = ws_stream.next().await {
        let msg = msg?;
        if msg.is_text() || msg.is_binary() {
            ws_stream.send(msg).await?;
        }
    }
    Ok(())
}

async fn forward<S: Stream>(ws_stream: WebSocketStream<S>) -> Result<(), Error> {
    let (write, read) = ws_stream.split();
    read.try_filter(|msg| future::ready(msg.is_text() || msg.is_binary())).forward(write).await
}

async fn serve(listener: TcpListener, style: Style, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls.clone() else {
            tokio::spawn(accept_connection(stream, style));
            continue;
        };
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                // An error means that the connection has ended.
                let _ = accept_connection(stream, style).await;
            }
        });
    }
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    let style = match start.option("style", String::from("send")).as_str() {
        "send" => Style::Send,
        "forward" => Style::Forward,
        _ => server::refuse("--style send|forward"),
    };
    let tls = start.tls();
    start.run(Clock::Off, |listener| serve(listener, style, tls))
}
