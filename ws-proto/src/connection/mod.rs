//! The connection's state machine, for both roles.

mod charge;
mod closing;
#[cfg(feature = "deflate")]
mod compressed;
mod control;
#[cfg(not(feature = "deflate"))]
mod deflate_stub;
mod drain;
mod encode;
mod event;
mod fast_path;
mod frames;
mod inbox;
mod outbox;
mod partial;
mod pong_deadline;
mod receive;
mod send;
mod send_queue;
mod timers;

use std::{sync::Arc, time::Instant};

pub use event::Event;
pub use send_queue::SendQueue;

use crate::{
    close::CloseInfo, config::Config, handshake::Extensions, mask::MaskSource, memory::Charge, role::Role,
};

use closing::{Closing, Phase};
use compressed::{Compression, agreed_compression};
#[cfg(not(feature = "deflate"))]
use deflate_stub as compressed;
use inbox::Inbox;
use outbox::Outbox;
use partial::Partial;
use pong_deadline::PongDeadline;
use send_queue::Look;

/// What an application may do with a connection (RFC 6455 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Messages flow.
    Open,
    /// A Close frame was sent or received, or the connection failed: nothing more can be sent.
    Closing,
    /// Over; [`Event::Closed`] has been or is about to be returned.
    Closed,
}

/// What happens to what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Deliver,
    /// Messages are held, and an end of the stream without a Close: the peer may still want to read a reply.
    Pause,
    /// Everything is held.
    Hold,
}

/// What the driver must do with the transport. A level, not a message: ask again after every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Read, and write what waits. After a [failed write](Connection::handle_write_error) nothing waits any more.
    Open,
    /// All is written: shut down the write half, and go on reading, so that no reset destroys what the peer has
    /// not read yet.
    ShutDownWrite,
    /// Close it.
    Finished,
}

/// One WebSocket connection after its handshake, as a state machine without I/O, clock or randomness of its own.
///
/// It owns state and no bytes: received bytes lie in a [`ReceiveBuffer`](crate::ReceiveBuffer), bytes to send in a
/// [`TransmitQueue`](crate::TransmitQueue). Both belong to the driver and are lent per call. With nothing in flight
/// a connection takes at most 128 bytes.
///
/// # Contract
/// Methods are of four kinds:
/// - **Getters** take `&self`: [`state`](Self::state), [`close_info`](Self::close_info),
///   [`wants_read`](Self::wants_read), [`wants_turn`](Self::wants_turn), [`transport`](Self::transport),
///   [`poll_timeout`](Self::poll_timeout), [`held_bytes`](Self::held_bytes),
///   [`unfinished_bytes`](Self::unfinished_bytes).
/// - **Inputs** tell what happened: [`handle_received`](Self::handle_received), [`handle_eof`](Self::handle_eof),
///   [`handle_written`](Self::handle_written), [`handle_flushed`](Self::handle_flushed),
///   [`handle_timeout`](Self::handle_timeout), [`handle_write_error`](Self::handle_write_error),
///   [`handle_transport_error`](Self::handle_transport_error), and, from drivers that can tell,
///   [`handle_send_queue`](Self::handle_send_queue).
/// - **Commands** are the application's: [`send`](Self::send), [`send_bytes`](Self::send_bytes),
///   [`send_ping`](Self::send_ping), [`send_pong`](Self::send_pong), [`close`](Self::close),
///   [`close_and_receive`](Self::close_and_receive), [`pause`](Self::pause), [`resume`](Self::resume),
///   [`abort`](Self::abort).
/// - **Outputs** are drained: [`poll_event`](Self::poll_event) until `None`, then [`pump`](Self::pump) and write the
///   transmit queue until it is empty or the transport takes no more, then
///   [`poll_completion`](Self::poll_completion) until `None`.
///
/// After any input or command, drain the outputs in that order, then ask [`transport`](Self::transport),
/// [`poll_timeout`](Self::poll_timeout) and, with compression, [`wants_turn`](Self::wants_turn). Commands may be given at any time, also between two events. `now` must not
/// go backwards. The crate's documentation shows the loop.
pub struct Connection {
    config: Arc<Config>,
    /// `None` for most servers.
    optional: Option<Box<Optional>>,
    partial: Option<Box<Partial>>,
    inbox: Option<Box<Inbox>>,
    outbox: Option<Box<Outbox>>,
    closing: Option<Box<Closing>>,
    last_received: Instant,
    /// Latest traffic that counts against `idle_timeout`.
    last_activity: Instant,
    /// `Some` after a keepalive ping, until a byte is received.
    pong_due: Option<PongDeadline>,
    /// Waits that follow the one until `pong_due`, before the peer counts as gone.
    pong_waits: u16,
    phase: Phase,
    flow: Flow,
    eof: bool,
    /// Nothing was read for a while, so the silence until now proves nothing.
    was_stalled: bool,
    unwritten_ping: UnwrittenPing,
    /// The driver can say what the transport's send queue looks like.
    watched: bool,
    /// What it is charged of the memory budget.
    charge: Charge,
    /// Control frames that came in the latest second, and how much of that has passed, in microseconds.
    control_frames: u32,
    control_age: u32,
}

/// Whether a keepalive ping is encoded, and nothing was written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnwrittenPing {
    None,
    /// Nothing else waits to be written.
    Alone,
    WithOthers,
}

