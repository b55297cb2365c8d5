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
mod equal;
mod event;
mod fast_path;
mod frames;
mod held;
mod inbox;
mod large;
mod lease;
mod monitor;
mod outbox;
mod partial;
mod pong_deadline;
mod receive;
mod run;
mod send;
mod send_queue;
mod set_aside;
mod timers;

use std::time::Instant;

pub use event::{Event, HeldEvent};
pub use run::{MessageRun, ReceivedMessages};
pub use send_queue::SendQueue;

use crate::{
    close::CloseInfo, config::ValidConfig, handshake::Extensions, mask::MaskSource, memory::Charge,
    recorder::RecordedEvent, role::Role,
};

use closing::{Closing, Phase};
use compressed::{Compression, agreed_compression};
#[cfg(not(feature = "deflate"))]
use deflate_stub as compressed;
use inbox::Inbox;
use monitor::Monitor;
use outbox::Outbox;
use partial::Partial;
use pong_deadline::PongDeadline;
use send_queue::QueueReport;

/// The state of a connection as the application sees it (RFC 6455 section 7). The variants are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Messages can be sent and received.
    Open,
    /// A Close frame was sent or received, or the connection failed. Nothing more can be sent.
    Closing,
    /// The connection has ended. [`Event::Closed`] was returned or is returned next.
    Closed,
}

/// What happens to received messages, and to the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Deliver,
    /// Messages are held. So is an end of the stream without a Close: the peer may still read a reply.
    Pause,
    /// Messages and every kind of end are held.
    Hold,
}

/// What the driver must do with the transport. This is a state, not an event: query it after every step.
///
/// A driver must do each of them, so a `match` has an arm for each: the variants are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportAction {
    /// Read, and write pending bytes. After a [failed write](Connection::handle_write_error) no bytes are pending.
    Continue,
    /// All bytes are written. Shut down the write half and continue to read: closing now could cause a reset, which
    /// destroys bytes that the peer has not read yet.
    ShutDownWrite,
    /// Close the transport.
    Close,
}

/// One WebSocket connection after its handshake, as a state machine without I/O, clock or randomness of its own.
///
/// A connection owns state but no bytes. Received bytes are in a [`ReceiveBuffer`](crate::ReceiveBuffer), bytes to send
/// in a [`TransmitQueue`](crate::TransmitQueue). The driver owns both and lends them for each call. A connection with
/// nothing in flight takes at most 128 bytes.
///
/// # Contract
/// There are four kinds of methods:
/// - **Getters** take `&self`: [`state`](Self::state), [`close_info`](Self::close_info),
///   [`wants_read`](Self::wants_read), [`wants_turn`](Self::wants_turn), [`transport_action`](Self::transport_action),
///   [`poll_timeout`](Self::poll_timeout), [`held_bytes`](Self::held_bytes),
///   [`unfinished_bytes`](Self::unfinished_bytes), [`stats`](Self::stats), [`recording`](Self::recording).
/// - **Inputs** report what happened: [`receive`](Self::receive) for bytes that the driver has, or
///   [`handle_received`](Self::handle_received) after a read into [`read_target`](Self::read_target),
///   [`handle_eof`](Self::handle_eof),
///   [`handle_written`](Self::handle_written), [`handle_flushed`](Self::handle_flushed),
///   [`handle_timeout`](Self::handle_timeout), [`handle_write_error`](Self::handle_write_error),
///   [`handle_transport_error`](Self::handle_transport_error), and, from drivers that support it,
///   [`handle_send_queue`](Self::handle_send_queue) and [`handle_clock`](Self::handle_clock).
/// - **Commands** come from the application: [`send`](Self::send), [`send_bytes`](Self::send_bytes),
///   [`send_received`](Self::send_received),
///   [`ping`](Self::ping), [`pong`](Self::pong), [`close`](Self::close),
///   [`close_and_receive`](Self::close_and_receive), [`pause`](Self::pause), [`resume`](Self::resume),
///   [`hold_ping`](Self::hold_ping), [`hold_pong`](Self::hold_pong), [`set_aside`](Self::set_aside),
///   [`abort`](Self::abort).
/// - **Outputs** must be drained. Call [`poll_event`](Self::poll_event) until it returns `None`. Then call
///   [`pump`](Self::pump) and write the transmit queue until it is empty or the transport accepts no more. Then call
///   [`poll_completion`](Self::poll_completion) until it returns `None`.
///
/// After any input or command, drain the outputs in that order. Then query
/// [`transport_action`](Self::transport_action), [`poll_timeout`](Self::poll_timeout) and, with compression or after
/// [`set_aside`](Self::set_aside), [`wants_turn`](Self::wants_turn). Commands are valid at any time, also between two
/// events. `now` must not decrease. The crate's documentation shows the loop.
pub struct Connection {
    config: ValidConfig,
    /// `None` for most connections of a server.
    rare: Option<Box<Rare>>,
    partial: Option<Box<Partial>>,
    inbox: Option<Box<Inbox>>,
    outbox: Option<Box<Outbox>>,
    closing: Option<Box<Closing>>,
    last_received: Instant,
    /// The latest traffic that counts for `idle_timeout`.
    last_activity: Instant,
    /// `Some` after a keepalive ping, until a byte is received.
    pong_due: Option<PongDeadline>,
    /// Waits that follow the one until `pong_due`, before the peer counts as gone.
    pong_waits: u16,
    phase: Phase,
    flow: Flow,
    eof: bool,
    /// Reading had stopped because of the application. The silence until it resumes does not count against the peer.
    stalled: bool,
    unwritten_ping: UnwrittenPing,
    /// The driver can report the state of the transport's send queue.
    watched: bool,
    /// The memory that counts against the budget.
    charge: Charge,
    /// Control frames received in the current second.
    control_frames: u32,
    /// Microseconds of the current second that have passed.
    control_age: u32,
}

