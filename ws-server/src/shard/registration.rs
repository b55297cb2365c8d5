use std::{sync::Arc, task::Waker, time::Instant};

use crate::admission::permits::Permit;

use super::{LOOKS_AFTER, LoadShare, Shard, wake::ConnWaker};

/// A connection's entry on its shard: its id, how it is woken, and when. Dropping it frees the id and the permit.
pub(crate) struct Registration {
    load: LoadShare,
    id: u32,
    /// The earliest tick that the timer wheel has an entry for; 0 if none.
    armed: u64,
    _permit: Permit,
}

impl Registration {
    pub(crate) fn new(load: LoadShare, permit: Permit) -> Self {
        let shard = load.shard();
        // The clock stands still while the shard has no connection.
        let id = shard.registry.add(|| shard.start_clock());
        Self { load, id, armed: 0, _permit: permit }
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        self.load.shard()
    }

    /// The connection's id on its shard. It is given out again once it is free.
    #[cfg(target_os = "linux")]
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Remembers how to wake the connection's own task.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.shard().registry.set_waker(self.id, waker);
    }

    /// What wakes the connection from anywhere and at any time; `current` is the waker that its turn got.
    pub(crate) fn waker(&self, current: &Waker) -> ConnWaker {
        self.shard().registry.waker(self.id, current)
    }

    /// Whether the timer wheel has an entry for a time after `tick`.
    #[inline]
    pub(crate) const fn is_armed(&self, tick: u64) -> bool {
        self.armed > tick
    }

    /// Wakes the connection at `due`, or up to one tick later. An entry for an earlier time is enough: the connection looks
    /// again then. No entry is further away than [`LOOKS_AFTER`].
    pub(crate) fn arm(&mut self, due: Option<Instant>, tick: u64) {
        let Some(due) = due else { return };
        let shard = self.load.shard();
        let due = (shard.tick_of(due) + 1).min(tick + shard.ticks(LOOKS_AFTER));
        if !self.is_armed(tick) || due < self.armed {
            self.armed = due;
            shard.registry.wake_at(self.id, due);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shard().registry.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ws_proto::Config;

    use super::*;
    use crate::{
        options::Options,
        shard::{server_state::ServerState, wake::WakeTable},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn shard() -> Arc<Shard> {
        let config = Config::default().build().unwrap();
        Shard::new(ServerState::new(Options::default(), Arc::clone(&config), config), WakeTable::tasks(0))
    }

    fn registration(shard: &Arc<Shard>) -> Registration {
        Registration::new(LoadShare::new(shard), shard.server.connections.acquire(None).ok().unwrap())
    }

    async fn pass(shard: &Shard, time: Duration) {
        tokio::time::advance(time).await;
        shard.advance();
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_is_forgotten_within_a_minute_whatever_it_waited_for() {
        let shard = shard();
        for _ in 0..10 {
            for _ in 0..1000 {
                let tick = shard.tick();
                registration(&shard).arm(Some(shard.now() + 24 * HOUR), tick);
            }
            pass(&shard, LOOKS_AFTER / 2).await;
        }
        assert!(shard.registry.timers() <= 3000, "{} entries", shard.registry.timers());
        pass(&shard, LOOKS_AFTER + Duration::from_secs(1)).await;
        assert_eq!(shard.registry.timers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_far_away_is_looked_at_now_and_then_and_never_late() {
        let shard = shard();
        let mut registration = registration(&shard);
        let due = shard.now() + HOUR;
        let mut looks = 0;
        while shard.now() < due {
            let tick = shard.tick();
            if !registration.is_armed(tick) {
                looks += 1;
                registration.arm(Some(due), tick);
                assert!(registration.is_armed(tick));
            }
            pass(&shard, Duration::from_secs(1)).await;
        }
        assert!((60..=62).contains(&looks), "{looks}");
        let tick = shard.tick();
        assert!(
            !registration.is_armed(tick) || shard.time_of(registration.armed) <= due + Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_given_out_again_once_its_connection_has_ended() {
        let shard = shard();
        let first = registration(&shard);
        let second = registration(&shard);
        assert_ne!(first.id, second.id);
        let id = first.id;
        drop(first);
        assert_eq!(registration(&shard).id, id);
        drop(second);
        assert!(shard.registry.is_empty());
    }
}
