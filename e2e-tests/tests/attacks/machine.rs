//! The protocol's state machine in memory, for rows about its decisions and their cost.

use bytes::Buf as _;
use std::time::{Duration, Instant};
use ws_proto::{
    CloseCode, CloseInfo, Connection, Event, MessageKind, ReceiveBuffer, TransmitQueue, ValidConfig,
    mask::ChaChaMaskSource,
};

use crate::measure::thread_time;

/// An event of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(CloseInfo),
}

/// A machine, the buffers that a driver lends it, and its clock.
pub(crate) struct Machine {
    pub(crate) connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    /// The bytes that it wrote.
    pub(crate) written: Vec<u8>,
    /// The longest processor time of one turn.
    pub(crate) longest_turn: Duration,
    /// Whether the payload of messages is dropped.
    pub(crate) forgets: bool,
}

impl Machine {
    pub(crate) fn server(config: &ValidConfig) -> Self {
        let now = Instant::now();
        Self::new(Connection::server(config.clone(), now), now)
    }

    pub(crate) fn client(config: &ValidConfig) -> Self {
        let (now, masks) = (Instant::now(), Box::new(ChaChaMaskSource::from_seed([3; 32])));
        Self::new(Connection::client(config.clone(), masks, now), now)
    }

    pub(crate) fn new(connection: Connection, now: Instant) -> Self {
        Self {
            connection,
            rx: ReceiveBuffer::default(),
            tx: TransmitQueue::new(),
            now,
            seen: Vec::new(),
            written: Vec::new(),
            longest_turn: Duration::ZERO,
            forgets: false,
        }
    }

    /// Starts a new connection with the same buffers, as connections of one thread share them.
    pub(crate) fn renew(&mut self, config: &ValidConfig) {
        self.connection = Connection::server(config.clone(), self.now);
        self.seen.clear();
        self.written.clear();
    }

    /// Receives these bytes, in reads as large as the machine's read target.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = thread_time();
            let target = self.connection.read_target(&mut self.rx);
            let n = bytes.len().min(target.len());
            target[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.connection.handle_received(n, self.now, &mut self.rx);
            self.drain();
            self.longest_turn = self.longest_turn.max(thread_time() - start);
            while self.connection.wants_turn() {
                let start = thread_time();
                self.drain();
                self.longest_turn = self.longest_turn.max(thread_time() - start);
            }
        }
    }

    /// Sends a message and returns the bytes that the machine wrote.
    pub(crate) fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
        self.connection.send(kind, payload, &mut self.tx).expect("room for a message");
        self.drain();
        std::mem::take(&mut self.written)
    }

    /// Advances the clock by `time` and handles the timeout that is due then.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.connection.poll_timeout(&self.tx).is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now, &mut self.tx);
        }
        self.drain();
    }

    /// The code of the Close that the machine sent.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.connection.close_info().and_then(|info| info.sent.as_ref()?.code).map(CloseCode::get)
    }

    fn drain(&mut self) {
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            self.seen.push(match event {
                Event::Message(message) if self.forgets => Seen::Message(message.kind(), Vec::new()),
                Event::Message(message) => Seen::Message(message.kind(), message.as_bytes().to_vec()),
                Event::Ping(payload) => Seen::Ping(payload.to_vec()),
                Event::Pong(payload) => Seen::Pong(payload.to_vec()),
                Event::Closed(info) => Seen::Closed(info),
                other => unreachable!("no such event: {other:?}"),
            });
        }
        self.connection.pump(&mut self.tx);
        while !self.tx.is_empty() {
            let n = self.tx.chunk().len();
            self.written.extend_from_slice(self.tx.chunk());
            self.tx.advance(n);
            self.connection.handle_written(self.now);
            self.connection.pump(&mut self.tx);
        }
    }
}
