//! The task of a node: follows the topics of this process and the events of the backplane.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::ControlFlow,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use ws_server::topics::{Beginning, TopicEvent};

use self::{
    interest::{Batch, Wishes},
    jobs::{Fills, Reached},
    tracked::Tracked,
};
use super::{
    local::{Local, LocalEvents as _},
    mode::Mode,
    shared::{Jitter, Shared},
};
use crate::{BackplaneError, BackplaneEvent, BackplaneEvents, History, Position};

mod deliver;
mod interest;
mod jobs;
mod log;
mod serve;
mod tracked;

/// Most events of the backplane between looks at anything else.
const EVENTS_PER_TURN: usize = 64;

/// Asks the engine to watch a topic.
#[derive(Debug)]
pub(super) struct Ensure {
    pub(super) topic: Arc<str>,
    pub(super) mode: Mode,
    /// The local history is to reach back to here.
    pub(super) since: Option<Beginning>,
    /// Answered once the topic is watched and, if it is logged, nothing more of it is missed.
    pub(super) reply: oneshot::Sender<Result<Watched, Refusal>>,
}

/// A topic is watched, and stays so while this exists.
#[derive(Debug)]
pub(super) struct Watched {
    /// Of a logged topic: the newest entry that this node has, or where it begins.
    pub(super) at: Option<Position>,
    _hold: Hold,
}

/// Keeps a topic watched while it exists.
#[derive(Debug, Clone)]
pub(super) struct Hold(Arc<()>);

/// Why the broker does not let a topic be watched.
#[derive(Debug, Clone)]
pub(super) struct Refusal(pub(super) Arc<str>);

/// A job that has ended.
#[derive(Debug)]
enum Done {
    Watched { batch: Batch, result: Result<(), BackplaneError> },
    Filled { topic: Arc<str>, generation: u64, result: Result<History, BackplaneError> },
    Reached { topic: Arc<str>, generation: u64, since: Position, result: Result<Reached, BackplaneError> },
}

/// The time from `Down` to `Up`.
#[derive(Debug, Default)]
struct Outage {
    is_on: bool,
    /// Live topics whose gap the backplane has named meanwhile. From then on it delivers them.
    named: HashSet<Arc<str>>,
}

pub(super) struct Engine<L: Local> {
    shared: Arc<Shared<L>>,
    events: BackplaneEvents,
    local_events: L::Events,
    commands: mpsc::Receiver<Ensure>,
    topics: HashMap<Arc<str>, Tracked>,
    next_generation: u64,
    wishes: Wishes,
    fills: Fills,
    /// Topics whose log is read again at that time.
    later: BTreeMap<(Instant, u64), Arc<str>>,
    /// Topics without members, by the time at which they are looked at again.
    lingering: VecDeque<(Instant, Arc<str>)>,
    jobs: JoinSet<Done>,
    /// Bytes of log entries that are held over all topics.
    held: usize,
    outage: Outage,
    jitter: Jitter,
}

impl<L: Local> Engine<L> {
    pub(super) fn new(
        shared: Arc<Shared<L>>,
        events: BackplaneEvents,
        commands: mpsc::Receiver<Ensure>,
    ) -> Self {
        let local_events = shared.local.events();
        Self {
            jitter: Jitter::new(shared.node),
            shared,
            events,
            local_events,
            commands,
            topics: HashMap::new(),
            next_generation: 0,
            wishes: Wishes::default(),
            fills: Fills::default(),
            later: BTreeMap::new(),
            lingering: VecDeque::new(),
            jobs: JoinSet::new(),
            held: 0,
            outage: Outage::default(),
        }
    }

    /// Runs until the backplane or all handles are gone.
    pub(super) async fn run(&mut self) {
        self.compare_with_local();
        while self.turn().await.is_continue() {}
    }

    async fn turn(&mut self) -> ControlFlow<()> {
        let now = Instant::now();
        self.start_watch(now);
        self.start_fills(now);
        let timer = self.next_timer();
        tokio::select! {
            event = self.events.recv() => match event {
                Some(event) => self.on_backplane_events(event).await,
                None => return ControlFlow::Break(()),
            },
            event = self.local_events.recv() => match event {
                Some(event) => self.on_local_event(event),
                None => return ControlFlow::Break(()),
            },
            command = self.commands.recv() => match command {
                Some(ensure) => self.ensure(ensure),
                None => return ControlFlow::Break(()),
            },
            Some(done) = self.jobs.join_next() => match done {
                Ok(done) => self.on_done(done).await,
                // Jobs are guarded and never aborted.
                Err(error) => tracing::error!(%error, "a job of the cluster ended early"),
            },
            () = sleep_until(timer.unwrap_or(now)), if timer.is_some() => self.on_timer(Instant::now()),
        }
        ControlFlow::Continue(())
    }

