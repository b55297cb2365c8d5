//! `axum-chat [ADDR]`: a chat with rooms and a page. `/ws/ROOM` is the WebSocket of a room. Only pages of the same host
//! may connect. Ends with status 0 on SIGINT, after every connection was closed with 1001.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::extract::{Path, State};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, broadcast};
use ws_hyper::{HyperStream, Message, OriginPolicy, Upgrader, WebSocket, axum::WebSocketUpgrade};

/// The rooms by their names. A receiver that falls 256 messages behind misses the oldest ones.
type Rooms = Arc<Mutex<HashMap<String, Room>>>;
type Room = broadcast::Sender<Message>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let upgrader = Upgrader::default().origin(OriginPolicy::SameHost);
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/ws/{room}", any(join))
        .layer(Extension(upgrader.clone()))
        .with_state(Rooms::default());
    let listener = TcpListener::bind(addr).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    let stopped = async move {
        let _ = tokio::signal::ctrl_c().await;
        upgrader.shutdown(Duration::from_secs(10)).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

async fn join(ws: WebSocketUpgrade, State(rooms): State<Rooms>, Path(name): Path<String>) -> Response {
    let mut rooms = rooms.lock().await;
    rooms.retain(|_, room| room.receiver_count() > 0);
    let room = rooms.entry(name).or_insert_with(|| broadcast::channel(256).0).clone();
    let messages = room.subscribe();
    ws.max_message_size(4096).on_upgrade(move |ws| chat(ws, room, messages))
}

async fn chat(mut ws: WebSocket<HyperStream>, room: Room, mut messages: broadcast::Receiver<Message>) {
    loop {
        tokio::select! {
            said = ws.recv() => match said {
                Some(message) => drop(room.send(message)),
                None => break,
            },
            heard = messages.recv() => match heard {
                Ok(message) => drop(ws.send(message).await),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            },
        }
    }
}
