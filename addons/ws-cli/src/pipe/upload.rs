//! Sends what the input has.

use tokio::sync::mpsc;
use ws_client::CloseCode;

use crate::{
    connect::Outgoing,
    events::{Direction, Event, Line, Recorder},
    exit::{Failure, Outcome, chain},
};

/// How the input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was sent: this many messages.
    Sent(u64),
    /// The input asked for a Close.
    Closed,
    /// The connection closed before a message was sent.
    TooLate,
}

/// Sends until the input ends.
pub(super) async fn run(
    mut input: mpsc::Receiver<Outcome<Event>>,
    sender: Outgoing,
    recorder: Option<Recorder>,
) -> Outcome<Ended> {
    let mut sent = 0;
    while let Some(event) = input.recv().await {
        let event = event?;
        if let Some(recorder) = &recorder {
            recorder.write(&Line::now(Direction::Out, event.clone()))?;
        }
        match event {
            Event::Message(message) => {
                if sender.send(message).await.is_err() {
                    return Ok(Ended::TooLate);
                }
                sent += 1;
            }
            Event::Ping(payload) => {
                sender.ping(&payload).map_err(|error| Failure::usage(format!("ping: {}", chain(&error))))?;
            }
            Event::Pong(payload) => {
                sender.pong(&payload).map_err(|error| Failure::usage(format!("pong: {}", chain(&error))))?;
            }
            Event::Close { code, reason } => {
                sender.close(close_code(code)?, &reason);
                return Ok(Ended::Closed);
            }
        }
    }
    Ok(Ended::Sent(sent))
}

fn close_code(code: u16) -> Outcome<CloseCode> {
    CloseCode::new(code).map_err(|error| Failure::usage(chain(&error)))
}
