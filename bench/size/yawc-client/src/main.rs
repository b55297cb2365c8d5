//! A minimal client with yawc.

use futures_util::{SinkExt as _, StreamExt as _};
use std::error::Error;
use yawc::{Frame, WebSocket};

async fn run() -> Result<(), Box<dyn Error>> {
    let mut ws = WebSocket::connect("ws://127.0.0.1:9001/".parse()?).await?;
    ws.send(Frame::text("hello")).await?;
    println!("{}", ws.next().await.is_some());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
