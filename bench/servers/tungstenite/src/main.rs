//! Echo server on tokio-tungstenite: its `autobahn-server` example (a `send` per message), or with `--style forward`
//! its `echo-server` example (`read.forward(write)`, which flushes once per batch).

use bench_common::server::{self, MAX_MESSAGE};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

#[derive(Clone, Copy)]
enum Style {
    Send,
    Forward,
}

async fn accept_connection(stream: TcpStream, style: Style) -> Result<(), Error> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let ws_stream = accept_async_with_config(stream, Some(config)).await?;
    match style {
        Style::Send => send_loop(ws_stream).await,
        Style::Forward => forward(ws_stream).await,
    }
}

async fn send_loop(mut ws_stream: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(msg) = ws_stream.next().await {
        let msg = msg?;
        if msg.is_text() || msg.is_binary() {
            ws_stream.send(msg).await?;
        }
    }
    Ok(())
}

async fn forward(ws_stream: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let (write, read) = ws_stream.split();
    read.try_filter(|msg| future::ready(msg.is_text() || msg.is_binary())).forward(write).await
}

async fn serve(listener: TcpListener, style: Style) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(accept_connection(stream, style));
    }
}

fn main() -> std::io::Result<()> {
    let mut options = server::options();
    let style = match options.rest.take("style", String::from("send")).as_deref() {
        Ok("send") => Style::Send,
        Ok("forward") => Style::Forward,
        _ => server::refuse("--style send|forward"),
    };
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(server::listen(options.listen)?)?;
        serve(listener, style).await
    })
}
