//! Knows the connections of an upgrader, so that a shutdown reaches all of them and waits for them.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::sync::Notify;
use ws_proto::{CloseCode, CloseInfo};
use ws_tokio::internal::{guarded, release_evenly};

/// Connections for which memory stays allocated when there are none.
const FEW: usize = 64;

/// How far the shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Running,
    /// No request is accepted; connections close.
    Draining,
    /// Connections that are left are cut off.
    Forcing,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that ended by a completed closing handshake after the shutdown began.
    pub clean: usize,
    /// Connections that ended in another way: the peer vanished, the upgrade failed, or the connection was cut off.
    pub unclean: usize,
    /// Whether connections were cut off at the end of the grace period.
    pub forced: bool,
}

#[derive(Debug)]
pub(crate) struct Tracker {
    /// A [`Phase`].
    phase: AtomicU8,
    /// Whether a shutdown has begun, although requests may still be accepted.
    is_draining: AtomicBool,
    /// While a shutdown is spread over a time, only connections with smaller ids close.
    released: AtomicU64,
    list: Mutex<List>,
    /// Notified when the last connection ends, and when nothing is accepted any more.
    empty: Notify,
}

#[derive(Debug)]
struct List {
    tasks: HashMap<u64, Task>,
    next: u64,
    /// The Close that a shutdown sends.
    close: (CloseCode, Box<str>),
    clean: usize,
    unclean: usize,
}

#[derive(Debug)]
struct Task {
    /// `None` until the task is polled. A clone of an `Arc` runs no code of an executor.
    waker: Option<Arc<Waker>>,
    polled_by: PolledBy,
}

/// Which code polls a connection or an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolledBy {
    /// A task of the adapter, which ends soon after it is woken.
    Adapter,
    /// The application, which may never do so.
    Application,
}

impl Tracker {
    pub(crate) fn new() -> Arc<Self> {
        let (tasks, close) = (HashMap::new(), (CloseCode::GOING_AWAY, Box::default()));
        Arc::new(Self {
            phase: AtomicU8::new(Phase::Running as u8),
            is_draining: AtomicBool::new(false),
            released: AtomicU64::new(u64::MAX),
            list: Mutex::new(List { tasks, next: 0, close, clean: 0, unclean: 0 }),
            empty: Notify::new(),
        })
    }

    /// Adds a connection. `None`: a shutdown has begun.
    pub(crate) fn track(self: &Arc<Self>, polled_by: PolledBy) -> Option<Tracked> {
        let mut list = self.list();
        // A shutdown begins under this lock.
        if self.phase() != Phase::Running {
            return None;
        }
        let id = list.next;
        list.next += 1;
        list.tasks.insert(id, Task { waker: None, polled_by });
        drop(list);
        Some(Tracked { tracker: Arc::clone(self), id, has_waker: false, is_counted: false })
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Forcing,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.list().tasks.len()
    }

