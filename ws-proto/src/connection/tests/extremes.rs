//! Extreme configurations: all values that `validate` accepts must be safe, even if they are useless.

#[cfg(feature = "deflate")]
mod compressed;

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use proptest::prelude::*;

use crate::{
    CloseCode, Config, Connection, ConnectionState, Event, Keepalive, MessageKind, Notify, Queued,
    ReceiveBuffer, TransmitQueue, TransportAction, ValidConfig, error::SendError, mask::MaskSource,
    memory::MemoryBudget,
};

/// The most steps before nothing may be left to do.
const MOST_STEPS: usize = 20_000;
/// The most deadlines that pass after a close, until both ends are over.
const MOST_DEADLINES: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn sizes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![0, 1, 2, 1000, usize::MAX / 2, usize::MAX])
}

fn counts() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![0, 1, 2, 1000, u32::MAX])
}

fn durations() -> impl Strategy<Value = Duration> {
    let extremes =
        [Duration::from_nanos(1), Duration::from_millis(1), Duration::from_secs(30), 60 * DAY, Duration::MAX];
    prop::sample::select(extremes.to_vec())
}

fn limits() -> impl Strategy<Value = crate::Limits> {
    (sizes(), sizes(), counts(), counts(), counts(), sizes()).prop_map(
        |(message, frame, fragments, per_read, per_second, held)| crate::Limits {
            max_message_size: message,
            max_frame_size: frame.checked_sub(1),
            max_fragments: fragments,
            max_control_frames_per_read: per_read,
            max_control_frames_per_second: per_second,
            max_held_bytes: held.max(1),
            ..Default::default()
        },
    )
}

/// Limits with which reading stops early and nothing else does.
fn little_held() -> impl Strategy<Value = crate::Limits> {
    let fragments = prop::sample::select(vec![0, 1, crate::Limits::default().max_fragments]);
    (prop::sample::select(vec![1, 2, 1000]), fragments).prop_map(|(max_held_bytes, max_fragments)| {
        crate::Limits { max_fragments, max_held_bytes, ..Default::default() }
    })
}

type Timeouts = (Duration, Option<Duration>, Option<Duration>, Duration);

/// `close_timeout`, `idle_timeout`, `write_timeout` and `message_timeout`.
fn timeouts() -> impl Strategy<Value = Timeouts> {
    (durations(), prop::option::of(durations()), prop::option::of(durations()), durations())
}

/// Half of the groups of settings are defaults, so that not everything fails at once. One case in three has small
/// limits together with extreme deadlines.
fn configs() -> impl Strategy<Value = ValidConfig> {
    prop_oneof![
        2 => configs_of(prop::option::of(limits()), prop::option::of(timeouts())),
        1 => configs_of(little_held().prop_map(Some), timeouts().prop_map(Some)),
    ]
}

