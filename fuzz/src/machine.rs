//! A connection and its buffers, driven as its contract requires.

use std::time::{Duration, Instant};

use bytes::Buf;
use ws_proto::{
    CloseInfo, Completion, Connection, Event, MessageKind, MessageRun, ReceiveBuffer, Role, TransmitQueue,
    TransportAction, ValidConfig,
    handshake::Extensions,
    mask::MaskSource,
    memory::{BufferPool, BufferPoolConfig},
};

/// Masking keys that are the same in each run.
#[derive(Default)]
pub(crate) struct Keys(u32);

impl MaskSource for Keys {
    fn mask_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
        self.0.to_be_bytes()
    }
}

/// An event, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(CloseInfo),
}

pub(crate) struct Machine {
    pub(crate) connection: Connection,
    pub(crate) rx: ReceiveBuffer,
    pub(crate) tx: TransmitQueue,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    pub(crate) completions: Vec<Completion>,
    /// All bytes that it wrote.
    pub(crate) written: Vec<u8>,
    /// The number of bytes that the transport still accepts.
    pub(crate) takes: usize,
    pub(crate) closed: bool,
    /// Whether the rest of a read is set aside after each event.
    pub(crate) sets_aside: bool,
    /// Held messages that were taken together.
    run: Option<MessageRun>,
}

impl Machine {
    pub(crate) fn new(role: Role, config: &ValidConfig, extensions: Extensions) -> Self {
        let (now, config) = (Instant::now(), config.clone());
        let connection = match role {
            Role::Server => Connection::server(config, now),
            Role::Client => Connection::client(config, Box::new(Keys(1)), now),
        };
        let mut pool = BufferPoolConfig::default();
        pool.preheat = 0;
        let pool = BufferPool::new(pool);
        Self {
            connection: connection.with_extensions(extensions),
            rx: ReceiveBuffer::new(1024, pool),
            tx: TransmitQueue::new(),
            now,
            seen: Vec::new(),
            completions: Vec::new(),
            written: Vec::new(),
            takes: usize::MAX,
            closed: false,
            sets_aside: false,
            run: None,
        }
    }

    /// Passes as many of `bytes` as the machine's read target holds. Returns their number.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> usize {
        self.drive();
        if bytes.is_empty() || !self.connection.wants_read() {
            return 0;
        }
        let target = self.connection.read_target(&mut self.rx);
        let n = target.len().min(bytes.len());
        assert!(n > 0, "there is room to read into");
        target[..n].copy_from_slice(&bytes[..n]);
        self.connection.handle_received(n, self.now, &mut self.rx);
        self.drive();
        n
    }

    pub(crate) fn end_of_stream(&mut self) {
        self.drive();
        self.connection.handle_eof(self.now);
        self.drive();
    }

    /// Advances time, with a transport that accepts all bytes, until the connection has ended.
    pub(crate) fn finish(&mut self) {
        self.takes = usize::MAX;
        self.resume();
        self.end_of_stream();
        for _ in 0..64 {
            if self.closed {
                return;
            }
            match self.connection.poll_timeout(&self.tx) {
                Some(due) => {
                    self.now = self.now.max(due);
                    self.connection.handle_timeout(self.now, &mut self.tx);
                }
                None => self.now += Duration::from_secs(1),
            }
            self.drive();
        }
        assert!(self.closed, "it ends once its stream has ended");
    }

    pub(crate) fn resume(&mut self) {
        self.put_back_run();
        self.connection.resume();
    }

    /// Receives at most `most` messages of a run that stays out.
    pub(crate) fn receive_of_run(&mut self, most: usize) {
        if self.run.is_none() && self.connection.is_paused() {
            let held = self.connection.held_bytes();
            self.run = self.connection.take_held_run();
            assert_eq!(self.connection.held_bytes(), held, "a run still counts as held");
        }
        for _ in 0..most {
            let Some(message) = self.run.as_mut().and_then(MessageRun::next_message) else { return };
            self.seen.push(Seen::Message(message.kind(), message.as_bytes().to_vec()));
        }
    }

    pub(crate) fn put_back_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let held = self.connection.held_bytes();
        self.connection.put_back_run(run);
        assert!(self.connection.held_bytes() <= held, "what is left of a run counts no more than the run");
    }

    pub(crate) fn drive(&mut self) {
        loop {
            let before = (self.seen.len(), self.written.len(), self.completions.len());
            self.drain_events();
            self.write();
            while let Some(completion) = self.connection.poll_completion(&mut self.tx) {
                self.completions.push(completion);
            }
            let progress = before != (self.seen.len(), self.written.len(), self.completions.len());
            if !progress && !self.connection.wants_turn() {
                return;
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.connection.poll_event(&mut self.rx, &mut self.tx) {
            assert!(!self.closed, "an event behind Closed");
            self.seen.push(match event {
                Event::Message(message) => Seen::Message(message.kind(), message.as_bytes().to_vec()),
                Event::Ping(payload) => Seen::Ping(payload.to_vec()),
                Event::Pong(payload) => Seen::Pong(payload.to_vec()),
                Event::Closed(info) => {
                    self.closed = true;
                    self.run = None;
                    Seen::Closed(info)
                }
                _ => continue,
            });
            if self.sets_aside {
                self.connection.set_aside(&mut self.rx, &self.tx);
                assert!(
                    !(self.connection.wants_turn() && self.connection.wants_read()),
                    "what waits comes first"
                );
                break;
            }
        }
        assert!(self.rx.is_empty(), "received bytes were left lying");
    }

    fn write(&mut self) {
        loop {
            self.connection.pump(&mut self.tx);
            if self.tx.is_empty() {
                return;
            }
            let n = self.tx.chunk().len().min(self.takes);
            if n == 0 {
                return self.tx.set_blocked(self.now);
            }
            self.takes -= if self.takes == usize::MAX { 0 } else { n };
            self.written.extend_from_slice(&self.tx.chunk()[..n]);
            self.tx.advance(n);
            self.connection.handle_written(self.now);
        }
    }

    pub(crate) fn hangs_up(&self) -> bool {
        self.connection.transport_action(&self.tx) != TransportAction::Continue
    }
}
