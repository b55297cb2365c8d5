//! The part that all measured clients share: one connection, a number of messages in flight, each echo compared; or a
//! stream of messages from the server.

use crate::args::Args;
use crate::json::Numbers;
use crate::os::Process;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The number of rounds between two reads of the clock.
const ROUNDS_PER_LOOK: u32 = 16;

/// Of a stream, one message in this many is compared byte by byte.
const COMPARE_EVERY: u32 = 64;

/// A client's command line: `--addr IP:PORT --size B --depth D`, and `--count N` messages or `--seconds S`, after
/// `--warmup S`. With `--receive`, the client sends nothing and receives the stream of `floor-stream`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The echo server.
    pub addr: SocketAddr,
    /// The payload of a message in bytes.
    pub size: usize,
    /// The number of messages in flight.
    pub depth: u64,
    /// How to receive a stream. With `None`, messages are sent and their echoes received.
    pub receive: Option<Receive>,
    end: End,
    warmup: Duration,
}

/// The form in which a stream is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Messages. All clients have it.
    Messages,
    /// Messages that are lent until the next call, with a method of its own. Only our client has it: fastwebsockets
    /// lends its messages in any case.
    Lent,
    /// Messages and control frames, with a method of its own. Only our client has it.
    Events,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Count(u64),
    After(Duration),
}

impl Options {
    /// Reads the command line. Ends the program with status 2 at an invalid option.
    pub fn from_env() -> Self {
        Self::read().unwrap_or_else(|message| crate::server::refuse(&message))
    }

    fn read() -> Result<Self, String> {
        let mut args = Args::from_env()?;
        let seconds = Duration::from_secs_f64(args.take("seconds", 3.0)?);
        let options = Self {
            addr: args.take_optional("addr")?.ok_or("--addr IP:PORT is missing")?,
            size: args.take("size", 20)?,
            depth: args.take("depth", 1)?,
            receive: match args.take_optional::<String>("receive")?.as_deref() {
                None => None,
                Some("" | "messages") => Some(Receive::Messages),
                Some("lent") => Some(Receive::Lent),
                Some("events") => Some(Receive::Events),
                Some(other) => return Err(format!("--receive messages|lent|events, not `{other}`")),
            },
            end: args.take_optional("count")?.map_or(End::After(seconds), End::Count),
            warmup: Duration::from_secs_f64(args.take("warmup", 0.5)?),
        };
        args.finish()?;
        if options.depth == 0 {
            return Err(String::from("--depth starts at 1"));
        }
        Ok(options)
    }

    /// The payload of all messages.
    pub fn payload(&self) -> Vec<u8> {
        payload(self.size)
    }

    /// The URL of the server. For a stream, its path is the size of the messages.
    pub fn url(&self) -> String {
        let path = self.receive.map(|_| self.size.to_string()).unwrap_or_default();
        format!("ws://{}/{path}", self.addr)
    }

    /// Starts the warm-up.
    pub fn meter(&self) -> Meter {
        Meter { options: *self, rounds: 0, started: Instant::now(), window: None }
    }
}

/// Measures rounds, each of `depth` messages sent and then received.
#[derive(Debug)]
pub struct Meter {
    options: Options,
    /// The start of the measurement, after the warm-up.
    rounds: u32,
    started: Instant,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    opened: Instant,
    cpu: u64,
}

impl Meter {
    /// Whether there is another round. Call it before each.
    #[inline]
    pub fn goes_on(&mut self) -> bool {
        let look = self.rounds.is_multiple_of(ROUNDS_PER_LOOK) || matches!(self.options.end, End::Count(_));
        let goes_on = !look || self.look();
        self.rounds += u32::from(goes_on);
        goes_on
    }

    fn look(&mut self) -> bool {
        let Some(window) = &self.window else {
            if self.started.elapsed() >= self.options.warmup {
                self.window = Some(Window { opened: Instant::now(), cpu: own_cpu() });
                self.rounds = 0;
            }
            return true;
        };
        match self.options.end {
            End::Count(count) => self.messages() < count,
            End::After(time) => window.opened.elapsed() < time,
        }
    }

    /// Checks a message of a stream: its length always, its bytes once in a while.
    ///
    /// # Errors
    /// Names its length.
    #[inline]
    pub fn check(&self, message: &[u8], expected: &[u8]) -> Result<(), Box<dyn Error>> {
        if message.len() == expected.len() && !self.rounds.is_multiple_of(COMPARE_EVERY) {
            return Ok(());
        }
        check(message, expected)
    }

    fn messages(&self) -> u64 {
        u64::from(self.rounds) * self.options.depth
    }

    /// Prints the figures as one line of JSON.
    pub fn finish(self) {
        let Some(window) = &self.window else { return };
        let (elapsed, cpu) = (window.opened.elapsed(), own_cpu().saturating_sub(window.cpu));
        let messages = self.messages() as f64;
        let mut numbers = Numbers::default();
        numbers.push("messages", messages);
        numbers.push("messages_per_s", messages / elapsed.as_secs_f64());
        numbers.push("cpu_ns_per_message", cpu as f64 / messages);
        numbers.push("payload_bytes_per_s", messages * self.options.size as f64 / elapsed.as_secs_f64());
        numbers.push("client_busy", cpu as f64 / elapsed.as_nanos() as f64);
        let peak = Process { pid: std::process::id() }.peak_resident_bytes();
        numbers.push("peak_resident_bytes", peak.unwrap_or(0) as f64);
        println!("{}", numbers.to_json());
    }
}

/// A payload of `size` bytes without a pattern.
pub fn payload(size: usize) -> Vec<u8> {
    (0..size as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn own_cpu() -> u64 {
    Process { pid: std::process::id() }.cpu_ns().unwrap_or(0)
}

/// Checks that a message equals the expected one.
///
/// # Errors
/// Names its length.
pub fn check(message: &[u8], expected: &[u8]) -> Result<(), Box<dyn Error>> {
    if message == expected {
        return Ok(());
    }
    Err(format!("the wrong message: {} bytes expected, {} received", expected.len(), message.len()).into())
}