fn configs_of(
    limits: impl Strategy<Value = Option<crate::Limits>>,
    timeouts: impl Strategy<Value = Option<Timeouts>>,
) -> impl Strategy<Value = ValidConfig> {
    let queue = (sizes(), sizes(), prop::option::of(sizes()));
    let flags = (any::<bool>(), any::<bool>());
    let keepalive = prop::option::of((durations(), durations()));
    (limits, timeouts, keepalive, prop::option::of(queue), flags).prop_map(
        |(limits, timeouts, keepalive, queue, (validate_utf8, auto_pong))| {
            let mut config = Config { validate_utf8, auto_pong, ..Config::default() };
            config.limits = limits.unwrap_or_default();
            let mut memory_budget = None;
            if let Some((close, idle, write, message)) = timeouts {
                config.close_timeout = close;
                config.idle_timeout = idle;
                config.write_timeout = write;
                config.message_timeout = Some(message);
            }
            config.keepalive = keepalive.map(|(interval, timeout)| {
                let least = Duration::from_millis(1);
                Keepalive::new(interval.max(least), timeout.max(least))
            });
            if let Some((messages, bytes, budget)) = queue {
                config.write_queue_messages = messages.max(1);
                config.write_queue_bytes = bytes;
                memory_budget = budget.map(MemoryBudget::new);
            }
            let config = config.validate().expect("within the ranges");
            // A budget that is too small for the limits is refused.
            memory_budget.and_then(|budget| config.clone().with_memory_budget(budget).ok()).unwrap_or(config)
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    SendOwned(usize),
    Ping,
    Pause,
    Resume,
    Close,
    Block(bool),
    Passes(Duration),
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let lengths = prop::sample::select(vec![0, 1, 126, 1000, 70_000, 300_000]);
    let passes = prop::sample::select(vec![
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_secs(31),
        40 * DAY,
        400 * DAY,
    ]);
    let step = prop_oneof![
        lengths.clone().prop_map(Step::Send),
        lengths.prop_map(Step::SendOwned),
        Just(Step::Ping),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Close),
        any::<bool>().prop_map(Step::Block),
        passes.prop_map(Step::Passes),
    ];
    prop::collection::vec((any::<bool>(), step), 1..20)
}

struct OneKey;

impl MaskSource for OneKey {
    fn mask_key(&mut self) -> [u8; 4] {
        [1, 2, 3, 4]
    }
}

struct End {
    connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    inbound: Vec<u8>,
    is_blocked: bool,
    /// The peer has shut down or closed its side of the transport.
    peer_has_ended: bool,
    reported_closed: bool,
}

impl End {
    fn new(connection: Connection) -> Self {
        let rx = ReceiveBuffer::new(4096, crate::memory::BufferPool::default());
        Self {
            connection,
            rx,
            tx: TransmitQueue::new(),
            inbound: Vec::new(),
            is_blocked: false,
            peer_has_ended: false,
            reported_closed: false,
        }
    }

    /// Goes once through the contract. Returns whether anything changed.
    fn step(&mut self, peer: &mut Vec<u8>, now: Instant) -> bool {
        let mut progress = false;
        for _ in 0..MOST_STEPS {
            match self.connection.poll_event(&mut self.rx, &mut self.tx) {
                Some(Event::Closed(_)) => {
                    self.reported_closed = true;
                    break;
                }
                None => break,
                Some(_) => progress = true,
            }
        }
        self.connection.pump(&mut self.tx);
        if self.is_blocked {
            self.tx.set_blocked(now);
        } else if !self.tx.is_empty() {
            let n = self.tx.chunk().len();
            peer.extend(self.tx.chunk());
            self.tx.advance(n);
            self.connection.handle_written(now);
            progress = true;
        }
        while self.connection.poll_completion(&mut self.tx).is_some() {}
        if self.connection.wants_read() && !self.inbound.is_empty() {
            let target = self.connection.read_target(&mut self.rx);
            let n = target.len().min(self.inbound.len());
            target[..n].copy_from_slice(&self.inbound[..n]);
            self.inbound.drain(..n);
            self.connection.handle_received(n, now, &mut self.rx);
            progress |= n > 0;
        } else if self.connection.wants_read() && self.peer_has_ended {
            self.connection.handle_eof(now);
            progress = true;
        }
        progress | self.connection.wants_turn()
    }

    /// Whether the transport carries nothing more from this end.
    fn has_ended(&self) -> bool {
        self.connection.transport_action(&self.tx) != TransportAction::Continue
    }

    /// Every wait must have an end. While the connection is open, and after a close as well, it may be the peer's bytes
    /// or the application's reading. After a close there must also be a deadline of this end.
    fn has_a_deadline_after_a_close(&self) -> bool {
        self.connection.state() == ConnectionState::Open
            || self.reported_closed
            || self.connection.transport_action(&self.tx) == TransportAction::Close
            || self.connection.poll_timeout(&self.tx).is_some()
    }

    /// A send may be refused as busy only if something waits, because only then an event says when to try again.
    fn send(&mut self, len: usize, owned: bool) -> Result<(), TestCaseError> {
        let kind = MessageKind::Binary;
        let result = if owned {
            let sent = self.connection.send_bytes(kind, Bytes::from(vec![7; len]), Notify::Yes, &mut self.tx);
            sent.map_err(|error| error.map(drop))
        } else {
            self.connection.send(kind, &vec![7; len], &mut self.tx)
        };
        if let Err(SendError::Full(())) = result {
            prop_assert_ne!(
                self.connection.queued(&self.tx),
                Queued::default(),
                "busy although nothing waits"
            );
            prop_assert!(!self.connection.has_room(&self.tx) || len > 1);
        }
        Ok(())
    }
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

impl Pair {
    fn new(ours: &ValidConfig, theirs: &ValidConfig, agree: impl Fn(Connection) -> Connection) -> Self {
        let now = Instant::now();
        let client = agree(Connection::client(ours.clone(), Box::new(OneKey), now));
        let server = agree(Connection::server(theirs.clone(), now));
        Self { ends: [End::new(client), End::new(server)], now }
    }

    /// Runs until nothing is left to do at this time, including timers.
    fn settles(&mut self) -> Result<(), TestCaseError> {
        let mut due_in_a_row = 0;
        for _ in 0..MOST_STEPS {
            let [client, server] = &mut self.ends;
            let progress =
                client.step(&mut server.inbound, self.now) | server.step(&mut client.inbound, self.now);
            let ended_before = [client.peer_has_ended, server.peer_has_ended];
            server.peer_has_ended |= client.has_ended();
            client.peer_has_ended |= server.has_ended();
            if progress || ended_before != [client.peer_has_ended, server.peer_has_ended] {
                continue;
            }
            let mut any_due = false;
            for End { connection, tx, .. } in &mut self.ends {
                if connection.poll_timeout(tx).is_some_and(|due| due <= self.now) {
                    any_due = true;
                    connection.handle_timeout(self.now, tx);
                }
            }
            due_in_a_row = if any_due { due_in_a_row + 1 } else { 0 };
            prop_assert!(due_in_a_row < 8, "a timer fires repeatedly without progress of time");
            if !any_due {
                let have_deadlines = self.ends.iter().all(End::has_a_deadline_after_a_close);
                prop_assert!(have_deadlines, "a close without a deadline");
                return Ok(());
            }
        }
        prop_assert!(false, "the connection does not settle");
        Ok(())
    }

    /// One end closes, and both applications receive. Whatever is blocked stays blocked. Both ends must be over after
    /// some of their deadlines.
    fn ends_after_a_close_of(&mut self, client: bool, receives: bool) -> Result<(), TestCaseError> {
        let now = self.now;
        let End { connection, tx, .. } = &mut self.ends[usize::from(client)];
        if receives {
            connection.close_and_receive(CloseCode::NORMAL, "", now, tx);
        } else {
            connection.close(CloseCode::NORMAL, "", now, tx);
        }
        for _ in 0..MOST_DEADLINES {
            for end in &mut self.ends {
                end.connection.resume();
            }
            self.settles()?;
            if self.ends.iter().all(|end| end.reported_closed) {
                return Ok(());
            }
            // The deadlines of the end that closes must suffice, and then those of the other.
            let mut waiting =
                [usize::from(client), usize::from(!client)].map(|at| &self.ends[at]).into_iter();
            let next = waiting.find(|end| !end.reported_closed);
            let next = next.and_then(|end| end.connection.poll_timeout(&end.tx));
            prop_assert!(next.is_some(), "an end waits without a deadline");
            self.now = self.now.max(next.unwrap_or(self.now));
        }
        prop_assert!(false, "the connection does not end");
        Ok(())
    }

    fn runs(&mut self, steps: &[(bool, Step)]) -> Result<(), TestCaseError> {
        for (client, step) in steps {
            let now = self.now;
            let end = &mut self.ends[usize::from(*client)];
            match step {
                Step::Send(len) => end.send(*len, false)?,
                Step::SendOwned(len) => end.send(*len, true)?,
                Step::Ping => drop(end.connection.ping(b"?", &mut end.tx)),
                Step::Pause => end.connection.pause(),
                Step::Resume => end.connection.resume(),
                Step::Close => end.connection.close(CloseCode::NORMAL, "", now, &mut end.tx),
                Step::Block(block) => end.is_blocked = *block,
                Step::Passes(time) => self.now += *time,
            }
            self.settles()?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_configuration_is_safe(
        ours in configs(),
        theirs in configs(),
        steps in steps(),
        [client_closes, receives] in any::<[bool; 2]>(),
    ) {
        let mut pair = Pair::new(&ours, &theirs, |connection| connection);
        pair.runs(&steps)?;
        pair.ends_after_a_close_of(client_closes, receives)?;
    }
}