/// What only some connections have.
#[derive(Default)]
struct Optional {
    /// A client's keys; a server has none, which is what makes it one.
    masks: Option<Box<dyn MaskSource + Send>>,
    /// Present if permessage-deflate was agreed upon.
    compression: Option<Compression>,
    /// The latest look at the transport's send queue; only there once a deadline was in doubt.
    look: Option<Look>,
}

impl Connection {
    /// A server's side of a connection whose 101 response has been sent.
    #[must_use]
    pub fn server(config: Arc<Config>, now: Instant) -> Self {
        Self::new(config, None, now)
    }

    /// A client's side of a connection whose 101 response has been received; `masks` must be unpredictable
    /// (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(config: Arc<Config>, masks: Box<dyn MaskSource + Send>, now: Instant) -> Self {
        Self::new(config, Some(masks), now)
    }

    fn new(config: Arc<Config>, masks: Option<Box<dyn MaskSource + Send>>, now: Instant) -> Self {
        Self {
            config,
            optional: masks.map(|masks| Box::new(Optional { masks: Some(masks), ..Optional::default() })),
            partial: None,
            inbox: None,
            outbox: None,
            closing: None,
            last_received: now,
            last_activity: now,
            pong_due: None,
            pong_waits: 0,
            phase: Phase::Open,
            flow: Flow::Deliver,
            eof: false,
            was_stalled: false,
            unwritten_ping: UnwrittenPing::None,
            watched: false,
            charge: Charge::default(),
            control_frames: 0,
            control_age: 0,
        }
    }

    /// With what the handshake agreed upon.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Extensions) -> Self {
        if let Some(compression) = agreed_compression(extensions, self.role()) {
            self.optional.get_or_insert_default().compression = Some(compression);
        }
        self
    }

    /// Holds messages back until [`resume`](Self::resume). Pings are still answered and the peer's Close is still
    /// seen; messages that come meanwhile are held, up to `max_held_bytes`, then nothing more is read.
    pub const fn pause(&mut self) {
        self.flow = Flow::Pause;
    }

    /// As [`pause`](Self::pause), but the end of the stream is held too, whatever it is: for a driver that has just
    /// handed a message out and goes on parsing, so that what follows does not close the connection before the
    /// application could reply. `close_timeout` bounds it.
    pub const fn hold(&mut self) {
        self.flow = Flow::Hold;
    }

    /// Delivers messages again, those held back first. Call [`poll_event`](Self::poll_event) afterwards.
    pub fn resume(&mut self) {
        self.was_stalled |= !self.wants_read();
        self.flow = Flow::Deliver;
    }

    /// Whether messages are held back.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        !matches!(self.flow, Flow::Deliver)
    }

    /// Client or server.
    #[must_use]
    pub fn role(&self) -> Role {
        let is_client = self.optional.as_ref().is_some_and(|optional| optional.masks.is_some());
        if is_client { Role::Client } else { Role::Server }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What may be done with the connection.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        match self.phase {
            Phase::Open => ConnectionState::Open,
            Phase::Receiving | Phase::AwaitClose | Phase::Discard => ConnectionState::Closing,
            Phase::Finished => ConnectionState::Closed,
        }
    }

    /// Whether it is open and nothing is under way: no message begun or held, no frame waiting, no end begun. Between two
    /// such moments [`poll_timeout`](Self::poll_timeout) only moves into the future; and while the receive buffer and the
    /// transmit queue are empty too, there is nothing to do but read.
    #[inline]
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let nothing_waits = self.partial.is_none() && self.inbox.is_none() && self.outbox.is_none();
        nothing_waits && self.charge.is_zero() && matches!(self.phase, Phase::Open) && !self.eof
    }

    /// How the connection ends or ended; `None` while it is open.
    #[must_use]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.closing.as_deref().map(|closing| &closing.info)
    }

    /// Bytes held for a paused application: complete messages, with what keeping them takes. Less than `max_held_bytes` and
    /// what one more read, or one more message, brought.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.bytes())
    }

    /// Bytes of the message in progress: what has arrived of it, what is inflated of it, and what came behind a message that
    /// is still being inflated.
    #[must_use]
    pub fn unfinished_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes())
    }

    /// Whether received bytes may be handed in: false while a paused application's held messages are at their
    /// limit, and once the stream has ended.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match (self.phase, &self.inbox) {
            _ if self.eof || self.is_inflating() => false,
            (Phase::Finished, _) => false,
            (Phase::Open, Some(inbox)) if inbox.end.is_some() => false,
            (phase, Some(inbox)) if phase.delivers() => {
                inbox.bytes() < self.config.limits.max_held_bytes.max(1)
            }
            // Nothing that is read is held.
            _ => true,
        }
    }

    /// Whether nothing is read because the application has paused and holds enough.
    fn is_full(&self) -> bool {
        self.phase == Phase::Open
            && !self.eof
            && !self.wants_read()
            && !self.ends_held()
            && (!self.is_inflating() || self.holds_too_much())
    }

    /// Whether [`poll_event`](Self::poll_event) has more to do although it returned `None` and nothing was received: a
    /// large compressed message is inflated a slice at a time, so that it does not keep the thread. Call it again soon,
    /// after others had their turn; meanwhile nothing is read.
    #[inline]
    #[must_use]
    pub fn wants_turn(&self) -> bool {
        self.is_inflating() && !self.holds_too_much()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Payloads and keys stay out of logs.
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state())
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
