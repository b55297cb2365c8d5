use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use ws_proto::{CloseCode, CloseInfo, close::Initiator};
use ws_tokio::internal::{TimeCounters, TrafficCounters};

use super::{
    CloseCount, Closes, HandshakeEnd, HandshakeFailure, HandshakeFailures, HandshakeOutcome, Handshakes,
    Histogram, Panics, Pressure, ServerStats, SlowReason, Traffic,
};

/// The lowest and the number of the status codes that are counted one by one.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 900;
/// 1000 to 1015, 3000 and 4000.
const CODES: usize = 18;
const INITIATORS: [Initiator; 3] = [Initiator::Local, Initiator::Remote, Initiator::Library];

/// What a server counts. What happens per message is in `traffic`, which has a slot per thread; the rest happens at
/// most a few times per connection.
pub(crate) struct Counters {
    pub(crate) traffic: Arc<TrafficCounters>,
    accepted: AtomicU64,
    refused: Box<[AtomicU64]>,
    answered_http: AtomicU64,
    failed: [AtomicU64; HandshakeFailure::ALL],
    handshake_times: TimeCounters,
    closes: [[AtomicU64; INITIATORS.len()]; CODES],
    connection_times: TimeCounters,
    became_slow: AtomicU64,
    disconnected_members: AtomicU64,
    panics: [AtomicU64; PanicPlace::ALL],
    accept_backoffs: AtomicU64,
}

/// Code of the application that may panic.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PanicPlace {
    Handler,
    Function,
    Request,
    Observer,
}

