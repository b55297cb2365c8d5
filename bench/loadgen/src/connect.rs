//! Opens connections and upgrades them, many at a time on one thread.

use crate::histogram::Histogram;
use crate::options::Options;
use crate::stream::{Stream, TlsSettings};
use bench_common::epoll::{Epoll, Interest};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The server counts as stuck after this time without an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The key from the example in RFC 6455. Its accept value is known without SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One source address has about 28,000 ports. This many are used of each.
const PORTS_PER_SOURCE: usize = 10_000;

/// Open and upgraded connections, by number, and the time that each took.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) streams: Vec<Stream>,
    pub(crate) latency: Histogram,
}

struct Attempt {
    stream: Stream,
    started: Instant,
    connected: bool,
    asked: bool,
    answer: Vec<u8>,
}

/// Opens `count` connections, some at a time.
pub(crate) fn connect(options: &Options, count: usize) -> Result<Connected, String> {
    open(options, count, |_| request(options.addr, "/", ""))
}

/// The same, each with a target that names its group: connection `n` of the result belongs to group `n % groups`.
pub(crate) fn connect_in_groups(options: &Options, count: usize, groups: usize) -> Result<Connected, String> {
    open(options, count, |number| request(options.addr, &format!("/{}", number % groups), ""))
}

/// The same with permessage-deflate, without context takeover.
pub(crate) fn connect_deflating(options: &Options, count: usize) -> Result<Connected, String> {
    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let extension = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    open(options, count, |_| request(options.addr, "/", &extension))
}

fn request(server: SocketAddrV4, target: &str, extra: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

/// Opens connections. `request` makes the request of a connection by its number.
fn open(options: &Options, count: usize, request: impl Fn(usize) -> String) -> Result<Connected, String> {
    let mut streams = Vec::with_capacity(count);
    let mut latency = Histogram::new();
    let mut epoll = Epoll::new().map_err(text)?;
    let mut attempts: Vec<Option<Attempt>> = Vec::with_capacity(count);
    let mut progress = Instant::now();
    while streams.len() < count {
        while attempts.len() < count && attempts.len() - streams.len() < options.at_once {
            let attempt = Attempt::start(options.addr, options.tls.as_ref());
            let attempt = attempt.map_err(|error| format!("connect: {error}"))?;
            epoll.add(&attempt.stream, attempts.len() as u64, Interest::Write).map_err(text)?;
            attempts.push(Some(attempt));
        }
        for index in 0..epoll.wait(100).map_err(text)? {
            let token = epoll.event(index).token;
            let slot = &mut attempts[token as usize];
            let Some(attempt) = slot else { continue };
            if attempt.step(&epoll, token, || request(token as usize))?
                && let Some(attempt) = slot.take()
            {
                progress = Instant::now();
                latency.record(attempt.started.elapsed().as_nanos() as u64);
                streams.push((token, attempt.stream));
            }
        }
        if progress.elapsed() > PATIENCE {
            return Err(format!("only {} of {count} connections were accepted", streams.len()));
        }
    }
    streams.sort_unstable_by_key(|(number, _)| *number);
    Ok(Connected { streams: streams.into_iter().map(|(_, stream)| stream).collect(), latency })
}

impl Attempt {
    fn start(server: SocketAddrV4, tls: Option<&TlsSettings>) -> io::Result<Self> {
        let started = Instant::now();
        let socket = start_connect(server)?;
        socket.set_nodelay(true)?;
        let stream = Stream::new(socket, tls)?;
        Ok(Self { stream, started, connected: false, asked: false, answer: Vec::new() })
    }

    /// Makes progress until it would block. Returns true when the correct response has arrived.
    fn step(&mut self, epoll: &Epoll, token: u64, request: impl FnOnce() -> String) -> Result<bool, String> {
        if !self.connected {
            if let Some(error) = self.stream.take_error().map_err(text)? {
                return Err(format!("connect: {error}"));
            }
            self.connected = true;
            epoll.modify(&self.stream, token, Interest::Read).map_err(text)?;
        }
        if !self.asked {
            if !self.stream.handshake().map_err(text)? {
                return Ok(false);
            }
            // A new socket accepts a whole request of this size.
            self.stream.write_all(request().as_bytes()).map_err(text)?;
            self.asked = true;
        }
        let mut chunk = [0; 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(String::from("the server closed during the handshake")),
            Ok(count) => {
                self.answer.extend_from_slice(&chunk[..count]);
                self.check_answer()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(text(error)),
        }
    }

    fn check_answer(&mut self) -> Result<bool, String> {
        if !self.answer.ends_with(b"\r\n\r\n") {
            return Ok(false);
        }
        let accepted = self.answer.windows(ACCEPT.len()).any(|window| window == ACCEPT);
        if self.answer.starts_with(b"HTTP/1.1 101 ") && accepted {
            self.answer = Vec::new();
            return Ok(true);
        }
        Err(format!("the upgrade was refused: {}", String::from_utf8_lossy(&self.answer)))
    }
}

fn start_connect(server: SocketAddrV4) -> io::Result<TcpStream> {
    let flags = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_INET, flags, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    if server.ip().is_loopback() {
        bind_source(&socket)?;
    }
    let address = raw_address(server);
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: `address` is an initialised `sockaddr_in` and `length` its size.
    let status = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    let error = io::Error::last_os_error();
    if status != 0 && error.raw_os_error() != Some(libc::EINPROGRESS) {
        return Err(error);
    }
    Ok(TcpStream::from(socket))
}

/// Takes the next loopback address when the ports of one are used up.
fn bind_source(socket: &OwnedFd) -> io::Result<()> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // A run must not use the ports of connections of an earlier run in TIME_WAIT.
    let family = (std::process::id() % 200) as u8;
    let address = raw_address(SocketAddrV4::new(
        Ipv4Addr::new(127, 1, family, 1 + (number / PORTS_PER_SOURCE % 254) as u8),
        0,
    ));
    let one: libc::c_int = 1;
    // SAFETY: all pointers are to initialised values that are valid during the calls, and their sizes are passed with
    // them.
    let status = unsafe {
        let option = (&raw const one).cast();
        // The kernel chooses the port at `connect`, per pair of addresses.
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, option, 4);
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}
