//! Opens connections and upgrades them, many at a time on one thread.

use crate::histogram::Histogram;
use bench_common::epoll::{Epoll, Interest};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// The server counts as stuck after this time without an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The key from the example in RFC 6455. Its accept value is known without SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One source address has about 28,000 ports. This many are used of each.
const PORTS_PER_SOURCE: usize = 10_000;

/// Open and upgraded connections, and the time that each took.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) streams: Vec<TcpStream>,
    pub(crate) latency: Histogram,
}

struct Attempt {
    stream: TcpStream,
    started: Instant,
    asked: bool,
    answer: Vec<u8>,
}

/// Opens `count` connections, `at_once` of them at a time.
pub(crate) fn connect(server: SocketAddrV4, count: usize, at_once: usize) -> Result<Connected, String> {
    open(server, count, at_once, "")
}

/// The same with permessage-deflate, without context takeover.
pub(crate) fn connect_deflating(
    server: SocketAddrV4,
    count: usize,
    at_once: usize,
) -> Result<Connected, String> {
    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    open(server, count, at_once, &format!("Sec-WebSocket-Extensions: {offer}\r\n"))
}

fn open(server: SocketAddrV4, count: usize, at_once: usize, extra: &str) -> Result<Connected, String> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    );
    let mut epoll = Epoll::new().map_err(text)?;
    let mut attempts: Vec<Option<Attempt>> = Vec::with_capacity(count);
    let mut done = Connected { streams: Vec::with_capacity(count), latency: Histogram::new() };
    let mut progress = Instant::now();
    while done.streams.len() < count {
        while attempts.len() < count && attempts.len() - done.streams.len() < at_once {
            let attempt =
                Attempt::start(server, attempts.len()).map_err(|error| format!("connect: {error}"))?;
            epoll.add(&attempt.stream, attempts.len() as u64, Interest::Write).map_err(text)?;
            attempts.push(Some(attempt));
        }
        for index in 0..epoll.wait(100).map_err(text)? {
            let token = epoll.event(index).token;
            let slot = &mut attempts[token as usize];
            let Some(attempt) = slot else { continue };
            if attempt.step(&epoll, token, request.as_bytes())?
                && let Some(attempt) = slot.take()
            {
                progress = Instant::now();
                done.latency.record(attempt.started.elapsed().as_nanos() as u64);
                done.streams.push(attempt.stream);
            }
        }
        if progress.elapsed() > PATIENCE {
            return Err(format!("only {} of {count} connections were accepted", done.streams.len()));
        }
    }
    Ok(done)
}

impl Attempt {
    fn start(server: SocketAddrV4, number: usize) -> io::Result<Self> {
        let started = Instant::now();
        let stream = start_connect(server, number)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, started, asked: false, answer: Vec::new() })
    }

    /// Makes progress until it would block. Returns true when the correct response has arrived.
    fn step(&mut self, epoll: &Epoll, token: u64, request: &[u8]) -> Result<bool, String> {
        if !self.asked {
            if let Some(error) = self.stream.take_error().map_err(text)? {
                return Err(format!("connect: {error}"));
            }
            // A new socket accepts a whole request of this size.
            self.stream.write_all(request).map_err(text)?;
            self.asked = true;
            epoll.modify(&self.stream, token, Interest::Read).map_err(text)?;
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

fn start_connect(server: SocketAddrV4, number: usize) -> io::Result<TcpStream> {
    let flags = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_INET, flags, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    if server.ip().is_loopback() {
        bind_source(&socket, number)?;
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
fn bind_source(socket: &OwnedFd, number: usize) -> io::Result<()> {
    // A run must not use the ports of connections of an earlier run in TIME_WAIT.
    let family = (std::process::id() % 200) as u8;
    let address = raw_address(SocketAddrV4::new(
        Ipv4Addr::new(127, 1, family, 1 + (number / PORTS_PER_SOURCE) as u8),
        0,
    ));
    let one: libc::c_int = 1;
    // SAFETY: all pointers are to initialised values that are valid during the calls, and their sizes are passed with them.
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
