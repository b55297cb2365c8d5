//! What is watched, and up to which point it was heard or read.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    link::lock,
    subject::{Kind, Name},
};

/// The watched topics of all groups.
#[derive(Debug)]
pub(super) struct Watched {
    groups: Vec<Mutex<HashMap<Box<str>, Topic>>>,
    continuity: Mutex<Continuity>,
    /// The number of the current stretch.
    stretch: AtomicU64,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    live: bool,
    logged: bool,
    /// The highest offset that was heard or read.
    newest: u64,
    /// The highest offset that was heard. An entry may be read before it is heard.
    heard: u64,
    read: Option<Read>,
}

/// A topic's log was read, and from then on this node heard all its entries, up to the end of a stretch.
#[derive(Debug, Clone, Copy)]
struct Read {
    stretch: u64,
    /// The highest offset that was read, or heard in this stretch.
    offset: u64,
    /// Entries behind this offset were heard at this time or later.
    quiet: (u64, Instant),
}

/// Time falls into stretches in which nothing was missed.
#[derive(Debug, Default)]
struct Continuity {
    /// When this node last knew that it heard the broker, in the current stretch.
    heard_at: Option<Instant>,
    /// The latest stretches that are over, and when each ended.
    ended: VecDeque<(u64, Instant)>,
}

/// A message of a watched topic.
pub(super) struct Heard {
    pub(super) topic: Arc<str>,
    pub(super) order: Order,
}

/// How an entry relates to those of its topic that were heard or read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It continues the log, perhaps behind a gap.
    Next,
    /// It was read before it was heard, or the newest of those before it has left the log, or the log has begun again.
    Doubtful,
    /// Its offset is not above one that was heard. The log has begun again.
    Repeated,
}

impl Watched {
    pub(super) fn new(groups: u16) -> Self {
        let groups = (0..groups).map(|_| Mutex::default()).collect();
        Self { groups, continuity: Mutex::default(), stretch: AtomicU64::new(0) }
    }

    fn group(&self, group: u16) -> &Mutex<HashMap<Box<str>, Topic>> {
        &self.groups[usize::from(group) % self.groups.len()]
    }

    pub(super) fn add(&self, topic: &Arc<str>, name: Name, kind: Kind) {
        let mut group = lock(self.group(name.group));
        let topic = group.entry(name.token.into_boxed_str()).or_insert_with(|| Topic {
            name: Arc::clone(topic),
            live: false,
            logged: false,
            newest: 0,
            heard: 0,
            read: None,
        });
        // Live publications of a logged topic, such as changes of presence, are heard too.
        topic.live = true;
        topic.logged |= kind != Kind::Live;
    }

    pub(super) fn remove(&self, name: &Name) {
        let removed = lock(self.group(name.group)).remove(name.token.as_str());
        drop(removed);
    }

    /// The groups that have topics.
    pub(super) fn wanted(&self) -> BTreeSet<(u16, bool)> {
        let mut wanted = BTreeSet::new();
        for (number, group) in (0..).zip(&self.groups) {
            let group = lock(group);
            if group.values().any(|topic| topic.live) {
                wanted.insert((number, false));
            }
            if group.values().any(|topic| topic.logged) {
                wanted.insert((number, true));
            }
        }
        wanted
    }

    pub(super) fn has_logged(&self) -> bool {
        self.groups.iter().any(|group| lock(group).values().any(|topic| topic.logged))
    }

    pub(super) fn live(&self, group: u16, token: &str) -> Option<Arc<str>> {
        let group = lock(self.group(group));
        group.get(token).filter(|topic| topic.live).map(|topic| Arc::clone(&topic.name))
    }

