//! Random servers. Each one reads what reached it before it goes away, so that the ledger knows what was lost.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use ws_client::{CloseCode, Message};

use super::{ledger::Ledger, poll_once};
use crate::support::{Dice, Life, ServerSocket};

/// Serves one connection.
pub(super) async fn serve(
    mut ws: ServerSocket,
    life: Life,
    connection: u64,
    ledger: Arc<Mutex<Ledger>>,
    mut dice: Dice,
) {
    let received = |message: Message| ledger.lock().unwrap().on_received(connection, &message);
    // Many servers accept and drop.
    let time = if dice.percent(30) { 0 } else { dice.below(60_000) };
    let end = Instant::now() + Duration::from_millis(time);
    let mut count = 0;
    while Instant::now() < end {
        let tick = Instant::now() + Duration::from_millis(1 + dice.below(3000));
        tokio::select! {
            biased;
            message = ws.recv() => match message {
                Some(message) => received(message),
                // The client has closed.
                None => return,
            },
            () = sleep_until(tick.min(end)) => {
                count += 1;
                if ws.send(format!("tick {connection} {count}")).await.is_err() {
                    break;
                }
            }
        }
    }
    match dice.below(10) {
        // It vanishes, and its machine lives on: the client's keepalive finds out.
        0 | 1 => life.end().await,
        // It closes.
        2..6 => {
            let code = [1000, 1001, 1011, 1012, 1013, 1001, 1012, 4000][dice.below(8) as usize];
            ws.sender().close(CloseCode::new(code).unwrap(), "");
            while let Some(message) = ws.recv().await {
                received(message);
            }
            return;
        }
        // It is killed.
        _ => {}
    }
    while let Some(Some(message)) = poll_once(ws.recv()).await {
        received(message);
    }
}
