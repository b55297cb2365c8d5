//! A connection with its buffers on a virtual transport and a virtual clock, driven exactly as its contract requires,
//! with helpers that read like assertions. Each run checks that `Closed` is the last event.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

use crate::{
    CloseCode, CloseInfo, Completion, Config, Connection, Event, MessageKind, Notify, ReceiveBuffer, Role,
    SendQueue, TransmitQueue, TransportAction, ValidConfig,
    mask::MaskSource,
    memory::{BufferPool, BufferPoolConfig},
};

use super::wire::{Frame, Outbound};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An event, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    /// Text that was not validated.
    Unchecked(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(CloseInfo),
}

impl From<&Event<'_>> for Seen {
    fn from(event: &Event<'_>) -> Self {
        match event {
            Event::Message(message) if !message.is_text() => Self::Binary(message.as_bytes().to_vec()),
            Event::Message(message) => match message.as_text() {
                Some(text) => Self::Text(text.to_owned()),
                None => Self::Unchecked(message.as_bytes().to_vec()),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed(info) => Self::Closed(info.clone()),
        }
    }
}

/// Distinct, predictable keys.
#[derive(Debug, Default)]
struct CountingMasks(u32);

impl MaskSource for CountingMasks {
    fn mask_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x0123_4567);
        self.0.to_be_bytes()
    }
}

pub(super) fn config(change: impl FnOnce(&mut Config)) -> ValidConfig {
    let mut config = Config::default();
    change(&mut config);
    config.validate().unwrap()
}

/// Checks a rule for both roles.
pub(super) fn both(check: impl Fn(Endpoint)) {
    both_with(&config(|_| ()), check);
}

pub(super) fn both_with(config: &ValidConfig, check: impl Fn(Endpoint)) {
    for role in [Role::Server, Role::Client] {
        eprintln!("as {role:?}:");
        check(Endpoint::with(role, config));
    }
}

pub(super) struct Endpoint {
    pub(super) connection: Connection,
    pub(super) rx: ReceiveBuffer,
    pub(super) tx: TransmitQueue,
    pub(super) now: Instant,
    /// Echoes every message from within the event.
    pub(super) echoes: bool,
    /// Sets aside what is left after each event.
    pub(super) sets_aside: bool,
    /// The most bytes that one read returns.
    pub(super) read_size: usize,
    /// The send queue that the transport reports, if it can.
    pub(super) send_queue: Option<SendQueue>,
    /// The number of bytes that the transport still accepts.
    takes: usize,
    /// Sent by the peer; read up to `read_to`.
    inbound: Vec<u8>,
    read_to: usize,
    peer_hung_up: bool,
    pub(super) outbound: Outbound,
    pub(super) seen: VecDeque<Seen>,
    pub(super) completions: VecDeque<Completion>,
    closed: bool,
    /// The number of turns without received bytes.
    pub(super) turns: usize,
}

impl Endpoint {
    pub(super) fn new(role: Role) -> Self {
        Self::with(role, &config(|_| ()))
    }

    pub(super) fn with(role: Role, config: &ValidConfig) -> Self {
        let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
        Self::with_buffer(role, config, ReceiveBuffer::new(4096, pool))
    }

    pub(super) fn with_buffer(role: Role, config: &ValidConfig, rx: ReceiveBuffer) -> Self {
        let now = Instant::now();
        let config = config.clone();
        let connection = match role {
            Role::Server => Connection::server(config, now),
            Role::Client => Connection::client(config, Box::<CountingMasks>::default(), now),
        };
        Self {
            connection,
            rx,
            tx: TransmitQueue::new(),
            now,
            echoes: false,
            sets_aside: false,
            read_size: usize::MAX,
            send_queue: None,
            takes: usize::MAX,
            inbound: Vec::new(),
            read_to: 0,
            peer_hung_up: false,
            outbound: Outbound::new(role == Role::Client),
            seen: VecDeque::new(),
            completions: VecDeque::new(),
            closed: false,
            turns: 0,
        }
    }

    pub(super) fn role(&self) -> Role {
        self.connection.role()
    }

    // Inputs from the peer, the transport and the clock.

