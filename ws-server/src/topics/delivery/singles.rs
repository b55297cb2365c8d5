//! Publications that are each all that waits for their member: the usual case in a broadcast.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use ws_proto::PreparedMessage;

use super::{
    Delivery, Due, Slot,
    pages::{NONE, Pages},
    queue::release,
    store::{Held, Node, Store, Subscription},
};
use crate::topics::publication::Publication;

/// Publications on their way from a delivery to connections of its reactor. Empty, it keeps its memory.
#[derive(Debug, Default)]
pub(crate) struct Singles {
    publications: Vec<Arc<Publication>>,
    /// The ids of connections, and places in `publications`.
    sends: Vec<(u32, u32)>,
}

impl Singles {
    /// The ids of the connections, and what each gets.
    pub(crate) fn sends(&self) -> impl Iterator<Item = (u32, &PreparedMessage)> {
        self.sends.iter().filter_map(|(id, at)| Some((*id, self.publications[*at as usize].message()?)))
    }

    /// Drops the publications. Call it without a lock: payloads may have destructors.
    pub(crate) fn clear(&mut self) {
        self.sends.clear();
        self.publications.clear();
    }
}

/// What waits for a member.
enum Waits {
    Nothing,
    /// A publication, which no longer waits.
    Single,
    More,
}

/// The publication of successive members.
struct Run {
    held: u32,
    /// How many members it was taken for.
    taken: u32,
    /// Whether it is to be delivered.
    is_current: bool,
}

impl Delivery {
    /// Takes what waits for these members, where that is one publication and `takes` says that the connection takes
    /// it now. The others that something waits for go to `others`, by the ids of their connections. `takes` is called
    /// with the lock, so that what was sent on the connection before the publication is known to it.
    ///
    /// All members that [`dispatch`](Self::dispatch) appends must come here. The inbox is not executed.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only the reactor takes publications without a turn")
    )]
    pub(crate) fn take_singles(
        &self,
        due: impl Iterator<Item = Due>,
        now: Instant,
        mut takes: impl FnMut(u32) -> bool,
        singles: &mut Singles,
        others: &mut VecDeque<u32>,
    ) {
        let mut members = self.lock();
        let store = &mut members.store;
        let mut run = Run { held: NONE, taken: 0, is_current: false };
        for Due { id, slot } in due {
            match store.take_single(slot, now, || takes(id), &mut run, singles) {
                Waits::Nothing => {}
                Waits::More => others.push_back(id),
                Waits::Single => singles.sends.push((id, singles.publications.len() as u32 - 1)),
            }
        }
        run.end(&mut store.held);
        store.charge_nodes();
    }
}

impl Store {
    #[inline]
    fn take_single(
        &mut self,
        slot: Slot,
        now: Instant,
        takes: impl FnOnce() -> bool,
        run: &mut Run,
        singles: &mut Singles,
    ) -> Waits {
        let Self { members, nodes, held, subscriptions, keys, .. } = self;
        let Some(member) = members.get_mut(slot.index).filter(|it| it.generation == slot.generation) else {
            return Waits::Nothing;
        };
        member.is_listed = false;
        // A recovered publication is none of the `messages`.
        if member.nodes != 1 || member.messages != 1 {
            return if member.is_due { Waits::More } else { Waits::Nothing };
        }
        let Node { held: waits, subscription, .. } = nodes[member.head];
        if waits != run.held {
            run.end(held);
            *run = Run::begin(waits, held, now, singles);
        }
        if !run.is_current || !takes() {
            return Waits::More;
        }
        run.taken += 1;
        nodes.free(member.head);
        (member.head, member.tail) = (NONE, NONE);
        (member.nodes, member.messages, member.bytes) = (0, 0, 0);
        (member.is_due, member.is_slow) = (false, false);
        let Subscription { live, messages, bytes, .. } = &mut subscriptions[subscription];
        (*live, *messages, *bytes) = (NONE, 0, 0);
        keys.forget(subscription);
        Waits::Single
    }
}

impl Run {
    fn begin(waits: u32, held: &Pages<Held>, now: Instant, singles: &mut Singles) -> Self {
        let publication = held[waits].publication.as_ref();
        let current = publication.filter(|it| it.deadline.is_none_or(|deadline| deadline > now));
        singles.publications.extend(current.cloned());
        Self { held: waits, taken: 0, is_current: current.is_some() }
    }

    fn end(&self, held: &mut Pages<Held>) {
        if self.taken > 0 {
            release(held, self.held, self.taken);
        }
    }
}
