//! The closed loop with messages of different sizes: nine of ten are small, one has 16 KiB, and before one of ten there
//! is a ping. One message is in flight on each connection. Each echo and each pong is compared.

use super::echo::latencies;
use super::turn::{Turns, read};
use super::window::Window;
use crate::connect::connect;
use crate::histogram::Histogram;
use crate::options::Options;
use crate::stream::Stream;
use bench_common::epoll::{Epoll, Interest};
use bench_common::json::Numbers;
use std::io::Write as _;
use std::time::Instant;

/// The number of different messages, with a masking key each. Connections start at different ones.
const COUNT: usize = 200;
const STRIDE: usize = 37;
const LARGE: usize = 16 * 1024;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const READ: usize = 256 * 1024;

struct Message {
    /// The frames to send: the message, and before some of them a ping.
    request: Vec<u8>,
    /// The frame of the echo.
    reply: Vec<u8>,
    /// The frame of the pong. Empty without a ping.
    pong: Vec<u8>,
}

struct Connection {
    stream: Stream,
    /// The message in flight, and the time at which it was sent.
    message: usize,
    issued: Instant,
    /// The bytes that are not yet a whole frame.
    received: Vec<u8>,
    /// The latest ping.
    pong: Vec<u8>,
}

struct Loop {
    messages: Vec<Message>,
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    latency: Histogram,
    completed: u64,
    payload: u64,
    pings: u64,
    pongs: u64,
}

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let streams = connect(options, options.connections)?.streams;
    let mut work = Loop::new(streams)?;
    (0..work.connections.len()).try_for_each(|index| work.issue(index))?;
    work.turn_for(options.warmup)?;
    work.latency.clear();
    let (completed, payload) = (work.completed, work.payload);
    let window = Window::open(options.server);
    work.turn_for(options.seconds)?;
    let done = (work.completed - completed) as f64;
    window.close(done, ["messages_per_s", "cpu_ns_per_message"], numbers);
    numbers.push("payload_bytes_per_s", (work.payload - payload) as f64 / window.seconds());
    numbers.push("pings", work.pings as f64);
    numbers.push("pongs", work.pongs as f64);
    latencies(&work.latency, numbers);
    // A server may skip pongs of older pings (RFC 6455 section 5.5.3), but here it has time for almost all.
    if work.pongs * 2 < work.pings {
        return Err(format!("{} pings and only {} pongs", work.pings, work.pongs));
    }
    Ok(())
}

impl Message {
    fn new(number: usize) -> Self {
        let size = if number % 10 == 5 { LARGE } else { 20 + number * 7 % 81 };
        let random = |index: usize| {
            let mixed = ((number * 65_536 + index) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ mixed >> 29) as u8
        };
        let payload: Vec<u8> = (0..size).map(random).collect();
        let key = [1, 2, 3, 4].map(|index| random(index) | 1);
        let (mut request, mut pong) = (Vec::new(), Vec::new());
        if number % 10 == 8 {
            let payload = (number as u64).to_be_bytes();
            request.extend(frame(PING, &payload, Some(key)));
            pong = frame(PONG, &payload, None);
        }
        request.extend(frame(BINARY, &payload, Some(key)));
        Self { request, reply: frame(BINARY, &payload, None), pong }
    }
}

/// A frame of at most 65,535 bytes.
fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    if payload.len() < 126 {
        frame.push(mask | payload.len() as u8);
    } else {
        frame.push(mask | 126);
        frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    frame.extend(key.into_iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The length of the first frame, once its header is complete.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [_, 126, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        [_, 126, ..] | [] | [_] => None,
        [_, short, ..] => Some(2 + usize::from(short)),
    }
}

impl Loop {
    fn new(streams: Vec<Stream>) -> Result<Self, String> {
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        let mut connections = Vec::with_capacity(streams.len());
        for (index, stream) in streams.into_iter().enumerate() {
            epoll.add(&stream, index as u64, Interest::Read).map_err(|error| error.to_string())?;
            let (message, issued) = (index * STRIDE % COUNT, Instant::now());
            let (received, pong) = (Vec::new(), Vec::new());
            connections.push(Connection { stream, message, issued, received, pong });
        }
        Ok(Self {
            messages: (0..COUNT).map(Message::new).collect(),
            epoll,
            connections,
            buffer: vec![0; READ],
            latency: Histogram::new(),
            completed: 0,
            payload: 0,
            pings: 0,
            pongs: 0,
        })
    }

    fn issue(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let message = &self.messages[connection.message];
        connection.issued = Instant::now();
        if !message.pong.is_empty() {
            connection.pong.clone_from(&message.pong);
            self.pings += 1;
        }
        // With one message in flight, the kernel's buffer is empty, and it is larger than any message.
        let sent = connection.stream.write_all(&message.request);
        sent.map_err(|error| format!("connection {index}: {error}"))
    }
}

impl Turns for Loop {
    fn epoll(&mut self) -> &mut Epoll {
        &mut self.epoll
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let Some(count) = read(&mut connection.stream, &mut self.buffer)? else { return Ok(()) };
        connection.received.extend_from_slice(&self.buffer[..count]);
        let mut at = 0;
        let mut echoed = false;
        while let Some(length) = frame_len(&connection.received[at..])
            && let Some(frame) = connection.received.get(at..at + length)
        {
            at += length;
            let expected = &self.messages[connection.message];
            if frame == expected.reply && !echoed {
                echoed = true;
                self.payload += expected.reply.len() as u64 - if length > 127 { 4 } else { 2 };
            } else if !connection.pong.is_empty() && frame == connection.pong {
                self.pongs += 1;
                connection.pong.clear();
            } else {
                return Err(format!("neither the echo nor a pong: {:02x?}", &frame[..frame.len().min(14)]));
            }
        }
        connection.received.drain(..at);
        if !echoed {
            return Ok(());
        }
        self.completed += 1;
        self.latency.record(connection.issued.elapsed().as_nanos() as u64);
        connection.message = (connection.message + 1) % COUNT;
        self.issue(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, LARGE, Message, frame_len};

    #[test]
    fn one_message_of_ten_is_large_and_one_has_a_ping() {
        let messages: Vec<_> = (0..COUNT).map(Message::new).collect();
        let large = messages.iter().filter(|message| message.reply.len() > LARGE).count();
        let pings = messages.iter().filter(|message| !message.pong.is_empty()).count();
        assert_eq!((large, pings), (COUNT / 10, COUNT / 10));
        for message in messages {
            assert_eq!(frame_len(&message.reply), Some(message.reply.len()));
            assert!((22..=102).contains(&message.reply.len()) || message.reply.len() == LARGE + 4);
        }
    }
}
