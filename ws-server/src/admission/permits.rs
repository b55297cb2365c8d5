//! Counted places: how many handshakes and connections there may be at once, in all and from one address.

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

/// Places of one kind, or one address's share of them.
#[derive(Debug)]
pub(crate) struct Permits {
    active: AtomicUsize,
    max: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    All {
        /// Told when the last place becomes free.
        empty: Notify,
        shares: Option<Shares>,
    },
    /// Whoever has a place here has one of `all`, too.
    Share { network: Network, all: Arc<Permits> },
}

/// The shares of the addresses that have places, none larger than `max`.
#[derive(Debug)]
struct Shares {
    max: usize,
    by_network: Mutex<HashMap<Network, Arc<Permits>>>,
}

/// Who has a share: an IPv4 address, or the smallest network that an IPv6 subscriber gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(u32),
    V6([u8; 8]),
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    Server,
    /// The address has its share.
    Address,
}

impl Permits {
    /// So many places, and so many of them for one address.
    pub(crate) fn with_shares(max: usize, per_address: usize) -> Arc<Self> {
        let shares = (per_address < max).then(|| Shares { max: per_address, by_network: Mutex::default() });
        Self::of(max, Kind::All { empty: Notify::new(), shares })
    }

    fn of(max: usize, kind: Kind) -> Arc<Self> {
        Arc::new(Self { active: AtomicUsize::new(0), max, kind })
    }

    /// Takes a place, for a peer that may have an address.
    pub(crate) fn acquire(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<Permit, Full> {
        match self.shares().zip(peer) {
            Some((shares, peer)) => self.acquire_share(shares, Network::of(peer.ip())),
            None if self.count() => Ok(Permit(Arc::clone(self))),
            None => Err(Full::Server),
        }
    }

    fn acquire_share(self: &Arc<Self>, shares: &Shares, network: Network) -> Result<Permit, Full> {
        let mut by_network = shares.lock();
        let known = by_network.get(&network).cloned();
        let share =
            known.unwrap_or_else(|| Self::of(shares.max, Kind::Share { network, all: Arc::clone(self) }));
        if share.active() >= share.max {
            return Err(Full::Address);
        }
        if !self.count() {
            return Err(Full::Server);
        }
        // Under the lock nobody else counts here.
        share.count();
        by_network.insert(network, Arc::clone(&share));
        Ok(Permit(share))
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Waits until no place is taken.
    pub(crate) async fn wait_empty(&self) {
        let Kind::All { empty, .. } = &self.kind else { return };
        loop {
            let told = empty.notified();
            if self.active() == 0 {
                return;
            }
            told.await;
        }
    }

    /// Counts one more, if there may be.
    fn count(&self) -> bool {
        let grow = |active| (active < self.max).then_some(active + 1);
        self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow).is_ok()
    }

    /// Counts one less.
    fn give_back(&self) {
        match &self.kind {
            Kind::All { .. } => {
                if self.active.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.tell_empty();
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
                    // Still under the lock, so that nobody sees the one place without the other.
                    all.active.fetch_sub(1, Ordering::AcqRel) == 1
                };
                if is_empty {
                    all.tell_empty();
                }
            }
        }
    }

    /// The last place is free. The tasks that wait for that may have wakers of any executor, so no lock is held.
    fn tell_empty(&self) {
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

/// Gives memory back once most of those who came at one time have left.
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

/// A taken place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1234))
    }

    #[tokio::test]
    async fn places_are_limited_and_come_back() {
        let permits = Permits::with_shares(2, usize::MAX);
        let (first, second) = (permits.acquire(None).unwrap(), permits.acquire(from("::1")).unwrap());
        assert_eq!(permits.acquire(None).unwrap_err(), Full::Server);
        drop(first);
        let third = permits.acquire(None).unwrap();
        assert_eq!(permits.active(), 2);
        drop((second, third));
        permits.wait_empty().await;
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_place_is_freed() {
        let permits = Permits::with_shares(3, 1);
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
    fn an_address_has_no_more_than_its_share() {
        let permits = Permits::with_shares(5, 2);
        let taken: Vec<_> = (0..2).map(|_| permits.acquire(from("10.0.0.1")).unwrap()).collect();
        assert_eq!(permits.acquire(from("10.0.0.1")).unwrap_err(), Full::Address);
        // The same address, as a socket for both families has it.
        assert_eq!(permits.acquire(from("::ffff:10.0.0.1")).unwrap_err(), Full::Address);
        let others = [permits.acquire(from("10.0.0.2")), permits.acquire(None), permits.acquire(None)];
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(permits.acquire(from("10.0.0.3")).unwrap_err(), Full::Server);
        drop(taken);
        assert!(permits.acquire(from("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_shares_one() {
        let permits = Permits::with_shares(5, 1);
        let _one = permits.acquire(from("2001:db8:0:1::1")).unwrap();
        assert_eq!(permits.acquire(from("2001:db8:0:1:ffff::2")).unwrap_err(), Full::Address);
        let _other = permits.acquire(from("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn an_address_that_has_left_is_forgotten() {
        let permits = Permits::with_shares(usize::MAX, 3);
        for _ in 0..3 {
            let taken: Vec<_> =
                (0..200).map(|engine| permits.acquire(from(&format!("10.0.0.{engine}")))).collect();
            assert_eq!(permits.shares().unwrap().lock().len(), 200);
            drop(taken);
            assert_eq!(permits.shares().unwrap().lock().len(), 0);
        }
        assert_eq!(permits.active(), 0);
    }
}
