//! The floor on raw epoll: one `recv` and one `send` per wakeup. With `--broadcast`, what a wakeup has read is sent to
//! all connections with the same target by a loop of `send`; with `--each`, each message by a `send` of its own.

use bench_common::epoll::{Epoll, Interest};
use bench_common::server;
use floors::frames::{Echo, PAD, split};
use floors::{READ, Scratch, upgrade};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

const LISTENER: u64 = u64::MAX;
/// Most groups of connections.
const GROUPS: usize = 100_000;

struct Connection {
    stream: TcpStream,
    upgraded: bool,
    group: usize,
    echo: Echo,
    /// The request until it is complete, then the bytes that the kernel has not accepted.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Broadcast {
    /// All that was read with one `send`.
    Batch,
    /// One `send` for each message.
    Each,
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    /// The upgraded connections of each group. A slot may be in use by a later connection.
    groups: Vec<Vec<usize>>,
    broadcast: Option<Broadcast>,
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut scratch: Box<Scratch> = Box::new([0; PAD + READ]);
        self.epoll.add(&self.listener, LISTENER, Interest::Read)?;
        loop {
            for index in 0..self.epoll.wait(-1)? {
                let event = self.epoll.event(index);
                if event.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                let slot = event.token as usize;
                if self.serve(slot, event.writable, &mut scratch).is_err() {
                    self.connections[slot] = None;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = stream.as_raw_fd() as usize;
            self.epoll.add(&stream, slot as u64, Interest::Read)?;
            if self.connections.len() <= slot {
                self.connections.resize_with(slot + 1, || None);
            }
            let connection =
                Connection { stream, upgraded: false, group: 0, echo: Echo::default(), buffer: Vec::new() };
            self.connections[slot] = Some(connection);
        }
    }

    fn serve(&mut self, slot: usize, writable: bool, scratch: &mut Scratch) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        if writable && connection.upgraded && !connection.buffer.is_empty() {
            return connection.drain(&self.epoll);
        }
        let read = match (&connection.stream).read(&mut scratch[PAD..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        };
        if !connection.upgraded {
            connection.upgrade(&scratch[PAD..PAD + read])?;
            if connection.upgraded {
                let group = connection.group;
                self.join(slot, group);
            }
            return Ok(());
        }
        let echo = connection.echo.turn(scratch, read);
        match self.broadcast {
            None => connection.send(&self.epoll, &scratch[echo]),
            Some(Broadcast::Batch) => self.send_to_all(slot, &scratch[echo]),
            Some(Broadcast::Each) => {
                split(&scratch[echo]).try_for_each(|frame| self.send_to_all(slot, frame))
            }
        }
    }

    fn join(&mut self, slot: usize, group: usize) {
        if self.groups.len() <= group {
            self.groups.resize_with(group + 1, Vec::new);
        }
        let members = &mut self.groups[group];
        if !members.contains(&slot) {
            members.push(slot);
        }
    }

    fn send_to_all(&mut self, from: usize, frames: &[u8]) -> io::Result<()> {
        // Pieces of a message would mix with those of other senders.
        let Some(sender) = self.connections[from].as_ref().filter(|sender| sender.echo.between_frames())
        else {
            return Err(ErrorKind::InvalidData.into());
        };
        let group = sender.group;
        for slot in &self.groups[group] {
            let slot = &mut self.connections[*slot];
            let current = slot.as_mut().filter(|other| other.upgraded && other.group == group);
            let Some(connection) = current else { continue };
            if connection.send(&self.epoll, frames).is_err() {
                *slot = None;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn upgrade(&mut self, received: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(received);
        let Some(answer) = upgrade::answer(&self.buffer) else { return Ok(()) };
        let answer = answer.ok_or(ErrorKind::InvalidData)?;
        self.group = upgrade::group(&self.buffer).min(GROUPS - 1);
        (self.upgraded, self.buffer) = (true, Vec::new());
        (&self.stream).write_all(&answer)
    }

    fn send(&mut self, epoll: &Epoll, bytes: &[u8]) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = write_some(&self.stream, bytes)?;
        if sent < bytes.len() {
            self.buffer.extend_from_slice(&bytes[sent..]);
            // Reading stops until these bytes are sent.
            epoll.modify(&self.stream, self.stream.as_raw_fd() as u64, Interest::Write)?;
        }
        Ok(())
    }

    fn drain(&mut self, epoll: &Epoll) -> io::Result<()> {
        let sent = write_some(&self.stream, &self.buffer)?;
        self.buffer.drain(..sent);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
            epoll.modify(&self.stream, self.stream.as_raw_fd() as u64, Interest::Read)?;
        }
        Ok(())
    }
}

fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

fn main() -> io::Result<()> {
    let mut options = server::options();
    let broadcasts = options.rest.take_flag("broadcast");
    let kind = if options.rest.take_flag("each") { Broadcast::Each } else { Broadcast::Batch };
    let broadcast = broadcasts.then_some(kind);
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let listener = server::listen(options.listen)?;
    Server { epoll: Epoll::new()?, listener, connections: Vec::new(), groups: Vec::new(), broadcast }.run()
}
