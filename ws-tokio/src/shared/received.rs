//! What an application receives: messages, or all events.

use ws_proto::{Connection, Event as Parsed, Message, MessageRef};

use super::{lent_run::LentRun, state::SharedState};
use crate::event::Event;

pub(crate) trait Received: Sized {
    /// Whether to hold all messages of a read that brings many, and then take them together.
    const TAKES_RUNS: bool = false;

    /// Takes the oldest item that is held.
    fn take_held(connection: &mut Connection) -> Option<Self>;

    /// A message that was just received.
    fn from_message(message: MessageRef<'_>) -> Self;

    /// `None` for an event that the application does not receive.
    fn from_parsed(event: Parsed<'_>) -> Option<Self>;

    /// Takes the peer's Close, after everything before it is delivered.
    fn take_close<S>(state: &mut SharedState<S>) -> Option<Self>;
}

/// What the fast path of `recv` takes.
pub(crate) trait Taken: Received {
    /// Takes the first of several messages, unless the run has it too.
    fn from_first(message: MessageRef<'_>) -> Option<Self>;

    /// Takes the run. `rest` gets what is not taken now.
    fn from_run(first: Option<Self>, run: LentRun, rest: &mut Option<LentRun>) -> Option<Self>;
}

impl Received for Message {
    // Large ones of a read share its memory.
    const TAKES_RUNS: bool = true;

    #[inline]
    fn take_held(connection: &mut Connection) -> Option<Self> {
        connection.take_held()
    }

    #[inline]
    fn from_message(message: MessageRef<'_>) -> Self {
        message.into_message()
    }

    #[inline]
    fn from_parsed(event: Parsed<'_>) -> Option<Self> {
        if let Parsed::Message(message) = event { Some(Self::from_message(message)) } else { None }
    }

    #[inline]
    fn take_close<S>(_state: &mut SharedState<S>) -> Option<Self> {
        None
    }
}

impl Taken for Message {
    #[inline]
    fn from_first(message: MessageRef<'_>) -> Option<Self> {
        Some(Self::from_message(message))
    }

    #[inline]
    fn from_run(first: Option<Self>, run: LentRun, rest: &mut Option<LentRun>) -> Option<Self> {
        *rest = Some(run);
        first
    }
}

/// Messages to lend.
impl Received for LentRun {
    const TAKES_RUNS: bool = true;

    #[inline]
    fn take_held(connection: &mut Connection) -> Option<Self> {
        connection.take_held_run().map(Self::from)
    }

    #[inline]
    fn from_message(message: MessageRef<'_>) -> Self {
        message.into_run().into()
    }

    #[inline]
    fn from_parsed(event: Parsed<'_>) -> Option<Self> {
        if let Parsed::Message(message) = event { Some(Self::from_message(message)) } else { None }
    }

    #[inline]
    fn take_close<S>(_state: &mut SharedState<S>) -> Option<Self> {
        None
    }
}

impl Taken for LentRun {
    #[inline]
    fn from_first(_message: MessageRef<'_>) -> Option<Self> {
        None
    }

    #[inline]
    fn from_run(_first: Option<Self>, run: LentRun, _rest: &mut Option<LentRun>) -> Option<Self> {
        Some(run)
    }
}

impl Received for Event {
    fn take_held(connection: &mut Connection) -> Option<Self> {
        connection.take_held_event().and_then(Self::from_held)
    }

    fn from_message(message: MessageRef<'_>) -> Self {
        Self::Message(message.into_message())
    }

    fn from_parsed(event: Parsed<'_>) -> Option<Self> {
        match event {
            Parsed::Message(message) => Some(Self::from_message(message)),
            Parsed::Ping(payload) => Some(Self::Ping(payload.to_vec().into())),
            Parsed::Pong(payload) => Some(Self::Pong(payload.to_vec().into())),
            _ => None,
        }
    }

    fn take_close<S>(state: &mut SharedState<S>) -> Option<Self> {
        if state.rare().close_taken {
            return None;
        }
        let frame = state.end_so_far()?.received.clone()?;
        state.rare().close_taken = true;
        Some(Self::Close(frame))
    }
}
