//! tokio-tungstenite's client as a `Sink` and `Stream`.

use bench_common::client::{self, Options};
use bench_common::server::MAX_MESSAGE;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use std::error::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let stream = TcpStream::connect(options.addr).await?;
    stream.set_nodelay(true)?;
    let (mut ws, _response) = client_async_with_config(options.url(), stream, Some(config)).await?;
    let payload = Bytes::from(options.payload());
    let mut meter = options.meter();
    while options.receive.is_some() && meter.goes_on() {
        let message = ws.next().await.ok_or("the server closed")??;
        meter.check(&message.into_data(), &payload)?;
    }
    while options.receive.is_none() && meter.goes_on() {
        for _ in 0..options.depth {
            ws.feed(Message::Binary(payload.clone())).await?;
        }
        ws.flush().await?;
        for _ in 0..options.depth {
            let echo = ws.next().await.ok_or("the server closed")??;
            client::check(&echo.into_data(), &payload)?;
        }
    }
    meter.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))
}
