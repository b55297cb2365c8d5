//! Stays subscribed, finds gaps, and measures latency.

use std::time::Duration;

use ws_client::{
    CloseCode, Connector, Keepalive, Message, Reconnecting,
    reconnecting::{Backoff, Event, Request},
};

use super::{
    feed::{SUBSCRIBE, Update, micros_since_1970},
    gaps::Sequence,
    latency::Latency,
    options::Options,
};

/// What the client knows about the feed.
#[derive(Debug, Default)]
struct Feed {
    updates: u64,
    sequence: Sequence,
    latency: Latency,
}

/// Runs until Ctrl-C, or until the client gives up.
pub(crate) async fn watch(url: String, options: &Options) -> Result<(), String> {
    let mut client = client(url, options);
    let mut feed = Feed::default();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut is_closing = false;
    loop {
        let event = tokio::select! {
            event = client.next_event() => event,
            _ = interrupt.as_mut(), if !is_closing => {
                is_closing = true;
                client.close(CloseCode::NORMAL, "");
                continue;
            }
        };
        match event {
            None => break,
            Some(Event::Message(message)) => feed.on_message(&message, options.ticks)?,
            Some(Event::Up(up)) => println!("up {}", up.connection),
            Some(Event::Down(down)) => println!("down {}: {}", down.connection, down.cause),
            Some(Event::AttemptFailed(failed)) => println!("failed {}: {}", failed.attempt, failed.cause),
            Some(_) => {}
        }
    }
    feed.print_summary();
    if is_closing { Ok(()) } else { Err(format!("no further attempt: {:?}", client.outcome())) }
}

fn client(url: String, options: &Options) -> Reconnecting {
    // The server sends all the time, so silence means that it is gone.
    let (max_delay, silence) = (options.max_delay, options.keepalive);
    let connector = Connector::new().keepalive(Some(Keepalive::new(silence, silence)));
    Reconnecting::builder(connector, move |_attempt| {
        // An exchange with tokens or several hosts would choose them here.
        std::future::ready(Ok(Request::new(url.clone())))
    })
    .backoff(Backoff::full_jitter(max_delay.min(Duration::from_millis(500)), max_delay))
    .on_connected(|ws, _connection| Box::pin(async move { Ok(ws.send(SUBSCRIBE).await?) }))
    .build()
}

impl Feed {
    fn on_message(&mut self, message: &Message, print: bool) -> Result<(), String> {
        let update = message.as_text().and_then(Update::decode).ok_or("the server does not send updates")?;
        let gap = self.sequence.next(update.number);
        let gap = gap.map_err(|last| format!("update {} after update {last}", update.number))?;
        if let Some(gap) = gap {
            println!("gap {}-{}", gap.start(), gap.end());
        }
        self.updates += 1;
        self.latency.add(Duration::from_micros(micros_since_1970().saturating_sub(update.sent_at)));
        if print {
            println!("tick {}", update.number);
        }
        Ok(())
    }

    fn print_summary(&self) {
        println!("{} updates, {} missed", self.updates, self.sequence.missed());
        if let Some((median, max)) = self.latency.summary() {
            println!("latency: median {median:?}, maximum {max:?}");
        }
    }
}
