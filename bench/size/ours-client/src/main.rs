//! A minimal client with our crate.

use std::error::Error;

async fn run() -> Result<(), Box<dyn Error>> {
    let mut ws = ws_client::connect("ws://127.0.0.1:9001/").await?;
    ws.send("hello").await?;
    println!("{:?}", ws.recv().await);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
