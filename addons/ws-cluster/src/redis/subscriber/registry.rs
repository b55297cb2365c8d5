//! The topics that are watched, and the connection that each is subscribed on.

use std::{collections::HashMap, sync::Arc};

use crate::{
    event::GapCause,
    redis::names::{Names, slot},
};

/// Identifies a connection. It is not used again.
pub(super) type LinkId = u64;

/// Where a topic is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// A subscription was ordered there.
    Ordered(LinkId),
    /// The broker has confirmed it.
    On(LinkId),
}

#[derive(Debug)]
struct Topic {
    slot: u16,
    place: Place,
    /// It was subscribed before, so publications may be missing once it is again.
    gap: Option<GapCause>,
}

/// All watched topics.
#[derive(Debug, Default)]
pub(super) struct Registry {
    topics: HashMap<Arc<str>, Topic>,
    /// The topics that are nowhere, and perhaps some that are not so any more.
    unplaced: Vec<Arc<str>>,
    unconfirmed: usize,
    displaced: usize,
}

/// Whether a confirmation is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Confirmed {
    Yes,
    /// The topic was removed meanwhile. The order to remove it is on its way.
    Removed,
    /// The topic is subscribed on another connection.
    Elsewhere,
}

impl Registry {
    /// Adds a topic. Returns whether it is not confirmed yet.
    pub(super) fn add(&mut self, name: &Arc<str>, names: &Names, sharded: bool) -> bool {
        if let Some(topic) = self.topics.get(name) {
            return !matches!(topic.place, Place::On(_));
        }
        let slot = if sharded { slot(&names.channel(name)) } else { 0 };
        self.topics.insert(Arc::clone(name), Topic { slot, place: Place::Nowhere, gap: None });
        self.unplaced.push(Arc::clone(name));
        self.unconfirmed += 1;
        true
    }

    /// Removes a topic. Returns the connection that has to end the subscription.
    pub(super) fn remove(&mut self, name: &str) -> Option<LinkId> {
        let topic = self.topics.remove(name)?;
        self.displaced -= usize::from(topic.gap.is_some());
        self.unconfirmed -= usize::from(!matches!(topic.place, Place::On(_)));
        match topic.place {
            Place::Nowhere => None,
            Place::Ordered(link) | Place::On(link) => Some(link),
        }
    }

    /// Chooses a connection for each topic that is nowhere. `order` is called for those that have one.
    pub(super) fn place(
        &mut self,
        mut link_of: impl FnMut(u16) -> Option<LinkId>,
        mut order: impl FnMut(LinkId, Arc<str>, Option<GapCause>),
    ) {
        for name in std::mem::take(&mut self.unplaced) {
            let Some(topic) = self.topics.get_mut(&name).filter(|topic| topic.place == Place::Nowhere) else {
                continue;
            };
            match link_of(topic.slot) {
                Some(link) => {
                    topic.place = Place::Ordered(link);
                    order(link, name, topic.gap);
                }
                None => self.unplaced.push(name),
            }
        }
    }

    /// The broker has confirmed a subscription.
    pub(super) fn confirmed(&mut self, name: &str, link: LinkId) -> Confirmed {
        let Some(topic) = self.topics.get_mut(name) else { return Confirmed::Removed };
        match topic.place {
            Place::On(on) if on == link => return Confirmed::Yes,
            Place::On(_) => return Confirmed::Elsewhere,
            Place::Ordered(ordered) if ordered != link => return Confirmed::Elsewhere,
            Place::Ordered(_) | Place::Nowhere => {}
        }
        topic.place = Place::On(link);
        self.displaced -= usize::from(topic.gap.take().is_some());
        self.unconfirmed -= 1;
        Confirmed::Yes
    }

    /// The subscription on this connection has ended, or was refused. Returns whether that concerns the topic.
    pub(super) fn lost(&mut self, name: &Arc<str>, link: LinkId, gap: GapCause) -> bool {
        let Some(topic) = self.topics.get_mut(name) else { return false };
        match topic.place {
            Place::On(on) if on == link => self.unconfirmed += 1,
            Place::Ordered(ordered) if ordered == link => {}
            _ => return false,
        }
        topic.place = Place::Nowhere;
        self.displaced += usize::from(topic.gap.is_none());
        topic.gap.get_or_insert(gap);
        self.unplaced.push(Arc::clone(name));
        true
    }

    /// A connection has ended. Returns its topics.
    pub(super) fn link_ended(&mut self, link: LinkId, gap: GapCause) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        for (name, topic) in &mut self.topics {
            match topic.place {
                Place::On(on) if on == link => {
                    self.unconfirmed += 1;
                    self.displaced += usize::from(topic.gap.is_none());
                    topic.gap.get_or_insert(gap);
                }
                Place::Ordered(ordered) if ordered == link => {}
                _ => continue,
            }
            topic.place = Place::Nowhere;
            names.push(Arc::clone(name));
        }
        self.unplaced.extend(names.iter().cloned());
        names
    }

    pub(super) fn unplaced(&self) -> &[Arc<str>] {
        &self.unplaced
    }

    /// Whether each topic is subscribed.
    pub(super) fn is_settled(&self) -> bool {
        self.unconfirmed == 0
    }

    /// Whether a topic that was subscribed before is not so now.
    pub(super) fn is_displaced(&self) -> bool {
        self.displaced > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (Registry, Arc<str>) {
        let (mut registry, name) = (Registry::default(), Arc::from("a"));
        assert!(registry.add(&name, &Names::new("ws"), false));
        registry.place(|_| Some(1), |link, _, gap| assert_eq!((link, gap), (1, None)));
        (registry, name)
    }

    #[test]
    fn a_topic_is_settled_once_it_is_confirmed() {
        let (mut registry, name) = registry();
        assert!(!registry.is_settled());
        assert_eq!(registry.confirmed(&name, 2), Confirmed::Elsewhere);
        assert_eq!(registry.confirmed(&name, 1), Confirmed::Yes);
        assert!(registry.is_settled());
        assert!(!registry.add(&name, &Names::new("ws"), false));
        assert_eq!(registry.remove(&name), Some(1));
        assert_eq!(registry.confirmed(&name, 1), Confirmed::Removed);
    }

    #[test]
    fn a_lost_topic_is_placed_again_with_a_gap() {
        let (mut registry, name) = registry();
        registry.confirmed(&name, 1);
        assert_eq!(registry.link_ended(1, GapCause::Disconnected), vec![Arc::clone(&name)]);
        assert!(registry.is_displaced());
        assert!(!registry.lost(&name, 1, GapCause::Moved), "it is nowhere already");
        let mut orders = Vec::new();
        registry.place(|_| None, |_, _, _| panic!("there is no connection"));
        registry.place(|_| Some(2), |link, _, gap| orders.push((link, gap)));
        assert_eq!(orders, [(2, Some(GapCause::Disconnected))]);
        registry.confirmed(&name, 2);
        assert!(registry.is_settled() && !registry.is_displaced());
        assert!(registry.lost(&name, 2, GapCause::Moved));
        assert_eq!(registry.remove(&name), None);
        assert!(registry.is_settled() && !registry.is_displaced());
    }

    #[test]
    fn a_topic_that_was_never_subscribed_has_no_gap() {
        let (mut registry, name) = registry();
        assert_eq!(registry.link_ended(1, GapCause::Disconnected), vec![name]);
        registry.place(|_| Some(2), |_, _, gap| assert_eq!(gap, None));
        assert!(!registry.is_displaced() && !registry.is_settled());
    }
}
