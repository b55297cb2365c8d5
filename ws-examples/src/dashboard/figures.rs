//! The samples: taken once for all pages, and kept for those that come later.

use std::{
    io,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use ws_server::{
    CloseCode, ServerStream, WebSocket,
    stats::{ServerStats, StatsHandle},
    topics::{History, SlowPolicy, SubscribeOptions, TopicOptions, Topics},
};

use crate::sample::{Moment, sample};

/// The topic of the samples.
const TOPIC: &str = "figures";

/// How long samples are kept. The page shows as much.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// More than a sample has, in bytes.
const SAMPLE_BYTES: usize = 4096;

/// What a page that asks for a sign of life gets.
const PONG: &str = r#"{"type":"pong"}"#;

pub(crate) struct Figures {
    topics: Topics,
    tick: Duration,
    started: Instant,
    /// Milliseconds since 1970 when this was made.
    started_at: u64,
}

impl Figures {
    pub(crate) fn new(tick: Duration) -> io::Result<Self> {
        let kept = kept(tick);
        let history = History::new(kept).max_bytes(kept * SAMPLE_BYTES).max_age(KEPT_FOR);
        // A page that reads slowly has one sample waiting: the latest. The counters in it are totals, so the page has
        // fewer points then, and no wrong ones.
        let slow = SlowPolicy::drop_oldest().max_messages(1);
        let options = TopicOptions::new().history(history).slow(slow);
        let topics = Topics::builder().options(options).build().map_err(io::Error::other)?;
        let started_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { topics, tick, started: Instant::now(), started_at: millis(started_at) })
    }

    pub(crate) const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Publishes a sample at each tick.
    pub(crate) async fn publish_always(&self, stats: &StatsHandle) {
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish(&stats.snapshot());
        }
    }

    /// Publishes a sample to all pages. It is serialized once.
    pub(crate) fn publish(&self, stats: &ServerStats) {
        let moment = Moment {
            server: self.started_at,
            at: self.started_at + millis(self.started.elapsed()),
            tick: millis(self.tick),
        };
        // It fails only while the server as a whole cannot keep up. The next sample has the totals, too.
        let _ = self.topics.publish(TOPIC, sample(moment, stats).to_string());
    }

    /// Serves a page: first the samples that are kept, then each new one.
    pub(crate) async fn show(&self, mut ws: WebSocket<ServerStream>) {
        let Ok(member) = self.topics.join(&ws.sender()) else { return };
        if member.subscribe_with(TOPIC, SubscribeOptions::new().from_oldest()).is_err() {
            ws.close(CloseCode::TRY_AGAIN_LATER, "no room").await;
            return;
        }
        while ws.recv().await.is_some() {
            if ws.send(PONG).await.is_err() {
                break;
            }
        }
    }
}

/// How many samples are kept.
pub(crate) const fn kept(tick: Duration) -> usize {
    (KEPT_FOR.as_millis() / tick.as_millis()) as usize
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