/// Whether a keepalive ping is encoded and the transport has accepted no bytes since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnwrittenPing {
    None,
    /// The ping is all that is pending.
    Alone,
    /// Other bytes are pending too.
    WithOthers,
}

/// What most connections of a server do not have, apart from the rest to keep that small.
#[derive(Default)]
struct Rare {
    /// The source of mask keys. A client has one, a server has none; [`Connection::role`] depends on that.
    masks: Option<Box<dyn MaskSource + Send>>,
    /// Present if permessage-deflate was agreed upon.
    compression: Option<Compression>,
    /// The latest report of the transport's send queue; present only while a deadline depends on it.
    queue_report: Option<Box<QueueReport>>,
    /// Counts and records, if the configuration asks for it.
    monitor: Option<Box<Monitor>>,
    /// The length of the latest message, if it was larger than the receive window. The next one may be so too.
    expected_large: usize,
    /// The length of the frames of the latest run of messages, if they were equally long. 0 if not.
    equal_frames: usize,
}

impl Rare {
    const fn is_empty(&self) -> bool {
        self.is_plain() && self.masks.is_none() && self.compression.is_none()
    }

    /// Whether the latest messages say nothing of the length of the next ones.
    const fn expects_nothing(&self) -> bool {
        self.expected_large == 0 && self.equal_frames == 0
    }

    /// Whether at most masking and compression distinguish the connection.
    const fn is_plain(&self) -> bool {
        self.monitor.is_none() && self.expected_large == 0 && self.queue_report.is_none()
    }
}

impl Connection {
    /// The server's side of a connection. The 101 response has been sent.
    #[must_use]
    pub fn server(config: ValidConfig, now: Instant) -> Self {
        Self::new(config, None, now)
    }

