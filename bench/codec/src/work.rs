//! The work that is timed. Each kind uses the same memory again, so that it stays in the cache.

use bytes::Buf as _;
use std::hint::black_box;
use std::time::Instant;
use ws_proto::{
    Config, Connection, Event, MessageKind, ReceiveBuffer, TransmitQueue,
    mask::{ChaChaMaskSource, apply_mask},
    utf8::is_valid_utf8,
};

/// Work on a payload.
pub(crate) trait Work {
    /// Does the work this many times.
    fn run(&mut self, times: u32);
}

/// The rows of the table, in the order of [`all`].
pub(crate) static NAMES: [&str; 7] = [
    "memcpy",
    "mask in place",
    "parse + unmask (server)",
    "encode + mask (client)",
    "encode (server)",
    "UTF-8, ASCII",
    "UTF-8, mixed",
];

/// Every kind of work for payloads of `size` bytes.
pub(crate) fn all(size: usize) -> [Box<dyn Work>; 7] {
    [
        Box::new(Memcpy { from: Payload::new(size), to: vec![0; size] }),
        Box::new(Masking(vec![0x5a; size])),
        Box::new(Parsing::new(size)),
        Box::new(Encoding { connection: client(), payload: Payload::new(size), tx: TransmitQueue::new() }),
        Box::new(Encoding { connection: server(), payload: Payload::new(size), tx: TransmitQueue::new() }),
        Box::new(Validation(text("plain ASCII, as most text is; ", size))),
        Box::new(Validation(text("Grüße, 東京 und 🦀: gemischt. ", size))),
    ]
}

/// The start of a source in its allocation. Large allocations start at the same offset in a page, and some processors
/// copy at a twentieth of their speed to an offset a few bytes after the source's. That is an effect of memory and not
/// of the codec, so it is avoided.
const OFFSET: usize = 2048;

struct Payload(Vec<u8>);

impl Payload {
    fn new(size: usize) -> Self {
        Self((0..OFFSET + size).map(|index| ((index * 31) >> 3) as u8).collect())
    }

    fn bytes(&self) -> &[u8] {
        black_box(&self.0[OFFSET..])
    }
}

/// `size` bytes of whole characters.
fn text(sample: &str, size: usize) -> Vec<u8> {
    let mut text = sample.repeat(size / sample.len() + 1);
    text.truncate(text.floor_char_boundary(size));
    let mut bytes = text.into_bytes();
    bytes.resize(size, b'.');
    bytes
}

fn server() -> Connection {
    Connection::server(Config::default().validate().expect("the defaults are valid"), Instant::now())
}

fn client() -> Connection {
    let masks = ChaChaMaskSource::from_seed([1; 32]);
    Connection::client(
        Config::default().validate().expect("the defaults are valid"),
        Box::new(masks),
        Instant::now(),
    )
}

struct Memcpy {
    from: Payload,
    to: Vec<u8>,
}

impl Work for Memcpy {
    fn run(&mut self, times: u32) {
        for _ in 0..times {
            black_box(&mut self.to[..]).copy_from_slice(self.from.bytes());
        }
        black_box(&self.to);
    }
}

struct Masking(Vec<u8>);

impl Work for Masking {
    fn run(&mut self, times: u32) {
        for _ in 0..times {
            apply_mask(black_box([0x37, 0xfa, 0x21, 0x3d]), black_box(&mut self.0));
        }
        black_box(&self.0);
    }
}

/// From received bytes to a message, as in a server. Only the header is copied into the buffer, because the kernel
/// would do that. The payload may be any bytes.
struct Parsing {
    connection: Connection,
    rx: ReceiveBuffer,
    tx: TransmitQueue,
    now: Instant,
    header: Vec<u8>,
    size: usize,
}

impl Parsing {
    fn new(size: usize) -> Self {
        let mut header = vec![0x82];
        match size {
            0..126 => header.push(0x80 | size as u8),
            126..65536 => {
                header.push(0x80 | 126);
                header.extend_from_slice(&(size as u16).to_be_bytes());
            }
            _ => {
                header.push(0x80 | 127);
                header.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        header.extend_from_slice(&[0x37, 0xfa, 0x21, 0x3d]);
        let (rx, now) = (ReceiveBuffer::default(), Instant::now());
        Self { connection: server(), rx, tx: TransmitQueue::new(), now, header, size }
    }
}

impl Work for Parsing {
    fn run(&mut self, times: u32) {
        let Self { connection, rx, tx, now, header, size } = self;
        for _ in 0..times {
            connection.read_target(rx)[..header.len()].copy_from_slice(header);
            let (mut missing, mut messages) = (header.len() + *size, 0);
            while missing > 0 {
                let read = connection.read_target(rx).len().min(missing);
                connection.handle_received(read, *now, rx);
                missing -= read;
                while let Some(event) = connection.poll_event(rx, tx) {
                    let Event::Message(message) = event else { panic!("unexpected: {event:?}") };
                    assert_eq!(black_box(message.as_bytes()).len(), *size);
                    messages += 1;
                }
            }
            assert_eq!(messages, 1);
        }
    }
}

/// From a borrowed payload to bytes on the wire, for either role.
struct Encoding {
    connection: Connection,
    payload: Payload,
    tx: TransmitQueue,
}

impl Work for Encoding {
    fn run(&mut self, times: u32) {
        let now = Instant::now();
        for _ in 0..times {
            let sent = self.connection.send(MessageKind::Binary, self.payload.bytes(), &mut self.tx);
            sent.expect("room");
            while !self.tx.is_empty() {
                let written = black_box(self.tx.chunk()).len();
                self.tx.advance(written);
                self.connection.handle_written(now);
                self.connection.pump(&mut self.tx);
            }
        }
    }
}

struct Validation(Vec<u8>);

impl Work for Validation {
    fn run(&mut self, times: u32) {
        for _ in 0..times {
            assert!(is_valid_utf8(black_box(&self.0)));
        }
    }
}
