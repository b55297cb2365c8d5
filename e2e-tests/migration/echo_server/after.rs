//! An echo server on ws-server.

use std::{env, error::Error};

use futures_util::{StreamExt, TryStreamExt, future};
use tokio::net::{TcpListener, TcpStream};
use ws_server::accept;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9003".to_owned());
    run(TcpListener::bind(address).await?).await
}

pub(crate) async fn run(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, address) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = echo(stream).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

async fn echo(stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let ws = accept(stream).await?;
    let (outgoing, incoming) = ws.split();
    let messages = incoming.try_filter(|message| future::ready(message.is_text() || message.is_binary()));
    messages.forward(outgoing).await?;
    Ok(())
}
