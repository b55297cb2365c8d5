//! A minimal client with tokio-tungstenite.

use futures_util::{SinkExt as _, StreamExt as _};
use std::error::Error;
use tokio_tungstenite::{connect_async, tungstenite::Message};

async fn run() -> Result<(), Box<dyn Error>> {
    let (mut ws, _response) = connect_async("ws://127.0.0.1:9001/").await?;
    ws.send(Message::text("hello")).await?;
    println!("{:?}", ws.next().await);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
