//! Publishes updates to each connection that has subscribed.

use tokio::time::{MissedTickBehavior, interval};
use ws_server::{Server, ServerStream, WebSocket};

use super::feed::{INTERVAL, SUBSCRIBE, Update, micros_since_1970, number_now};

/// Listens on `addr` and prints the address.
pub(crate) async fn bind(addr: &str) -> Result<Server, String> {
    let server = Server::bind(addr).await.map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let addr = server.local_addr().map_err(|error| error.to_string())?;
    println!("listening on ws://{addr}");
    Ok(server)
}

pub(crate) async fn serve(server: Server) {
    server.serve(|ws, _request| publish(ws)).await;
}

async fn publish(mut ws: WebSocket<ServerStream>) {
    while let Some(message) = ws.recv().await {
        if message.as_text() == Some(SUBSCRIBE) {
            break;
        }
    }
    let (mut ticks, mut last) = (interval(INTERVAL), number_now());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = ws.recv() => if message.is_none() {
                return;
            },
            _ = ticks.tick() => {
                // A tick may be late; no number is left out.
                let now = number_now();
                for number in last + 1..=now {
                    let update = Update { number, sent_at: micros_since_1970(), price: price(number) };
                    if ws.send(update.encode()).await.is_err() {
                        return;
                    }
                }
                last = last.max(now);
            }
        }
    }
}

/// A price that goes up and down.
const fn price(number: u64) -> u64 {
    10_000 + (number % 200).abs_diff(100)
}
