//! A feed whose messages a test publishes.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use ws_proto::{CloseCode, Connection, Notify, PreparedMessage, TransmitQueue, error::SendError};
use ws_tokio::{
    Sender,
    internal::{Attach, Feed, Filled},
};

use super::text;

#[derive(Debug)]
pub(crate) struct TestFeed {
    attach: Attach,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of each message, and its text.
    waiting: VecDeque<(u64, String)>,
    last: u64,
    /// Before each fill, as many messages are published as it takes for this many to wait.
    flood: usize,
    /// The next fill closes the connection.
    is_slow: bool,
    ended: usize,
}

impl TestFeed {
    /// Attaches a feed to a connection that has none.
    pub(crate) fn attach(sender: &Sender) -> Arc<Self> {
        let mut made = None;
        let attached = sender.attach(&mut |attach| {
            let feed = Arc::new(Self { attach, state: Mutex::default() });
            made = Some(Arc::clone(&feed));
            feed
        });
        assert!(attached.is_some(), "the connection is open");
        made.expect("there was no feed")
    }

    pub(crate) fn publish(&self, text: impl Into<String>) {
        self.publish_quietly(text);
        self.attach.waker.wake_by_ref();
    }

    /// Publishes and does not wake the connection.
    pub(crate) fn publish_quietly(&self, text: impl Into<String>) {
        self.state().publish(text.into());
    }

    /// From now on this many messages wait before each fill.
    pub(crate) fn flood(&self, messages: usize) {
        self.state().flood = messages;
        self.attach.waker.wake_by_ref();
    }

    /// The next fill closes the connection.
    pub(crate) fn close_as_slow(&self) {
        self.state().is_slow = true;
        self.attach.waker.wake_by_ref();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// How often the connection reported its end.
    pub(crate) fn ended(&self) -> usize {
        self.state().ended
    }

    pub(crate) const fn attached(&self) -> &Attach {
        &self.attach
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn publish(&mut self, text: String) {
        self.last += 1;
        self.waiting.push_back((self.last, text));
    }
}

impl Feed for TestFeed {
    fn fill(
        &self,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        let mut state = self.state();
        assert_eq!(state.ended, 0, "an ended feed is not used");
        if std::mem::take(&mut state.is_slow) {
            connection.close(CloseCode::TRY_AGAIN_LATER, "slow", now, tx);
            return Filled::Empty;
        }
        while state.waiting.len() < state.flood {
            let number = state.last + 1;
            state.publish(text(number as usize, 20));
        }
        while let Some((number, text)) = state.waiting.front()
            && before.is_none_or(|mark| *number <= mark)
        {
            if connection.queued(tx).bytes >= limit {
                return Filled::More;
            }
            let message = PreparedMessage::new(text.as_str());
            match connection.send_prepared(&message, Notify::No, tx) {
                Ok(()) => drop(state.waiting.pop_front()),
                Err(SendError::Full(())) => return Filled::More,
                Err(SendError::Closed(())) => panic!("the connection is open"),
            }
        }
        Filled::Empty
    }

    fn mark(&self) -> u64 {
        self.state().last
    }

    fn ended(&self) {
        self.state().ended += 1;
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
