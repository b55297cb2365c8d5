//! The closed loop with permessage-deflate, without context takeover: one compressed message in flight on each
//! connection. Echoes must be compressed. One in 64 is decompressed and compared.

use super::echo::latencies;
use super::idle::resident;
use super::turn::{Turns, read};
use super::window::Window;
use crate::connect::connect_deflating;
use crate::histogram::Histogram;
use crate::messages::Messages;
use crate::options::Options;
use crate::stream::Stream;
use bench_common::epoll::{Epoll, Interest};
use bench_common::json::Numbers;
use std::io::Write as _;
use std::time::Instant;

/// Echoes of one in this many are decompressed.
const VERIFY_EVERY: u64 = 64;
const READ: usize = 256 * 1024;

struct Connection {
    stream: Stream,
    /// The message in flight, and the time at which it was sent.
    message: u64,
    issued: Instant,
    /// The bytes of its echo so far.
    received: Vec<u8>,
}

struct Loop<'a> {
    messages: &'a Messages,
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    latency: Histogram,
    completed: u64,
    wire_bytes: u64,
    /// Whether a completed echo is followed by the next message.
    closed: bool,
}

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let messages = Messages::new(options.size);
    numbers.push("compressed_to", messages.ratio());
    if options.idle > 0 {
        return idle(options, &messages, numbers);
    }
    let streams = connect_deflating(options, options.connections)?.streams;
    let mut work = Loop::new(&messages, streams, true)?;
    work.issue_all()?;
    work.turn_for(options.warmup)?;
    work.latency.clear();
    let (completed, wire_bytes) = (work.completed, work.wire_bytes);
    let window = Window::open(options.server);
    work.turn_for(options.seconds)?;
    let done = (work.completed - completed) as f64;
    window.close(done, ["messages_per_s", "cpu_ns_per_message"], numbers);
    numbers.push("echo_bytes", (work.wire_bytes - wire_bytes) as f64 / done);
    latencies(&work.latency, numbers);
    Ok(())
}

/// Connections that have echoed one message and are idle: the server's memory for each.
fn idle(options: &Options, messages: &Messages, numbers: &mut Numbers) -> Result<(), String> {
    let mut silent = Vec::new();
    let mut before = 0;
    for count in [1, options.idle] {
        before = if silent.is_empty() { before } else { resident(options.server) };
        let streams = connect_deflating(options, count)?.streams;
        let mut work = Loop::new(messages, streams, false)?;
        work.issue_all()?;
        while work.completed < count as u64 {
            work.turn()?;
        }
        silent.push(work.connections);
    }
    let grown = resident(options.server).saturating_sub(before);
    numbers.push("idle_connections", options.idle as f64);
    numbers.push("idle_bytes_per_connection", grown as f64 / options.idle as f64);
    Ok(())
}

impl<'a> Loop<'a> {
    fn new(messages: &'a Messages, streams: Vec<Stream>, closed: bool) -> Result<Self, String> {
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        let mut connections = Vec::with_capacity(streams.len());
        for (index, stream) in streams.into_iter().enumerate() {
            epoll.add(&stream, index as u64, Interest::Read).map_err(|error| error.to_string())?;
            let message = index as u64;
            connections.push(Connection { stream, message, issued: Instant::now(), received: Vec::new() });
        }
        Ok(Self {
            messages,
            epoll,
            connections,
            buffer: vec![0; READ],
            latency: Histogram::new(),
            completed: 0,
            wire_bytes: 0,
            closed,
        })
    }

    fn issue_all(&mut self) -> Result<(), String> {
        (0..self.connections.len()).try_for_each(|index| self.issue(index))
    }

    fn issue(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        connection.issued = Instant::now();
        let request = self.messages.request(connection.message);
        // With one message in flight, the kernel's buffer is empty, and it is larger than any message.
        connection.stream.write_all(request).map_err(|error| format!("connection {index}: {error}"))
    }
}

impl Turns for Loop<'_> {
    fn epoll(&mut self) -> &mut Epoll {
        &mut self.epoll
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let Some(count) = read(&mut connection.stream, &mut self.buffer)? else { return Ok(()) };
        connection.received.extend_from_slice(&self.buffer[..count]);
        let Some(payload) = whole_message(&connection.received)? else { return Ok(()) };
        self.completed += 1;
        self.wire_bytes += connection.received.len() as u64;
        if self.completed.is_multiple_of(VERIFY_EVERY) && !self.messages.is_echo(connection.message, &payload)
        {
            return Err(String::from("the echo is another message"));
        }
        connection.received.clear();
        self.latency.record(connection.issued.elapsed().as_nanos() as u64);
        connection.message += 1;
        if self.closed { self.issue(index) } else { Ok(()) }
    }
}

/// The compressed payload with its fragments joined, once it is complete and nothing follows it.
fn whole_message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut payload = Vec::new();
    let mut first = true;
    loop {
        let (Some(&head), Some(&short)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
        let expected = if first { 0x41 } else { 0x00 };
        if head & 0x7f != expected || short & 0x80 != 0 {
            return Err(format!("a frame that begins with {head:02x} {short:02x}"));
        }
        let (length, start) = match short {
            126 => match bytes.get(2..4) {
                Some(length) => (usize::from(length[0]) << 8 | usize::from(length[1]), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10).and_then(|length| length.first_chunk::<8>()) {
                Some(length) => (u64::from_be_bytes(*length) as usize, 10),
                None => return Ok(None),
            },
            short => (usize::from(short), 2),
        };
        let Some(part) = bytes.get(start..start + length) else { return Ok(None) };
        payload.extend_from_slice(part);
        bytes = &bytes[start + length..];
        first = false;
        if head & 0x80 != 0 {
            return if bytes.is_empty() {
                Ok(Some(payload))
            } else {
                Err(String::from("more than one echo"))
            };
        }
    }
}
