//! Permits limit how many handshakes and connections there are at once, in total and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use ws_tokio::internal::guarded;

/// Counts permits of one kind, or one address's share of them.
#[derive(Debug)]
pub(crate) struct Permits {
    active: AtomicUsize,
    max: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    All {
        /// Notified when the last permit is dropped.
        empty: Notify,
        shares: Option<Shares>,
    },
    /// Each permit of a share also counts as one of `all`.
    Share { network: Network, all: Arc<Permits> },
}

/// The shares of the addresses that hold permits. Each holds at most `max`.
#[derive(Debug)]
struct Shares {
    max: usize,
    by_network: Mutex<HashMap<Network, Arc<Permits>>>,
}

/// The unit that has a share: an IPv4 address, or the smallest network that an IPv6 subscriber gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6([u8; 8]),
}

/// Why no permit is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All permits are taken.
    Server,
    /// The address holds all permits of its share.
    Address,
}

impl Permits {
    /// At most `max` permits, and at most `per_address` of them for one address. `None` is no limit.
    pub(crate) fn with_shares(max: Option<usize>, per_address: Option<usize>) -> Arc<Self> {
        let max = max.unwrap_or(usize::MAX);
        let share = per_address.filter(|per_address| *per_address < max);
        let shares = share.map(|max| Shares { max, by_network: Mutex::default() });
        Self::of(max, Kind::All { empty: Notify::new(), shares })
    }

    fn of(max: usize, kind: Kind) -> Arc<Self> {
        Arc::new(Self { active: AtomicUsize::new(0), max, kind })
    }

