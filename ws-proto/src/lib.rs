//! The WebSocket protocol (RFC 6455) as a pure state machine. It uses no sockets, no runtime, no clock and no source of
//! randomness. Supply your own I/O, or depend on `ws-server` or `ws-client`, which bind it to tokio.
//!
//! [`handshake`] is the opening handshake, [`Connection`] the protocol after it. A *driver* moves the bytes: it lends
//! the connection a [`ReceiveBuffer`] and a [`TransmitQueue`] for each call, reports what happened, and does what the
//! connection asks for:
//!
//! ```
//! use std::{io::{self, Read, Write}, time::Instant};
//! use bytes::Buf;
//! use ws_proto::{Config, Connection, Event, ReceiveBuffer, TransmitQueue, TransportAction};
//!
//! /// Echoes messages until the connection ends. The handshake on `socket` is complete.
//! fn run(mut socket: impl Read + Write, mut connection: Connection) -> io::Result<()> {
//!     let (mut rx, mut tx) = (ReceiveBuffer::default(), TransmitQueue::new());
//!     loop {
//!         // 1. Drain the events. An event borrows only `rx`, so the connection can answer while the event is in use.
//!         while let Some(event) = connection.poll_event(&mut rx, &mut tx) {
//!             match event {
//!                 Event::Message(message) => {
//!                     let _ = connection.send(message.kind(), message.as_bytes(), &mut tx);
//!                 }
//!                 Event::Closed(_) => return Ok(()),
//!                 _ => {} // the connection has answered pings
//!             }
//!         }
//!         // 2. Write all pending bytes.
//!         loop {
//!             connection.pump(&mut tx);
//!             if tx.is_empty() {
//!                 break;
//!             }
//!             match socket.write(tx.chunk()) {
//!                 Ok(n) => {
//!                     tx.advance(n);
//!                     connection.handle_written(Instant::now());
//!                 }
//!                 Err(error) => connection.handle_write_error(error.kind(), Instant::now(), &mut tx),
//!             }
//!         }
//!         // 3. Ask what to do with the transport. On `ShutDownWrite`, half-close a socket that supports it.
//!         if connection.transport_action(&tx) == TransportAction::Close || connection.wants_turn() {
//!             continue; // the next round returns `Event::Closed`, or inflates more of a large message
//!         }
//!         // 4. Read. A driver with timers also waits until `poll_timeout` and calls `handle_timeout`.
//!         match socket.read(connection.read_target(&mut rx)) {
//!             Ok(0) => connection.handle_eof(Instant::now()),
//!             Ok(n) => connection.handle_received(n, Instant::now(), &mut rx),
//!             Err(error) => connection.handle_transport_error(error.kind(), &mut tx),
//!         }
//!     }
//! }
//! # /// A socket with its input prepared.
//! # struct Script(io::Cursor<Vec<u8>>, Vec<u8>);
//! # impl Read for Script { fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> { self.0.read(buf) } }
//! # impl Write for Script {
//! #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.1.write(bytes) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let received = b"\x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8".to_vec();
//! # let mut script = Script(io::Cursor::new(received), Vec::new());
//! # let config = Config::default().validate()?;
//! # run(&mut script, Connection::server(config, Instant::now()))?;
//! # assert_eq!(script.1, b"\x81\x02hi\x88\x02\x03\xe8");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Connection`] documents the contract of its methods.
//!
//! Received bytes take one of two ways. The loop above reads into [`Connection::read_target`], which saves a copy. A
//! driver that has the bytes already hands them over with [`Connection::receive`]: those that came with the handshake,
//! or the buffers of a transport that reads by itself:
//!
//! ```
//! # use std::time::Instant;
//! # use ws_proto::{Config, Connection, Event, ReceiveBuffer, TransmitQueue};
//! # let mut connection = Connection::server(Config::default().validate()?, Instant::now());
//! # let (mut rx, mut tx) = (ReceiveBuffer::default(), TransmitQueue::new());
//! # let mut received = &b"\x81\x82\0\0\0\0hi"[..];
//! # let mut texts = Vec::new();
//! while !received.is_empty() && connection.wants_read() {
//!     let taken = connection.receive(received, Instant::now(), &mut rx);
//!     received = &received[taken..];
//!     while let Some(event) = connection.poll_event(&mut rx, &mut tx) {
//!         if let Event::Message(message) = event {
//!             let _ = connection.send_received(message, &mut tx);
//! #           texts.push(());
//!         }
//!     }
//! }
//! # assert_eq!(texts.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server's handshake has three steps:
//!
//! ```
//! use ws_proto::{Limits, handshake::{ResponseParts, Rejection, RequestReader, ServerHandshake}};
//!
//! # let received = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
//! let mut reader = RequestReader::new(&Limits::default());
//! // `received` holds all bytes read so far. `None`: read more.
//! let answer = match reader.read(received) {
//!     Ok(None) => return Ok(()),
//!     Ok(Some((request, head_len))) => match ServerHandshake::new(&request) {
//!         Ok(handshake) => handshake.accept(&ResponseParts::default())?, // `received[head_len..]` are frames
//!         Err(error) => Rejection::from(error).encode(),
//!     },
//!     Err(error) => Rejection::from(error).encode(),
//! };
//! # assert!(answer.starts_with(b"HTTP/1.1 101 "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

pub mod close;
mod close_code;
mod config;
mod connection;
mod deadline;
#[cfg(feature = "deflate")]
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
mod header_syntax;
pub mod mask;
pub mod memory;
mod message;
mod prepared;
pub mod recorder;
mod role;
pub mod stats;
pub mod utf8;

pub use close::{frame::CloseFrame, info::CloseInfo};
pub use close_code::CloseCode;
pub use config::{Config, Keepalive, Limits, ValidConfig};
pub use connection::{Connection, ConnectionState, Event, HeldEvent, SendQueue, TransportAction};
#[doc(hidden)]
pub use connection::{MessageRun, ReceivedMessages};
pub use deadline::deadline_after;
pub use memory::{
    receive::ReceiveBuffer,
    sends::{Completion, Notify},
    transmit::TransmitQueue,
};
pub use message::{Message, MessageKind, MessageRef};
pub use prepared::PreparedMessage;
pub use role::Role;
pub use stats::Queued;
pub use utf8::bytes::Utf8Bytes;

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