    /// `previous`: the offset of the topic's entry before it, 0 if none is kept. `age`: for how long entries are kept.
    pub(super) fn logged(
        &self,
        group: u16,
        token: &str,
        offset: u64,
        previous: Option<u64>,
        age: Duration,
    ) -> Option<Heard> {
        let stretch = self.stretch();
        let mut group = lock(self.group(group));
        let topic = group.get_mut(token).filter(|topic| topic.logged)?;
        let lacks_newest = previous.is_some_and(|previous| previous < topic.newest);
        let order = if offset <= topic.heard {
            Order::Repeated
        } else if offset <= topic.newest || lacks_newest {
            Order::Doubtful
        } else {
            Order::Next
        };
        topic.heard = topic.heard.max(offset);
        topic.newest = topic.newest.max(offset);
        if let Some(read) = topic.read.as_mut().filter(|read| read.stretch == stretch) {
            let now = Instant::now();
            if now.duration_since(read.quiet.1) >= recent(age) {
                read.quiet = (read.offset, now);
            }
            read.offset = read.offset.max(offset);
        }
        Some(Heard { topic: Arc::clone(&topic.name), order })
    }

    /// The log has begun again: earlier offsets mean nothing.
    pub(super) fn forget_offsets(&self) {
        for group in &self.groups {
            for topic in lock(group).values_mut() {
                (topic.newest, topic.heard) = (0, 0);
                topic.read = None;
            }
        }
    }

    /// This node hears the broker at this moment.
    pub(super) fn hears(&self) {
        lock(&self.continuity).heard_at = Some(Instant::now());
    }

