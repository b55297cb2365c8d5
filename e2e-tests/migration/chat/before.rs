//! A chat on tokio-tungstenite: a text goes to all other members.

use std::{
    collections::HashMap,
    env,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

type Members = Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Message>>>>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9003".to_owned());
    run(TcpListener::bind(address).await?).await
}

pub(crate) async fn run(listener: TcpListener) -> std::io::Result<()> {
    let members = Members::default();
    loop {
        let (stream, address) = listener.accept().await?;
        let members = Arc::clone(&members);
        tokio::spawn(async move {
            if let Err(error) = chat(&members, stream, address).await {
                eprintln!("{address}: {error}");
            }
            members.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
        });
    }
}

async fn chat(
    members: &Members,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (sender, mut receiver) = mpsc::channel(100);
    members.lock().unwrap_or_else(PoisonError::into_inner).insert(address, sender);

    let ws = accept_async(stream).await?;
    let (outgoing, incoming) = ws.split();
    let publish = incoming.try_for_each(|message| {
        if message.is_text() {
            let members = members.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, member) in members.iter().filter(|(other, _)| **other != address) {
                // A member that is slow misses messages.
                let _ = member.try_send(message.clone());
            }
        }
        future::ready(Ok(()))
    });
    let deliver = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok).forward(outgoing);
    tokio::select! {
        published = publish => published?,
        delivered = deliver => delivered?,
    }
    Ok(())
}
