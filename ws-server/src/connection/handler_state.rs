//! How far a handler's connection has come, why it delivers no messages, and what it waits for.

use std::sync::Arc;

use ws_tokio::internal::TrafficCounters;

use crate::shard::registration::Registration;

use super::{mailbox::Mailbox, slowness::Slowness};

/// What a handler's connection has in addition to the handler and the protocol's state.
pub(super) struct HandlerState {
    pub(super) registration: Registration,
    /// Made when the handler first asks for a sender.
    pub(super) mailbox: Option<Arc<Mailbox>>,
    pub(super) life: Life,
    pub(super) pauses: Pauses,
    pub(super) wants: Wants,
    pub(super) slowness: Slowness,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// `on_open` has not been called.
    New,
    Open,
    /// A callback panicked. Of the callbacks that follow from received frames, only `on_close` is left.
    Failed,
    /// `on_close` has been called.
    Over,
}

/// Why no messages are delivered.
#[derive(Default)]
pub(super) struct Pauses {
    /// The handler asked for it.
    pub(super) by_handler: bool,
    /// The peer does not take what is written.
    pub(super) by_blocked_write: bool,
}

/// What the connection waits for, apart from its socket and its deadlines.
#[derive(Default)]
pub(super) struct Wants {
    /// Another turn, because there is more to do.
    pub(super) turn: bool,
    /// Further messages in another turn: this one has delivered as many as it may.
    pub(super) messages: bool,
    /// Room for a message: a send was refused with `Full`, and `on_writable` has not been called since.
    pub(super) room: bool,
    /// Room for what is left in the mailbox.
    pub(super) room_for_mailbox: bool,
}

impl Wants {
    /// Whether the connection waits for nothing else.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        !self.messages && !self.turn && !self.room && !self.room_for_mailbox
    }
}

impl HandlerState {
    pub(super) fn new(registration: Registration) -> Self {
        Self {
            registration,
            mailbox: None,
            life: Life::New,
            pauses: Pauses::default(),
            wants: Wants::default(),
            slowness: Slowness::default(),
        }
    }

    /// Where the server counts what its connections receive and send.
    #[inline]
    pub(super) fn counters(&self) -> &TrafficCounters {
        &self.registration.shard().server.counters.traffic
    }

    /// A send was refused with `Full`.
    #[cold]
    pub(super) fn note_refusal(&mut self) {
        self.wants.room = true;
        self.slowness.note_refusal();
        self.counters().add_refused();
    }

    /// Whether the pressure may have changed, apart from the transport.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        self.slowness.is_pressed() || self.mailbox.as_ref().is_some_and(|mailbox| mailbox.is_pressed())
    }

    /// The mailbox, if it has a feed.
    #[inline]
    pub(super) fn mailbox_with_feed(&self) -> Option<&Mailbox> {
        self.mailbox.as_deref().filter(|mailbox| mailbox.has_feed())
    }

    /// The pong may answer a ping that a sender times.
    pub(super) fn on_pong(&self, payload: &[u8]) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.on_pong(payload);
        }
    }
}