    /// The client's side of a connection. The 101 response has been received. The keys of `masks` must be unpredictable
    /// (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(config: ValidConfig, masks: Box<dyn MaskSource + Send>, now: Instant) -> Self {
        Self::new(config, Some(masks), now)
    }

    fn new(config: ValidConfig, masks: Option<Box<dyn MaskSource + Send>>, now: Instant) -> Self {
        let rare = Rare { masks, monitor: Monitor::for_config(&config, now), ..Rare::default() };
        Self {
            config,
            rare: (!rare.is_empty()).then(|| Box::new(rare)),
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
            stalled: false,
            unwritten_ping: UnwrittenPing::None,
            watched: false,
            charge: Charge::default(),
            control_frames: 0,
            control_age: 0,
        }
    }

    /// Sets the extensions that the handshake agreed upon.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Extensions) -> Self {
        if let Some(compression) = agreed_compression(extensions, self.role()) {
            self.rare.get_or_insert_default().compression = Some(compression);
        }
        self
    }

    /// Holds received messages until [`resume`](Self::resume). Pings are still answered and the peer's Close is still
    /// processed. Messages are held up to `max_held_bytes`; beyond that, [`wants_read`](Self::wants_read) is false.
    /// [`poll_event`](Self::poll_event) still returns pings and pongs; [`hold_ping`](Self::hold_ping) holds them too.
    pub fn pause(&mut self) {
        if self.flow != Flow::Pause {
            self.observe(RecordedEvent::Paused);
        }
        self.flow = Flow::Pause;
    }

    /// As [`pause`](Self::pause), but any end of the stream is held too. A driver that has delivered a message and
    /// continues to parse uses it, so that the following frames do not close the connection before the application can
    /// reply. `close_timeout` limits how long the end is held.
    pub const fn hold(&mut self) {
        self.flow = Flow::Hold;
    }

    /// Delivers messages again, held ones first. Call [`poll_event`](Self::poll_event) afterwards.
    pub fn resume(&mut self) {
        self.note_stall();
        if self.flow == Flow::Pause {
            self.observe(RecordedEvent::Resumed);
        }
        self.flow = Flow::Deliver;
    }

    /// Whether received messages are held.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        !matches!(self.flow, Flow::Deliver)
    }

    /// Client or server.
    #[must_use]
    pub fn role(&self) -> Role {
        let is_client = self.rare.as_ref().is_some_and(|rare| rare.masks.is_some());
        if is_client { Role::Client } else { Role::Server }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &ValidConfig {
        &self.config
    }

    /// The state of the connection.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        match self.phase {
            Phase::Open => ConnectionState::Open,
            Phase::Receiving | Phase::AwaitClose | Phase::Discard => ConnectionState::Closing,
            Phase::Finished => ConnectionState::Closed,
        }
    }

    /// Whether the connection is open and nothing is in progress: no message begun or held, no frame waiting, no end
    /// begun. From one such moment to the next, [`poll_timeout`](Self::poll_timeout) only moves into the future. If the
    /// receive buffer and the transmit queue are empty too, the driver has nothing to do but read.
    #[inline]
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        let nothing_waits = self.partial.is_none() && self.inbox.is_none() && self.outbox.is_none();
        nothing_waits && self.charge.is_zero() && matches!(self.phase, Phase::Open) && !self.eof
    }

    /// How the connection is ending or has ended; `None` while it is open.
    #[must_use]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.closing.as_deref().map(|closing| &closing.info)
    }

    /// Bytes of complete messages and control frames held for a paused application, including the overhead of each
    /// entry. It exceeds `max_held_bytes` by less than one read or one message brings.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.bytes())
    }

    /// Bytes of the message in progress: the part received, the part inflated, and the bytes that were
    /// [set aside](Self::set_aside), or received after a message that is still being inflated.
    #[must_use]
    pub fn unfinished_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes())
    }

    /// Whether the driver may read. False while the messages held for a paused application are at their limit, while a
    /// message is being inflated, and after the end of the stream.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match (self.phase, &self.inbox) {
            _ if self.eof || self.has_set_aside() => false,
            (Phase::Finished, _) => false,
            (Phase::Open, Some(inbox)) if inbox.end.is_some() => false,
            (phase, Some(inbox)) if phase.delivers() => inbox.bytes() < self.config.limits.max_held_bytes,
            // In these states nothing is held.
            _ => true,
        }
    }

    /// Notes that reading has stopped, if it is the application's doing. The connection notes it when messages are
    /// taken from it. `ws-tokio` does when it cannot read, because its application takes messages of a
    /// [run](MessageRun) without the connection.
    #[doc(hidden)]
    #[inline]
    pub fn note_stall(&mut self) {
        self.stalled |= self.is_full();
    }

    /// Whether reading has stopped because the application is paused and the held messages are at their limit.
    fn is_full(&self) -> bool {
        self.phase == Phase::Open
            && !self.eof
            && !self.wants_read()
            && !self.ends_held()
            && (!self.has_set_aside() || self.holds_too_much())
    }

    /// Whether [`poll_event`](Self::poll_event) has more work although it returned `None` and no bytes were received. A
    /// large compressed message is inflated in slices, so that it does not block the thread, and a driver may
    /// [set bytes aside](Self::set_aside). Call `poll_event` again soon, after other connections have run. Until then
    /// nothing is read.
    #[inline]
    #[must_use]
    pub fn wants_turn(&self) -> bool {
        self.has_set_aside() && !self.holds_too_much()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Logs must not contain payloads or keys.
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state())
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
