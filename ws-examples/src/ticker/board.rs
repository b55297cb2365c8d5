//! The prices: what they are now, and their publication.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};
use ws_server::topics::{Member, PublishError, PublishOptions, SlowPolicy, TopicOptions, Topics};

/// The longest quote as text, in bytes.
const QUOTE_BYTES: usize = 64;

/// What a publication counts in addition to its payload while it waits, in bytes; a little more than it is.
const OVERHEAD: usize = 256;

/// The topic of all prices.
pub(crate) const QUOTES: &str = "quotes";

/// How often prices are published.
const TICK: Duration = Duration::from_millis(10);

/// A price of a symbol. As text: `S0042 17 10034 1234567`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quote {
    /// The number of the symbol.
    pub(crate) symbol: usize,
    /// Counts the prices of this symbol.
    pub(crate) round: u64,
    pub(crate) price: u64,
    /// Microseconds since the board was made.
    pub(crate) at: u64,
}

/// All symbols with their latest round.
pub(crate) struct Board {
    rounds: Vec<AtomicU64>,
    started: Instant,
    topics: Topics,
    /// The members, for the report of what waits for them.
    members: Mutex<Vec<Member>>,
}

impl Board {
    /// A board with a topic of its own.
    pub(crate) fn of(symbols: usize) -> io::Result<Arc<Self>> {
        // One price of each symbol may wait.
        let slow = SlowPolicy::latest_per_key().max_messages(symbols).max_bytes(most_waiting(symbols));
        let topics =
            Topics::builder().options(TopicOptions::new().slow(slow)).build().map_err(io::Error::other)?;
        let rounds = (0..symbols).map(|_| AtomicU64::new(0)).collect();
        Ok(Arc::new(Self { rounds, started: Instant::now(), topics, members: Mutex::default() }))
    }

    pub(crate) const fn symbols(&self) -> usize {
        self.rounds.len()
    }

    pub(crate) const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The most bytes that wait for a client.
    pub(crate) const fn most_waiting(&self) -> usize {
        most_waiting(self.symbols())
    }

    /// Publishes the next price of a symbol. Waits only while the server as a whole cannot keep up. A snapshot has the
    /// price before it is published, so that no client that subscribes meanwhile misses it.
    pub(crate) async fn publish_next(&self, symbol: usize) {
        let round = self.rounds[symbol].fetch_add(1, Ordering::SeqCst) + 1;
        let text = self.quote(symbol, round).encode();
        let options = PublishOptions::new().key(Bytes::from(name(symbol)));
        while let Err(PublishError::Full { .. }) =
            self.topics.publish_with(QUOTES, text.clone(), options.clone())
        {
            self.topics.ready().await;
        }
    }

    /// Publishes the next price of each symbol.
    pub(crate) async fn publish_round(&self) {
        for symbol in 0..self.symbols() {
            self.publish_next(symbol).await;
        }
    }

    /// Publishes one symbol after the other, so many prices in a second, and ends between two of them.
    pub(crate) async fn publish_for(&self, per_second: u64, duration: Option<Duration>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (started, mut published) = (Instant::now(), 0_u64);
        while duration.is_none_or(|duration| started.elapsed() < duration) {
            ticks.tick().await;
            let due = started.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
            while u128::from(published) < due {
                self.publish_next((published % self.symbols() as u64) as usize).await;
                published += 1;
            }
        }
    }

    /// The latest price of each symbol that has one: what a new client begins with.
    pub(crate) fn snapshot(&self) -> String {
        let rounds = self.rounds.iter().map(|round| round.load(Ordering::SeqCst)).enumerate();
        let quotes =
            rounds.filter(|&(_, round)| round > 0).map(|(symbol, round)| self.quote(symbol, round).encode());
        quotes.collect::<Vec<_>>().join("\n")
    }

    /// The prices of all symbols so far.
    pub(crate) fn published(&self) -> u64 {
        self.rounds.iter().map(|round| round.load(Ordering::SeqCst)).sum()
    }

    /// The latest round of a symbol.
    pub(crate) fn round(&self, symbol: usize) -> u64 {
        self.rounds[symbol].load(Ordering::SeqCst)
    }

    /// Microseconds since the board was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn watch(&self, member: Member) {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
    }

    /// The member that waits for the most publications, with their number and bytes.
    pub(crate) fn slowest(&self) -> (usize, usize) {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = members.iter().map(|member| member.waiting());
        waiting.map(|waiting| (waiting.messages, waiting.bytes)).max().unwrap_or_default()
    }

    fn quote(&self, symbol: usize, round: u64) -> Quote {
        // A price that goes up and down.
        let price = 10_000 + ((round + symbol as u64) % 200).abs_diff(100);
        Quote { symbol, round, price, at: self.now() }
    }
}

impl Quote {
    pub(crate) fn encode(self) -> String {
        let Self { symbol, round, price, at } = self;
        format!("{} {round} {price} {at}", name(symbol))
    }

    /// `None` unless the text is a quote.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let symbol = words.next()?.strip_prefix('S')?.parse().ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Self { symbol, round: number()?, price: number()?, at: number()? })
    }
}

const fn most_waiting(symbols: usize) -> usize {
    symbols * (QUOTE_BYTES + OVERHEAD)
}

fn name(symbol: usize) -> String {
    format!("S{symbol:04}")
}
