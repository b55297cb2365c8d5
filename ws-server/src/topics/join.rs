//! Connections become members.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use ws_proto::{Connection, TransmitQueue};
use ws_tokio::{
    Sender,
    internal::{Attach, Feed, FeedPressure, Filled},
};

use super::{
    Topics,
    delivery::MemberLimits,
    error::JoinError,
    member::{Member, Shared},
    options::MemberOptions,
    publication::MemberId,
};

impl Topics {
    /// Makes a connection a member. The membership belongs to the connection: it ends with it, and not with the handle.
    /// If the connection is a member already, this returns a handle to the same member.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(&self, sender: &Sender) -> Result<Member, JoinError> {
        self.join_with(sender, MemberOptions::new())
    }

    /// As [`join`](Self::join), with options. They have no effect if the connection is a member already.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join_with(&self, sender: &Sender, options: MemberOptions) -> Result<Member, JoinError> {
        self.join_feed(options, |make| sender.attach(make))
    }

    /// Makes a connection a member, with `attach`, which attaches the feed that it is given the means to make, or
    /// returns the one that is attached.
    pub(crate) fn join_feed(
        &self,
        options: MemberOptions,
        attach: impl FnOnce(&mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>>,
    ) -> Result<Member, JoinError> {
        let mut options = Some(options);
        let mut make =
            |attach: Attach| self.new_member(attach, options.take().unwrap_or_default()) as Arc<dyn Feed>;
        let feed = attach(&mut make).ok_or(JoinError::Closed)?;
        match feed.as_any().downcast::<Shared>() {
            Ok(member) if Arc::ptr_eq(&member.topics.0, &self.0) => Ok(Member(member)),
            _ => Err(JoinError::OtherTopics),
        }
    }

    fn new_member(&self, attach: Attach, options: MemberOptions) -> Arc<Shared> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = MemberId(NEXT.fetch_add(1, Ordering::Relaxed));
        let config = attach.config.clone();
        let limits = MemberLimits {
            messages: (config.write_queue_messages / 2).max(1),
            bytes: (config.write_queue_bytes / 2).max(1),
        };
        let (delivery, wake) = self.0.deliveries.of(attach);
        let slot = delivery.add_member(id, wake, limits);
        Arc::new(Shared::new(self.clone(), delivery, (id, slot), limits, options))
    }
}

impl Feed for Shared {
    fn fill(
        &self,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        self.delivery.fill(self.slot, limit, before, connection, tx, now)
    }

    fn mark(&self) -> u64 {
        self.delivery.last_number()
    }

    fn pressure(&self) -> FeedPressure {
        self.delivery.pressure(self.slot)
    }

    fn ended(&self) {
        self.end();
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
