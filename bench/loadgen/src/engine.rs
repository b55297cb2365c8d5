//! Sends messages, receives and checks echoes. One thread, one epoll, two shared buffers, no allocation per message.

use crate::connect::PATIENCE;
use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::scratch::Scratch;
use crate::stream::Stream;
use bench_common::epoll::{Epoll, Interest};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::Instant;

/// The number of buffers that are sent on one connection before the next connection is handled.
const WRITES_PER_TURN: usize = 4;

/// Payloads of one read in this many are compared byte by byte.
const VERIFY_EVERY: u64 = 64;

/// The action at a complete echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Sends the next message at once: the closed loop.
    SendNext,
    /// Records it in [`Engine::completed`].
    Note,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    seed: u64,
    /// The messages to send, and the bytes of them that the kernel has accepted.
    issued: u64,
    written: u64,
    /// The echoes to expect, and the bytes of them that have arrived.
    expected: u64,
    received: u64,
    /// The times of the last `depth` sends. Empty if no latencies are measured.
    issued_at: Vec<u64>,
    interest: Interest,
}

/// A set of connections that all follow one [`Plan`].
#[derive(Debug)]
pub(crate) struct Engine {
    plan: Plan,
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Scratch,
    started: Instant,
    reads: u64,
    quiet_since: Instant,
    then: Then,
    /// The bytes of echoes that have arrived.
    pub(crate) received: u64,
    /// The bytes of payload that were compared.
    pub(crate) verified: u64,
    /// The times from a send to the end of its echo.
    pub(crate) latency: Histogram,
    /// Connections with completed messages, and their numbers, since the caller last emptied this.
    pub(crate) completed: Vec<(usize, u64)>,
}

impl Engine {
    /// `depth` is the number of messages of a connection that can be in flight. With 0, no latency is measured.
    pub(crate) fn new(streams: Vec<Stream>, plan: Plan, depth: usize, then: Then) -> Result<Self, String> {
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        let mut connections = Vec::with_capacity(streams.len());
        for (index, stream) in streams.into_iter().enumerate() {
            epoll.add(&stream, index as u64, Interest::Read).map_err(|error| error.to_string())?;
            connections.push(Connection {
                stream,
                seed: index as u64,
                issued: 0,
                written: 0,
                expected: 0,
                received: 0,
                issued_at: vec![0; depth],
                interest: Interest::Read,
            });
        }
        let now = Instant::now();
        Ok(Self {
            plan,
            epoll,
            connections,
            buffer: Scratch::new(),
            started: now,
            reads: 0,
            quiet_since: now,
            then,
            received: 0,
            verified: 0,
            latency: Histogram::new(),
            completed: Vec::new(),
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Returns the connections, still open.
    pub(crate) fn into_streams(self) -> Vec<Stream> {
        self.connections.into_iter().map(|connection| connection.stream).collect()
    }

    /// Nanoseconds since the engine was made.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Sends `count` more messages on one connection and expects their echoes.
    pub(crate) fn issue(&mut self, index: usize, count: u64) -> Result<(), String> {
        let now = self.now();
        self.issue_at(index, count, now).map_err(|error| format!("connection {index}: {error}"))
    }

    /// Expects `count` messages of connection `sender` on every connection of its group: those whose numbers, modulo
    /// `groups`, are `sender`.
    pub(crate) fn expect_in_group(&mut self, sender: usize, groups: usize, count: u64) {
        for connection in self.connections[sender..].iter_mut().step_by(groups) {
            connection.seed = sender as u64;
            connection.expected += count;
        }
        self.connections[sender].expected -= count;
    }

    fn issue_at(&mut self, index: usize, count: u64, now: u64) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if !connection.issued_at.is_empty() {
            let depth = connection.issued_at.len() as u64;
            for message in connection.issued..connection.issued + count {
                connection.issued_at[(message % depth) as usize] = now;
            }
        }
        connection.issued += count;
        connection.expected += count;
        self.write(index)
    }

    /// Waits for the kernel once and handles what it reports.
    pub(crate) fn turn(&mut self) -> Result<(), String> {
        let count = self.epoll.wait(100).map_err(|error| error.to_string())?;
        for event in 0..count {
            let event = self.epoll.event(event);
            let index = event.token as usize;
            let explain = |error: io::Error| format!("connection {index}: {error}");
            if event.readable {
                self.read(index).map_err(explain)?;
            }
            if event.writable && self.connections[index].interest != Interest::Read {
                self.write(index).map_err(explain)?;
            }
        }
        if count > 0 {
            self.quiet_since = Instant::now();
        } else if self.quiet_since.elapsed() > PATIENCE {
            return Err(String::from("the server has stopped answering"));
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed by the server")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        self.reads += 1;
        let verify = self.reads.is_multiple_of(VERIFY_EVERY);
        let before = connection.received;
        connection.received += count as u64;
        if connection.received > connection.expected * self.plan.reply_len() {
            return Err(io::Error::new(ErrorKind::InvalidData, "more came back than was sent"));
        }
        let completed = self
            .plan
            .check(connection.seed, before, &self.buffer[..count], verify)
            .map_err(|complaint| io::Error::new(ErrorKind::InvalidData, complaint))?;
        self.received += count as u64;
        self.verified += if verify { count as u64 } else { 0 };
        if completed == 0 {
            return Ok(());
        }
        let now = self.started.elapsed().as_nanos() as u64;
        self.record(index, before / self.plan.reply_len(), completed, now);
        if self.then == Then::SendNext {
            return self.issue_at(index, completed, now);
        }
        self.completed.push((index, completed));
        Ok(())
    }

    fn record(&mut self, index: usize, first: u64, count: u64, now: u64) {
        let issued_at = &self.connections[index].issued_at;
        if issued_at.is_empty() {
            return;
        }
        for message in first..first + count {
            let issued = issued_at[(message % issued_at.len() as u64) as usize];
            self.latency.record(now.saturating_sub(issued));
        }
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let end = connection.issued * self.plan.request_len();
        let mut sent = connection.stream.send_rest()?;
        for _ in 0..WRITES_PER_TURN {
            if connection.written == end || !sent {
                break;
            }
            let count = self.plan.fill(connection.seed, connection.written, end, &mut self.buffer);
            let taken = match connection.stream.write(&self.buffer[..count]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                result => result?,
            };
            connection.written += taken as u64;
            sent = connection.stream.send_rest()?;
            if taken < count {
                break;
            }
        }
        let interest = if connection.written == end && sent { Interest::Read } else { Interest::Both };
        if interest != connection.interest {
            connection.interest = interest;
            self.epoll.modify(&connection.stream, index as u64, interest)?;
        }
        Ok(())
    }
}
