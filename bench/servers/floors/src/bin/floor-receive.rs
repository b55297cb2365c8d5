//! The floor of a client that receives a stream: a blocking loop of `recv` that finds the messages in one buffer.

use bench_common::client::Options;
use floors::READ;
use std::error::Error;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;

/// The key from the example in RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

struct Receiver {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// The bytes that were received and not yet returned.
    filled: Range<usize>,
}

impl Receiver {
    fn connect(options: &Options) -> io::Result<Self> {
        let mut stream = TcpStream::connect(options.addr)?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /{} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n",
            options.size, options.addr
        );
        stream.write_all(request.as_bytes())?;
        let mut receiver = Self { stream, buffer: vec![0; READ].into_boxed_slice(), filled: 0..0 };
        loop {
            let answer = &receiver.buffer[receiver.filled.clone()];
            if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                receiver.filled.start += end + 4;
                return Ok(receiver);
            }
            receiver.receive()?;
        }
    }

    /// The payload of the next message, in the buffer.
    fn next(&mut self) -> io::Result<Range<usize>> {
        loop {
            let bytes = &self.buffer[self.filled.clone()];
            let (header, length) = match bytes {
                [0x82, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                [0x82, short @ 0..126, ..] => (2, usize::from(*short)),
                [] | [0x82] | [0x82, 126, ..] => (0, usize::MAX),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "not a binary message")),
            };
            if length <= bytes.len().saturating_sub(header) {
                let start = self.filled.start + header;
                self.filled.start = start + length;
                return Ok(start..start + length);
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        match self.stream.read(&mut self.buffer[self.filled.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled.end += count;
                Ok(())
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    let mut receiver = Receiver::connect(&options)?;
    let payload = options.payload();
    let mut meter = options.meter();
    while meter.goes_on() {
        let message = receiver.next()?;
        meter.check(&receiver.buffer[message], &payload)?;
    }
    meter.finish();
    Ok(())
}