    /// Takes those that follow too, which costs less than a turn for each.
    async fn on_backplane_events(&mut self, first: BackplaneEvent) {
        self.on_backplane_event(first).await;
        for _ in 1..EVENTS_PER_TURN {
            let Some(event) = self.events.try_recv() else { return };
            self.on_backplane_event(event).await;
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let lingering = self.lingering.front().map(|(at, _)| *at);
        [self.wishes.next_timer(), self.fills.next_timer(), later, lingering].into_iter().flatten().min()
    }

    fn on_timer(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            self.fills.push(entry.remove());
        }
        while self.lingering.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, topic)) = self.lingering.pop_front() {
                self.look_at_lingering(&topic, now);
            }
        }
    }

    fn on_local_event(&mut self, event: TopicEvent) {
        match event {
            TopicEvent::Opened { topic } => self.opened(topic),
            TopicEvent::Emptied { topic } => self.linger(&topic),
            TopicEvent::Lagged(_) => self.compare_with_local(),
            // The task for presence follows the others.
            _ => {}
        }
    }

    /// Watches all topics that have members, and looks at those that have none any more.
    fn compare_with_local(&mut self) {
        for topic in self.shared.local.names() {
            if self.shared.local.has_members(&topic) {
                self.opened(topic);
            }
        }
        let local = &self.shared.local;
        let unused: Vec<_> = self.topics.keys().filter(|topic| !local.has_members(topic)).cloned().collect();
        unused.iter().for_each(|topic| self.linger(topic));
    }

    fn opened(&mut self, topic: Arc<str>) {
        if let Some(tracked) = self.topics.get(&topic) {
            // A topic that was freed and created again has new numbers.
            if let Some(position) = tracked.appended
                && self.shared.local.position(&topic) != Some(position)
            {
                self.shared.local.reset(&topic, position);
            }
            return;
        }
        let mode = self.shared.mode(&topic);
        if mode != Mode::Local {
            self.track(topic, mode);
        }
    }

    /// Follows a topic from now on.
    fn track(&mut self, topic: Arc<str>, mode: Mode) {
        self.next_generation += 1;
        let is_logged = matches!(mode, Mode::Logged(_));
        // What this process has of the log already, from an earlier time.
        let at = self.shared.local.position(&topic).filter(|position| is_logged && position.offset > 0);
        if at.is_some() {
            self.shared.set_anchored(&topic, true);
        }
        let tracked = Tracked::new(self.next_generation, is_logged, at);
        self.topics.insert(Arc::clone(&topic), tracked);
        self.wish_for(topic);
    }

    /// Looks at the topic again after a while, and forgets it if it is not used then.
    fn linger(&mut self, topic: &Arc<str>) {
        let at = Instant::now() + self.shared.settings.linger;
        if let Some(tracked) = self.topics.get_mut(topic).filter(|tracked| !tracked.is_lingering) {
            tracked.is_lingering = true;
            self.lingering.push_back((at, Arc::clone(topic)));
        }
    }

    fn look_at_lingering(&mut self, topic: &Arc<str>, now: Instant) {
        let Some(tracked) = self.topics.get_mut(topic) else { return };
        tracked.is_lingering = false;
        if self.shared.local.has_members(topic) {
            return;
        }
        if tracked.is_held() {
            tracked.is_lingering = true;
            self.lingering.push_back((now + self.shared.settings.linger, Arc::clone(topic)));
            return;
        }
        self.forget(topic);
    }

    fn forget(&mut self, topic: &Arc<str>) {
        let Some(tracked) = self.topics.remove(topic) else { return };
        if let Some(log) = &tracked.log {
            self.held -= log.held_bytes();
            self.shared.set_anchored(topic, false);
            // What it keeps would be old by the time at which the topic is watched again.
            if let Some(position) = tracked.appended {
                self.shared.local.reset(topic, position);
            }
        }
        self.wish_away(Arc::clone(topic));
    }
}