impl PanicPlace {
    const ALL: usize = Self::Observer as usize + 1;
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            traffic: Arc::default(),
            accepted: AtomicU64::new(0),
            refused: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            answered_http: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; HandshakeFailure::ALL],
            handshake_times: TimeCounters::default(),
            closes: [const { [const { AtomicU64::new(0) }; INITIATORS.len()] }; CODES],
            connection_times: TimeCounters::default(),
            became_slow: AtomicU64::new(0),
            disconnected_members: AtomicU64::new(0),
            panics: [const { AtomicU64::new(0) }; PanicPlace::ALL],
            accept_backoffs: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_handshake(&self, end: &HandshakeEnd) {
        if end.outcome == HandshakeOutcome::Accepted {
            self.handshake_times.record(end.duration);
        }
        let counter = match end.outcome {
            HandshakeOutcome::Accepted => &self.accepted,
            HandshakeOutcome::AnsweredHttp(_) => &self.answered_http,
            HandshakeOutcome::Failed(failure) => &self.failed[failure as usize],
            HandshakeOutcome::Refused(status) => {
                // `StatusCode` has three digits.
                let at = usize::from(status.as_u16().saturating_sub(FIRST_STATUS));
                &self.refused[at.min(STATUSES - 1)]
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_panic(&self, place: PanicPlace) {
        self.panics[place as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn count_backoff(&self) {
        self.accept_backoffs.fetch_add(1, Relaxed);
    }

    /// A connection is slow. With `was_slow`, it was so already.
    pub(crate) fn count_slow(&self, reason: SlowReason, was_slow: bool) {
        self.became_slow.fetch_add(u64::from(!was_slow), Relaxed);
        if reason == SlowReason::Disconnected {
            self.disconnected_members.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_close(&self, info: &CloseInfo, age: Duration) {
        self.connection_times.record(age);
        let initiator = INITIATORS.iter().position(|initiator| *initiator == info.initiator).unwrap_or(2);
        self.closes[slot_of(code_of(info))][initiator].fetch_add(1, Relaxed);
    }

    /// A snapshot. The caller adds what the counters do not have.
    pub(crate) fn snapshot(&self) -> ServerStats {
        let traffic = self.traffic.totals();
        ServerStats {
            handshakes: self.handshakes(),
            closes: self.closes(),
            connection_times: histogram(&self.connection_times),
            received: Traffic::from(traffic.received),
            sent: Traffic::from(traffic.sent),
            pressure: Pressure {
                queued_bytes: traffic.queued,
                refused_sends: traffic.refused,
                blocked_writes: traffic.blocked,
                dropped_publications: 0,
                became_slow: self.became_slow.load(Relaxed),
                disconnected_members: self.disconnected_members.load(Relaxed),
            },
            round_trips: histogram(self.traffic.round_trips()),
            panics: self.panics(),
            accept_backoffs: self.accept_backoffs.load(Relaxed),
            ..ServerStats::default()
        }
    }

    fn handshakes(&self) -> Handshakes {
        let refused = self.refused.iter().zip(FIRST_STATUS..).filter_map(|(count, status)| {
            let count = count.load(Relaxed);
            let status = StatusCode::from_u16(status).ok()?;
            (count > 0).then_some((status, count))
        });
        let failed = |failure: HandshakeFailure| self.failed[failure as usize].load(Relaxed);
        Handshakes {
            active: 0,
            accepted: self.accepted.load(Relaxed),
            refused: refused.collect(),
            answered_http: self.answered_http.load(Relaxed),
            failed: HandshakeFailures {
                timed_out: failed(HandshakeFailure::TimedOut),
                transport: failed(HandshakeFailure::Transport),
                tls: failed(HandshakeFailure::Tls),
                proxy: failed(HandshakeFailure::Proxy),
                overload: failed(HandshakeFailure::Overload),
                shutdown: failed(HandshakeFailure::Shutdown),
            },
            times: histogram(&self.handshake_times),
        }
    }

    fn closes(&self) -> Closes {
        let mut by_code = Vec::new();
        for (slot, counts) in self.closes.iter().enumerate() {
            for (count, initiator) in counts.iter().zip(INITIATORS) {
                let count = count.load(Relaxed);
                if count > 0 {
                    by_code.push(CloseCount { code: code_at(slot), initiator, count });
                }
            }
        }
        Closes { by_code, ..Closes::default() }
    }

    fn panics(&self) -> Panics {
        let count = |place: PanicPlace| self.panics[place as usize].load(Relaxed);
        Panics {
            handlers: count(PanicPlace::Handler),
            functions: count(PanicPlace::Function),
            requests: count(PanicPlace::Request),
            observers: count(PanicPlace::Observer),
        }
    }
}

impl From<ws_proto::memory::TrafficCounts> for Traffic {
    fn from(counts: ws_proto::memory::TrafficCounts) -> Self {
        let ws_proto::memory::TrafficCounts { messages, payload_bytes, wire_bytes, control_frames } = counts;
        Self { messages, payload_bytes, wire_bytes, control_frames }
    }
}

fn histogram(counters: &TimeCounters) -> Histogram {
    let (buckets, sum_micros) = counters.load();
    Histogram::new(buckets, sum_micros)
}

/// The code of the side that started the end.
pub(crate) fn code_of(info: &CloseInfo) -> u16 {
    let frame = if info.initiator == Initiator::Remote { &info.received } else { &info.sent };
    frame.as_ref().map_or(1006, |frame| frame.code.map_or(1005, CloseCode::get))
}

fn slot_of(code: u16) -> usize {
    match code {
        1000..=1015 => usize::from(code - 1000),
        ..4000 => 16,
        _ => 17,
    }
}

const fn code_at(slot: usize) -> u16 {
    match slot {
        16 => 3000,
        17 => 4000,
        code => 1000 + code as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_slot_and_private_codes_share_theirs() {
        for code in 1000..=1015 {
            assert_eq!(code_at(slot_of(code)), code);
        }
        for code in [3000, 3999] {
            assert_eq!(code_at(slot_of(code)), 3000);
        }
        for code in [4000, 4999] {
            assert_eq!(code_at(slot_of(code)), 4000);
        }
    }

    #[test]
    fn a_close_counts_with_the_code_of_the_side_that_started_it() {
        let frame = |code| Some(ws_proto::CloseFrame::new(CloseCode::new(code).unwrap(), ""));
        let mut info = CloseInfo::new(Initiator::Remote);
        assert_eq!(code_of(&info), 1006);
        (info.received, info.sent) = (frame(1001), frame(1000));
        assert_eq!(code_of(&info), 1001);
        info.initiator = Initiator::Library;
        assert_eq!(code_of(&info), 1000);
        info.sent = Some(ws_proto::CloseFrame::default());
        assert_eq!(code_of(&info), 1005);
    }

    #[test]
    fn each_status_is_counted_on_its_own() {
        let counters = Counters::new();
        for status in [403, 403, 999, 100] {
            let outcome = HandshakeOutcome::Refused(StatusCode::from_u16(status).unwrap());
            counters.count_handshake(&HandshakeEnd { peer: None, outcome, duration: Duration::ZERO });
        }
        let refused: Vec<_> =
            counters.snapshot().handshakes.refused.iter().map(|(s, n)| (s.as_u16(), *n)).collect();
        assert_eq!(refused, [(100, 1), (403, 2), (999, 1)]);
    }
}