    /// Something may have been missed since it last heard the broker.
    pub(super) fn missed(&self) {
        const KEPT: usize = 1_024;
        let mut continuity = lock(&self.continuity);
        if let Some(heard_at) = continuity.heard_at.take() {
            continuity.ended.push_back((self.stretch(), heard_at));
            if continuity.ended.len() > KEPT {
                continuity.ended.pop_front();
            }
        }
        self.stretch.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stretch(&self) -> u64 {
        self.stretch.load(Ordering::Relaxed)
    }

    /// The log was read up to `newest`; the reading began in `stretch`.
    pub(super) fn was_read(&self, name: &Name, newest: u64, stretch: u64) {
        let is_current = self.stretch() == stretch;
        let mut group = lock(self.group(name.group));
        if let Some(topic) = group.get_mut(name.token.as_str()).filter(|topic| topic.logged) {
            topic.newest = topic.newest.max(newest);
            let read = topic.read.filter(|read| read.stretch == stretch);
            topic.read = match read {
                _ if !is_current => topic.read,
                Some(read) => Some(Read { offset: read.offset.max(newest), ..read }),
                None => Some(Read { stretch, offset: topic.newest, quiet: (topic.newest, Instant::now()) }),
            };
        }
    }

    /// The highest offset that was heard or read, 0 if none.
    pub(super) fn newest(&self, name: &Name) -> u64 {
        lock(self.group(name.group)).get(name.token.as_str()).map_or(0, |topic| topic.newest)
    }

    /// Whether all entries behind `offset` that were ever published are still kept, if only their age, which is at
    /// most `age`, makes them leave.
    pub(super) fn knows_all_behind(&self, name: &Name, offset: u64, age: Duration) -> bool {
        let read = lock(self.group(name.group)).get(name.token.as_str()).and_then(|topic| topic.read);
        let Some(read) = read else { return false };
        let is_recent = |time: Instant| time.elapsed() < recent(age);
        // Those that were heard.
        let (quiet, from) = read.quiet;
        if offset < read.offset && (offset < quiet || !is_recent(from)) {
            return false;
        }
        // Those that were not.
        let continuity = lock(&self.continuity);
        let heard_at = if read.stretch == self.stretch() {
            continuity.heard_at
        } else {
            continuity.ended.iter().find(|(number, _)| *number == read.stretch).map(|(_, end)| *end)
        };
        heard_at.is_some_and(is_recent)
    }
}

/// What is younger has not expired, with a margin for delays.
fn recent(age: Duration) -> Duration {
    age / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(100);

    struct Test {
        watched: Watched,
        name: Name,
    }

    impl Test {
        fn new() -> Self {
            let test = Self { watched: Watched::new(1), name: Name { token: "a".into(), group: 0 } };
            test.watched.add(&Arc::from("a"), test.name.clone(), Kind::Out);
            test.watched.hears();
            test
        }

        fn read(&self, newest: u64) {
            self.watched.was_read(&self.name, newest, self.watched.stretch());
        }

        fn hear(&self, offset: u64) {
            assert_eq!(self.order(offset, None), Order::Next);
        }

        /// Hears an entry.
        fn order(&self, offset: u64, previous: Option<u64>) -> Order {
            self.watched.logged(0, "a", offset, previous, AGE).unwrap().order
        }

        fn knows_all_behind(&self, offset: u64) -> bool {
            self.watched.knows_all_behind(&self.name, offset, AGE)
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_was_not_read_is_not_known() {
        let test = Test::new();
        assert!(!test.knows_all_behind(0));
        test.hear(5);
        assert!(!test.knows_all_behind(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_topic_is_known_as_long_as_the_node_hears() {
        let test = Test::new();
        test.read(5);
        for _ in 0..10 {
            pass(40).await;
            test.watched.hears();
        }
        assert!(test.knows_all_behind(5) && !test.knows_all_behind(4));
        pass(60).await;
        assert!(!test.knows_all_behind(5));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_were_heard_lately_are_known() {
        let test = Test::new();
        test.read(5);
        pass(1_000).await;
        test.hear(6);
        pass(10).await;
        test.hear(7);
        test.watched.hears();
        assert!(test.knows_all_behind(5) && test.knows_all_behind(6) && test.knows_all_behind(7));
        pass(45).await;
        test.watched.hears();
        assert!(!test.knows_all_behind(5) && !test.knows_all_behind(6) && test.knows_all_behind(7));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_loss_only_what_came_since_the_last_sign_may_be_unknown() {
        let test = Test::new();
        test.read(5);
        test.watched.missed();
        // It hears again, but has not read what it missed.
        test.watched.hears();
        test.hear(9);
        assert!(test.knows_all_behind(5));
        pass(60).await;
        test.watched.hears();
        assert!(!test.knows_all_behind(5) && !test.knows_all_behind(9));
        test.read(9);
        assert!(test.knows_all_behind(9) && !test.knows_all_behind(8));
    }

    #[tokio::test(start_paused = true)]
    async fn reading_that_began_before_a_loss_proves_nothing() {
        let test = Test::new();
        let stretch = test.watched.stretch();
        test.watched.missed();
        test.watched.hears();
        test.watched.was_read(&test.name, 5, stretch);
        assert!(!test.knows_all_behind(5));
    }

    #[test]
    fn an_entry_that_was_read_before_it_is_heard_is_no_loss() {
        let test = Test::new();
        test.read(6);
        assert_eq!((test.order(5, Some(4)), test.order(6, Some(5))), (Order::Doubtful, Order::Doubtful));
        assert_eq!(test.order(7, Some(6)), Order::Next);
        assert_eq!(test.watched.newest(&test.name), 7);
    }

    #[test]
    fn a_log_that_begins_again_is_doubtful_to_a_node_that_has_only_read() {
        for first in [1, 6, 7, 100] {
            let test = Test::new();
            test.read(6);
            assert_eq!(test.order(first, Some(0)), Order::Doubtful, "{first}");
        }
    }

    #[test]
    fn entries_that_follow_each_other_are_not_doubtful() {
        let test = Test::new();
        assert_eq!(test.order(5, Some(4)), Order::Next);
        assert_eq!(test.order(9, Some(5)), Order::Next);
        test.read(9);
        assert_eq!(test.order(12, Some(9)), Order::Next);
        // Some were missed in between.
        assert_eq!(test.order(20, Some(15)), Order::Next);
    }

    #[test]
    fn offsets_that_come_again_are_repeated() {
        let test = Test::new();
        test.hear(5);
        assert_eq!(test.order(5, Some(4)), Order::Repeated);
        test.watched.forget_offsets();
        test.hear(1);
    }
}