    /// Says that a shutdown has begun. Returns whether this is the first call.
    pub(crate) fn begin_draining(&self) -> bool {
        !self.is_draining.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Accepts no more, at the first call. Connections close with this code and reason once they are released.
    pub(crate) fn drain(&self, code: CloseCode, reason: &str) {
        {
            let mut list = self.list();
            if self.phase() != Phase::Running {
                return;
            }
            list.close = (code, reason.into());
            (list.clean, list.unclean) = (0, 0);
            self.released.store(0, Ordering::Relaxed);
            // A task that sees the phase also sees that its connection is held back.
            self.phase.store(Phase::Draining as u8, Ordering::Release);
        }
        self.notify_empty();
    }

    /// Releases the connections that there are, evenly over a time. They close then.
    pub(crate) async fn release_evenly(&self, time: Duration) {
        let mut ids: Vec<u64> = self.list().tasks.keys().copied().collect();
        ids.sort_unstable();
        let mut due = 0;
        release_evenly(ids.len(), time, |count| {
            let batch = &ids[due..due + count];
            due += count;
            let Some(last) = batch.last() else { return };
            self.released.store(last + 1, Ordering::Relaxed);
            // The lock orders the store before the turns of the connections.
            let list = self.list();
            let tasks = batch.iter().filter_map(|id| list.tasks.get(id));
            let wakers: Vec<_> = tasks.filter_map(|task| task.waker.clone()).collect();
            drop(list);
            wake(wakers);
        })
        .await;
    }

    /// Releases all connections, also later ones.
    pub(crate) fn release_all(&self) {
        self.released.store(u64::MAX, Ordering::Relaxed);
        self.wake_all();
    }

    /// Cuts off the connections that are left. Upgrades that the application polls count as ended, because the
    /// application may never poll them again. They fail when it does.
    pub(crate) fn force(&self) {
        self.phase.store(Phase::Forcing as u8, Ordering::Release);
        self.wake_all();
        let (removed, is_empty) = {
            let mut list = self.list();
            let is_removed = |_: &u64, task: &mut Task| task.polled_by == PolledBy::Application;
            let removed: Vec<_> = list.tasks.extract_if(is_removed).collect();
            list.unclean += removed.len();
            (removed, list.tasks.is_empty())
        };
        removed.into_iter().for_each(|task| {
            let _ = guarded(|| drop(task));
        });
        if is_empty {
            self.notify_empty();
        }
    }

    fn notify_empty(&self) {
        // It wakes tasks of any executor.
        let _ = guarded(|| self.empty.notify_waiters());
    }

    /// Waits until nothing is accepted and there is no connection.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let mut empty = pin!(self.empty.notified());
            empty.as_mut().enable();
            if self.phase() != Phase::Running && self.connections() == 0 {
                return;
            }
            empty.await;
        }
    }

    pub(crate) fn report(&self, forced: bool) -> ShutdownReport {
        let list = self.list();
        ShutdownReport { clean: list.clean, unclean: list.unclean, forced }
    }

    /// Wakes all tasks after the lock is released.
    fn wake_all(&self) {
        wake(self.list().tasks.values().filter_map(|task| task.waker.clone()).collect());
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(wakers: Vec<Arc<Waker>>) {
    wakers.into_iter().for_each(|waker| {
        // The panic hook has reported a panic of the executor.
        let _ = guarded(move || waker.wake_by_ref());
    });
}

/// A connection's place in the tracker. Dropping it removes the connection.
#[derive(Debug)]
pub(crate) struct Tracked {
    tracker: Arc<Tracker>,
    id: u64,
    has_waker: bool,
    is_counted: bool,
}

impl Tracked {
    /// How far the shutdown has come for this connection. While a shutdown is spread over a time, it begins for each
    /// connection at another moment.
    pub(crate) fn phase(&self) -> Phase {
        match self.tracker.phase() {
            Phase::Draining if self.id >= self.tracker.released.load(Ordering::Relaxed) => Phase::Running,
            phase => phase,
        }
    }

    /// The code and the reason of the Close that a shutdown sends.
    pub(crate) fn close(&self) -> (CloseCode, Box<str>) {
        self.tracker.list().close.clone()
    }

    /// Sets the waker of a task whose waker does not change, at the first call.
    pub(crate) fn set_task(&mut self, waker: &Waker) {
        if !self.has_waker {
            self.has_waker = true;
            self.set_waker(waker);
        }
    }

    /// Sets the waker of the task that polls the connection.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let waker = Some(Arc::new(waker.clone()));
        let previous = match self.tracker.list().tasks.get_mut(&self.id) {
            Some(task) => std::mem::replace(&mut task.waker, waker),
            None => waker,
        };
        let _ = guarded(|| drop(previous));
    }

    /// A task of the adapter polls the connection from now on.
    pub(crate) fn pass_to_adapter(&self) {
        if let Some(task) = self.tracker.list().tasks.get_mut(&self.id) {
            task.polled_by = PolledBy::Adapter;
        }
    }

    /// Counts the end of the connection, at the first call.
    pub(crate) fn count_end(&mut self, info: Option<&CloseInfo>) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let mut list = self.tracker.list();
        if !list.tasks.contains_key(&self.id) {
            // The end of a shutdown has counted it.
            return;
        }
        if info.is_some_and(CloseInfo::is_clean) {
            list.clean += 1;
        } else {
            list.unclean += 1;
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.count_end(None);
        let (removed, is_empty) = {
            let mut list = self.tracker.list();
            let removed = list.tasks.remove(&self.id);
            let is_empty = list.tasks.is_empty();
            if is_empty {
                list.tasks.shrink_to(FEW);
            }
            (removed, is_empty)
        };
        let _ = guarded(|| drop(removed));
        if is_empty {
            self.tracker.notify_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        sync::atomic::AtomicUsize,
        task::{Context, Wake},
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_close_evenly_over_the_time_of_a_shutdown() {
        let tracker = Tracker::new();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut tracked: Vec<_> = (0..110).map(|_| tracker.track(PolledBy::Adapter).unwrap()).collect();
        tracked.drain(..10);
        tracked.iter_mut().for_each(|tracked| tracked.set_task(&waker));
        tracker.drain(CloseCode::SERVICE_RESTART, "");
        let releasing = tracker.release_evenly(Duration::from_secs(10));
        tokio::pin!(releasing);
        for second in 1..=9 {
            let passing = tokio::time::sleep(Duration::from_secs(1));
            tokio::select! {
                () = &mut releasing => panic!("after {second} s"),
                () = passing => {}
            }
            let closing = tracked.iter().filter(|tracked| tracked.phase() == Phase::Draining).count();
            assert!((second * 10 - 1..=second * 10 + 1).contains(&closing), "{closing} after {second} s");
            assert_eq!(wakes.0.load(Ordering::Relaxed), closing);
        }
        releasing.await;
        assert!(tracked.iter().all(|tracked| tracked.phase() == Phase::Draining));
    }

    #[test]
    fn a_shutdown_wakes_each_connection_and_waits_for_the_last_one() {
        let tracker = Tracker::new();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let [mut one, mut other] = [(); 2].map(|()| tracker.track(PolledBy::Adapter).unwrap());
        one.set_task(&waker);
        one.set_task(Waker::noop());
        other.set_task(&waker);
        assert_eq!(tracker.connections(), 2);
        tracker.drain(CloseCode::GOING_AWAY, "bye");
        tracker.drain(CloseCode::NORMAL, "not this one");
        assert_eq!((tracker.phase(), one.phase()), (Phase::Draining, Phase::Running));
        tracker.release_all();
        assert_eq!((one.phase(), one.close()), (Phase::Draining, (CloseCode::GOING_AWAY, "bye".into())));
        assert!(tracker.track(PolledBy::Adapter).is_none(), "the shutdown has begun");
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        let mut waiting = pin!(tracker.wait_empty());
        let mut cx = Context::from_waker(&waker);
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(one);
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(other);
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
        let report = tracker.report(false);
        assert_eq!(report, ShutdownReport { clean: 0, unclean: 2, forced: false });
    }
}