    /// Acquires a permit. A peer without an address counts against the total only.
    pub(crate) fn acquire(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<Permit, Full> {
        match self.shares().zip(peer) {
            Some((shares, peer)) => self.acquire_share(shares, Network::of(peer.ip())),
            None if self.count() => Ok(Permit(Arc::clone(self))),
            None => Err(Full::Server),
        }
    }

    fn acquire_share(self: &Arc<Self>, shares: &Shares, network: Network) -> Result<Permit, Full> {
        self.count_in_share(shares, network, || self.count()).map(Permit)
    }

    /// Counts one more permit of a share, if `count_in_all` counts it in all permits.
    fn count_in_share(
        self: &Arc<Self>,
        shares: &Shares,
        network: Network,
        count_in_all: impl FnOnce() -> bool,
    ) -> Result<Arc<Self>, Full> {
        let mut by_network = shares.lock();
        let known = by_network.get(&network).cloned();
        let share =
            known.unwrap_or_else(|| Self::of(shares.max, Kind::Share { network, all: Arc::clone(self) }));
        if share.active() >= share.max {
            return Err(Full::Address);
        }
        if !count_in_all() {
            return Err(Full::Server);
        }
        // The share is not full: its count only grows under the lock.
        share.count();
        by_network.insert(network, Arc::clone(&share));
        Ok(share)
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Waits until no permit is held.
    pub(crate) async fn wait_empty(&self) {
        let Kind::All { empty, .. } = &self.kind else { return };
        loop {
            let notified = empty.notified();
            if self.active() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Counts one more permit, unless `max` is reached.
    fn count(&self) -> bool {
        let grow = |active| (active < self.max).then_some(active + 1);
        self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow).is_ok()
    }

    /// Counts one permit less.
    fn release(&self) {
        match &self.kind {
            Kind::All { .. } => {
                if self.active.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.notify_empty();
                }
            }
            Kind::Share { network, all } => {
                let Some(shares) = all.shares() else { return };
                let is_empty = {
                    let mut by_network = shares.lock();
                    if self.active.fetch_sub(1, Ordering::AcqRel) == 1 {
                        by_network.remove(network);
                        shrink(&mut by_network);
                    }
                    // Still under the lock, so that both counts change together.
                    all.active.fetch_sub(1, Ordering::AcqRel) == 1
                };
                if is_empty {
                    all.notify_empty();
                }
            }
        }
    }

    /// Wakes the tasks that wait for the last permit. Their wakers may run any executor's code, so no lock is held.
    fn notify_empty(&self) {
        if let Kind::All { empty, .. } = &self.kind {
            let _ = guarded(|| empty.notify_waiters());
        }
    }

    const fn shares(&self) -> Option<&Shares> {
        match &self.kind {
            Kind::All { shares, .. } => shares.as_ref(),
            Kind::Share { .. } => None,
        }
    }
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Arc<Permits>>> {
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees memory once most addresses of a peak are gone.
fn shrink(by_network: &mut HashMap<Network, Arc<Permits>>) {
    const FEW: usize = 64;
    if by_network.capacity() > FEW && by_network.len() < by_network.capacity() / 8 {
        by_network.shrink_to(FEW.max(by_network.len() * 2));
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Counts against a limit until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Permits>);

impl Permit {
    /// Counts the permit in the share of `peer` from now on, unless it counts in a share already. If the share is full,
    /// nothing changes.
    pub(crate) fn assign(&mut self, peer: Option<SocketAddr>) -> Result<(), Full> {
        if let Some((shares, peer)) = self.0.shares().zip(peer) {
            let share = self.0.count_in_share(shares, Network::of(peer.ip()), || true)?;
            self.0 = share;
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1234))
    }

    #[tokio::test]
    async fn permits_are_limited_and_free_again_after_a_drop() {
        let permits = Permits::with_shares(Some(2), None);
        let (first, second) = (permits.acquire(None).unwrap(), permits.acquire(from("::1")).unwrap());
        assert_eq!(permits.acquire(None).unwrap_err(), Full::Server);
        drop(first);
        let third = permits.acquire(None).unwrap();
        assert_eq!(permits.active(), 2);
        drop((second, third));
        permits.wait_empty().await;
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_permit_is_dropped() {
        let permits = Permits::with_shares(Some(3), Some(1));
        let permit = permits.acquire(from("10.0.0.1")).unwrap();
        let waiting = tokio::spawn({
            let permits = Arc::clone(&permits);
            async move { permits.wait_empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }

    #[test]
    fn an_address_gets_no_more_than_its_share() {
        let permits = Permits::with_shares(Some(5), Some(2));
        let taken: Vec<_> = (0..2).map(|_| permits.acquire(from("10.0.0.1")).unwrap()).collect();
        assert_eq!(permits.acquire(from("10.0.0.1")).unwrap_err(), Full::Address);
        // A socket for both families reports the same address like this.
        assert_eq!(permits.acquire(from("::ffff:10.0.0.1")).unwrap_err(), Full::Address);
        let others = [permits.acquire(from("10.0.0.2")), permits.acquire(None), permits.acquire(None)];
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(permits.acquire(from("10.0.0.3")).unwrap_err(), Full::Server);
        drop(taken);
        assert!(permits.acquire(from("10.0.0.1")).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_limit() {
        let permits = Permits::with_shares(Some(5), Some(1));
        let _one = permits.acquire(from("2001:db8:0:1::1")).unwrap();
        assert_eq!(permits.acquire(from("2001:db8:0:1:ffff::2")).unwrap_err(), Full::Address);
        let _other = permits.acquire(from("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn an_address_without_permits_takes_no_memory() {
        let permits = Permits::with_shares(None, Some(3));
        for _ in 0..3 {
            let taken: Vec<_> =
                (0..200).map(|host| permits.acquire(from(&format!("10.0.0.{host}")))).collect();
            assert_eq!(permits.shares().unwrap().lock().len(), 200);
            drop(taken);
            assert_eq!(permits.shares().unwrap().lock().len(), 0);
        }
        assert_eq!(permits.active(), 0);
    }

    #[test]
    fn a_permit_of_a_share_counts_as_one_of_all() {
        let permits = Permits::with_shares(Some(2), Some(1));
        let (one, other) = (permits.acquire(from("10.0.0.1")).unwrap(), permits.acquire(None).unwrap());
        assert_eq!(permits.active(), 2);
        assert_eq!(permits.acquire(from("10.0.0.2")).unwrap_err(), Full::Server);
        drop(other);
        assert!(permits.acquire(from("10.0.0.2")).is_ok());
        drop(one);
        assert_eq!(permits.active(), 0);
    }

    #[test]
    fn a_share_that_a_full_server_refuses_takes_no_memory() {
        let permits = Permits::with_shares(Some(2), Some(1));
        let _all = [permits.acquire(None).unwrap(), permits.acquire(None).unwrap()];
        assert_eq!(permits.acquire(from("10.0.0.1")).unwrap_err(), Full::Server);
        assert!(permits.shares().unwrap().lock().is_empty());
    }

    #[test]
    fn a_permit_that_is_assigned_to_an_address_counts_once_and_in_its_share() {
        let permits = Permits::with_shares(Some(3), Some(1));
        let mut permit = permits.acquire(None).unwrap();
        permit.assign(None).unwrap();
        permit.assign(from("10.0.0.1")).unwrap();
        assert_eq!((permits.active(), permits.acquire(from("10.0.0.1")).unwrap_err()), (1, Full::Address));
        // It belongs to that address now.
        permit.assign(from("10.0.0.2")).unwrap();
        let mut second = permits.acquire(None).unwrap();
        assert_eq!(second.assign(from("10.0.0.1")), Err(Full::Address));
        second.assign(from("10.0.0.2")).unwrap();
        assert_eq!(permits.active(), 2);
        drop(permit);
        assert!(permits.acquire(from("10.0.0.1")).is_ok());
        drop(second);
        assert_eq!(permits.active(), 0);
        assert!(permits.shares().unwrap().lock().is_empty());
    }

    #[test]
    fn without_a_limit_per_address_assigning_changes_nothing() {
        let permits = Permits::with_shares(Some(2), None);
        let mut permit = permits.acquire(None).unwrap();
        permit.assign(from("10.0.0.1")).unwrap();
        drop(permit);
        assert_eq!(permits.active(), 0);
    }

    #[test]
    fn threads_that_acquire_together_never_exceed_the_limits() {
        let permits = Permits::with_shares(Some(8), Some(3));
        std::thread::scope(|scope| {
            for host in 1..5 {
                let permits = &permits;
                scope.spawn(move || {
                    for _ in 0..500 {
                        let taken: Vec<_> = (0..5)
                            .map_while(|_| permits.acquire(from(&format!("10.0.0.{host}"))).ok())
                            .collect();
                        assert!(taken.len() <= 3 && permits.active() <= 8);
                    }
                });
            }
        });
        assert_eq!(permits.active(), 0);
        assert!(permits.shares().unwrap().lock().is_empty());
    }
}
