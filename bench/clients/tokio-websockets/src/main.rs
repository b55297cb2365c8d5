//! tokio-websockets' client as a `Sink` and `Stream`, with its fastest source of masking keys.

use bench_common::client::{self, Options};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use std::error::Error;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Config, Limits, Message};

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(options.addr).await?;
    stream.set_nodelay(true)?;
    let builder = ClientBuilder::new().uri(&options.url())?;
    let builder = builder.config(Config::default().frame_size(usize::MAX)).limits(Limits::unlimited());
    let (mut ws, _response) = builder.connect_on(stream).await?;
    let payload = Bytes::from(options.payload());
    let mut meter = options.meter();
    while options.receive.is_some() && meter.goes_on() {
        let message = ws.next().await.ok_or("the server closed")??;
        meter.check(message.as_payload(), &payload)?;
    }
    while options.receive.is_none() && meter.goes_on() {
        for _ in 0..options.depth {
            ws.feed(Message::binary(payload.clone())).await?;
        }
        ws.flush().await?;
        for _ in 0..options.depth {
            let echo = ws.next().await.ok_or("the server closed")??;
            client::check(echo.as_payload(), &payload)?;
        }
    }
    meter.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))
}