    /// Receives all frames in one segment.
    pub(super) fn receives(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let to_server = self.role() == Role::Server;
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.encode(to_server)).collect();
        self.receives_bytes(&bytes);
    }

    pub(super) fn receives_bytes(&mut self, bytes: &[u8]) {
        self.inbound.extend(bytes);
        self.drive();
    }

    pub(super) fn peer_hangs_up(&mut self) {
        self.peer_hung_up = true;
        self.drive();
    }

    pub(super) fn transport_blocks(&mut self) {
        self.takes = 0;
    }

    pub(super) fn transport_flows(&mut self) {
        self.transport_takes(usize::MAX);
    }

    /// Lets the transport accept `bytes` bytes and no more.
    pub(super) fn transport_takes(&mut self, bytes: usize) {
        self.takes = bytes;
        self.drive();
    }

    /// Advances the clock and serves the timers that become due.
    pub(super) fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        let mut at_once = 0;
        while let Some(due) = self.connection.poll_timeout(&self.tx).filter(|due| *due <= until) {
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 8, "the timer fires repeatedly without progress of time");
            self.now = self.now.max(due);
            if self.connection.wants_send_queue(self.now, &self.tx)
                && let Some(queue) = self.send_queue
            {
                self.connection.handle_send_queue(queue, self.now);
            }
            self.connection.handle_timeout(self.now, &mut self.tx);
            self.drive();
        }
        self.now = until;
    }

    // Actions of the application.

    pub(super) fn sends_text(&mut self, text: &str) {
        self.connection.send(MessageKind::Text, text.as_bytes(), &mut self.tx).unwrap();
        self.drive();
    }

    /// Sends with a request for a report.
    pub(super) fn sends_owned(&mut self, payload: impl Into<Bytes>) {
        self.connection.send_bytes(MessageKind::Binary, payload.into(), Notify::Yes, &mut self.tx).unwrap();
        self.drive();
    }

    pub(super) fn sends_ping(&mut self, payload: &[u8]) {
        self.connection.ping(payload, &mut self.tx).unwrap();
        self.drive();
    }

    pub(super) fn closes(&mut self, code: u16, reason: &str) {
        self.connection.close(CloseCode::new(code).unwrap(), reason, self.now, &mut self.tx);
        self.drive();
    }

    pub(super) fn pauses(&mut self) {
        self.connection.pause();
    }

    pub(super) fn resumes(&mut self) {
        self.connection.resume();
        self.drive();
    }

    pub(super) fn transport_action(&self) -> TransportAction {
        self.connection.transport_action(&self.tx)
    }

    /// Does everything that can be done, in the order of the contract.
    pub(super) fn drive(&mut self) {
        while self.drain_events()
            | self.write()
            | self.drain_completions()
            | self.read()
            | self.takes_another_turn()
        {}
    }

    fn takes_another_turn(&mut self) -> bool {
        let wants_turn = self.connection.wants_turn();
        self.turns += usize::from(wants_turn);
        wants_turn
    }

    fn drain_events(&mut self) -> bool {
        let before = self.seen.len();
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            assert!(!self.closed, "an event after Closed: {event:?}");
            let seen = Seen::from(&event);
            if let (true, Event::Message(message)) = (self.echoes, event) {
                self.connection.send(message.kind(), message.as_bytes(), &mut self.tx).unwrap();
            }
            self.closed = matches!(seen, Seen::Closed(_));
            self.seen.push_back(seen);
            if self.sets_aside {
                self.connection.set_aside(&mut self.rx, &self.tx);
                break;
            }
        }
        assert!(self.rx.is_empty(), "received bytes are left unprocessed");
        assert!(!self.rx.spare_mut().is_empty(), "no room to read into");
        self.seen.len() > before
    }

    fn write(&mut self) -> bool {
        let mut progress = false;
        loop {
            self.connection.pump(&mut self.tx);
            if self.tx.is_empty() {
                return progress;
            }
            assert!(!self.closed, "bytes to write after Closed");
            let n = self.tx.chunk().len().min(self.takes);
            if n == 0 {
                self.tx.set_blocked(self.now);
                return progress;
            }
            if self.takes != usize::MAX {
                self.takes -= n;
            }
            self.outbound.push(&self.tx.chunk()[..n]);
            self.tx.advance(n);
            self.connection.handle_written(self.now);
            progress = true;
        }
    }

    fn drain_completions(&mut self) -> bool {
        let before = self.completions.len();
        while let Some(completion) = self.connection.poll_completion(&mut self.tx) {
            assert!(!self.closed, "a completion after Closed");
            self.completions.push_back(completion);
        }
        self.completions.len() > before
    }

    fn read(&mut self) -> bool {
        if !self.connection.wants_read() {
            return false;
        }
        let waiting = &self.inbound[self.read_to..];
        if waiting.is_empty() {
            self.inbound.clear();
            self.read_to = 0;
            if self.peer_hung_up {
                self.connection.handle_eof(self.now);
            }
            return self.peer_hung_up;
        }
        let target = self.connection.read_target(&mut self.rx);
        let n = target.len().min(waiting.len()).min(self.read_size);
        target[..n].copy_from_slice(&waiting[..n]);
        self.read_to += n;
        self.connection.handle_received(n, self.now, &mut self.rx);
        true
    }
}
