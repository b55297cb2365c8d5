//! One connection: its handshake, then the protocol.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::Shutdown,
    time::{Duration, Instant},
};

use bytes::Buf as _;
use mio::net::TcpStream;
use ws_proto::{
    CloseInfo, Connection, Event, Message, Notify, ReceiveBuffer, TransmitQueue, TransportAction,
    ValidConfig,
    error::SendError,
    handshake::{Rejection, RequestReader, ResponseParts, ServerHandshake},
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The reads of one connection before the others have their turn.
const READS_PER_TURN: usize = 16;

/// What follows a turn.
pub(crate) enum Turn {
    /// Nothing before the next event or deadline.
    Wait,
    /// Another turn, after those of the other connections.
    Again,
    /// The connection has ended.
    End,
}

pub(crate) struct Client {
    stream: TcpStream,
    tx: TransmitQueue,
    /// An answer that the write queue has no room for. Meanwhile the connection is paused.
    unsent: Option<Message>,
    stage: Stage,
}

enum Stage {
    Request { reader: RequestReader, received: Vec<u8>, deadline: Instant },
    Open(Box<Connection>),
}

impl Client {
    pub(crate) fn new(stream: TcpStream, config: &ValidConfig) -> Self {
        let _ = stream.set_nodelay(true);
        let reader = RequestReader::new(&config.limits);
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        let stage = Stage::Request { reader, received: Vec::new(), deadline };
        Self { stream, tx: TransmitQueue::new(), unsent: None, stage }
    }

    pub(crate) const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// When the next turn is due without an event.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Request { deadline, .. } => Some(*deadline),
            Stage::Open(connection) => connection.poll_timeout(&self.tx),
        }
    }

    /// Does what can be done without waiting.
    pub(crate) fn turn(&mut self, config: &ValidConfig, rx: &mut ReceiveBuffer) -> Turn {
        if matches!(self.stage, Stage::Request { .. }) {
            match self.accept(config, rx) {
                Ok(Some(connection)) => self.stage = Stage::Open(Box::new(connection)),
                Ok(None) => return Turn::Wait,
                Err(_) => return Turn::End,
            }
        }
        let Self { stream, tx, unsent, stage: Stage::Open(connection) } = self else { return Turn::Wait };
        let now = Instant::now();
        if connection.poll_timeout(tx).is_some_and(|due| due <= now) {
            connection.handle_timeout(now, tx);
        }
        for reads in 0..=READS_PER_TURN {
            if let Some(info) = answer_messages(connection, tx, rx, unsent) {
                println!("{info}");
                return Turn::End;
            }
            write(stream, connection, tx, now);
            if retry_unsent(connection, tx, unsent) {
                continue;
            }
            match connection.transport_action(tx) {
                TransportAction::Continue => {}
                // The peer may still send: read until its end of the stream.
                TransportAction::ShutDownWrite => drop(stream.shutdown(Shutdown::Write)),
                // The next event is `Closed`.
                TransportAction::Close => continue,
            }
            if connection.wants_turn() {
                return Turn::Again;
            }
            if !connection.wants_read() {
                return Turn::Wait;
            }
            // The events of the last read are drained: other connections use `rx` next.
            if reads == READS_PER_TURN {
                return Turn::Again;
            }
            match stream.read(connection.read_target(rx)) {
                Ok(0) => connection.handle_eof(now),
                Ok(n) => connection.handle_received(n, now, rx),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => connection.handle_transport_error(error.kind(), tx),
            }
        }
        Turn::Again
    }

    /// Reads the request and answers it. `None` if more of it is to come.
    fn accept(&mut self, config: &ValidConfig, rx: &mut ReceiveBuffer) -> io::Result<Option<Connection>> {
        let Stage::Request { reader, received, deadline } = &mut self.stage else { return Ok(None) };
        let mut chunk = [0; 4096];
        while Instant::now() < *deadline {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => received.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let result = reader.read(received).and_then(|head| {
                let Some((request, len)) = head else { return Ok(None) };
                Ok(Some((ServerHandshake::new(&request)?, len)))
            });
            // The send buffer of a new socket has room for the whole response.
            match result {
                Ok(None) => {}
                Ok(Some((handshake, len))) => {
                    let response = handshake.accept(&ResponseParts::default()).map_err(io::Error::other)?;
                    self.stream.write_all(&response)?;
                    let mut connection = Connection::server(config.clone(), Instant::now());
                    // Frames may follow the request. `rx` is larger than what one read brings here.
                    connection.receive(&received[len..], Instant::now(), rx);
                    return Ok(Some(connection));
                }
                Err(error) => {
                    self.stream.write_all(&Rejection::from(error).encode())?;
                    return Err(io::Error::other(error));
                }
            }
        }
        Err(ErrorKind::TimedOut.into())
    }
}

/// Echoes the messages that were received. Returns how the connection ended, once it has.
fn answer_messages(
    connection: &mut Connection,
    tx: &mut TransmitQueue,
    rx: &mut ReceiveBuffer,
    unsent: &mut Option<Message>,
) -> Option<CloseInfo> {
    while let Some(event) = connection.poll_event(rx, tx) {
        match event {
            Event::Message(message) => {
                if let Err(SendError::Full(message)) = connection.send_received(message, tx) {
                    // Further messages are held, and so is the end: the answers go out before it. At
                    // `max_held_bytes`, `wants_read` is false.
                    *unsent = Some(message);
                    connection.hold();
                }
            }
            Event::Closed(info) => return Some(info),
            _ => {}
        }
    }
    None
}

/// Sends the answer for which there was no room. Returns whether the messages that are held come next.
fn retry_unsent(connection: &mut Connection, tx: &mut TransmitQueue, unsent: &mut Option<Message>) -> bool {
    let Some(message) = unsent.take() else { return false };
    if let Err(SendError::Full(message)) = connection.send_message(message, Notify::No, tx) {
        *unsent = Some(message);
        return false;
    }
    // It is sent, or the connection is closing.
    connection.resume();
    true
}

/// Writes until nothing is left, or the socket accepts no more.
fn write(stream: &mut TcpStream, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) {
    loop {
        connection.pump(tx);
        if tx.is_empty() {
            return;
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = tx.chunks_vectored(&mut slices);
        match stream.write_vectored(&slices[..count]) {
            Ok(n) => {
                tx.advance(n);
                connection.handle_written(now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return tx.set_blocked(now),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => connection.handle_write_error(error.kind(), now, tx),
        }
    }
}
