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
use ws_tokio::guarded;

/// Places of one kind, or one address's share of them.
#[derive(Debug)]
pub(crate) struct Slots {
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
    Share { network: Network, all: Arc<Slots> },
}

/// The shares of the addresses that have places, none larger than `max`.
#[derive(Debug)]
struct Shares {
    max: usize,
    by_network: Mutex<HashMap<Network, Arc<Slots>>>,
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

impl Slots {
    /// So many places, and so many of them for one address.
    pub(crate) fn with_shares(max: usize, per_address: usize) -> Arc<Self> {
        let shares = (per_address < max).then(|| Shares { max: per_address, by_network: Mutex::default() });
        Self::of(max, Kind::All { empty: Notify::new(), shares })
    }

    fn of(max: usize, kind: Kind) -> Arc<Self> {
        Arc::new(Self { active: AtomicUsize::new(0), max, kind })
    }

    /// Takes a place, for a peer that may have an address.
    pub(crate) fn take(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<Slot, Full> {
        match self.shares().zip(peer) {
            Some((shares, peer)) => self.take_of_share(shares, Network::of(peer.ip())),
            None if self.count() => Ok(Slot(Arc::clone(self))),
            None => Err(Full::Server),
        }
    }

    fn take_of_share(self: &Arc<Self>, shares: &Shares, network: Network) -> Result<Slot, Full> {
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
        Ok(Slot(share))
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
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Arc<Slots>>> {
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives memory back once most of those who came at one time have left.
fn shrink(by_network: &mut HashMap<Network, Arc<Slots>>) {
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
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
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
        let slots = Slots::with_shares(2, usize::MAX);
        let (first, second) = (slots.take(None).unwrap(), slots.take(from("::1")).unwrap());
        assert_eq!(slots.take(None).unwrap_err(), Full::Server);
        drop(first);
        let third = slots.take(None).unwrap();
        assert_eq!(slots.active(), 2);
        drop((second, third));
        slots.wait_empty().await;
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_place_is_freed() {
        let slots = Slots::with_shares(3, 1);
        let slot = slots.take(from("10.0.0.1")).unwrap();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.wait_empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
    }

    #[test]
    fn an_address_has_no_more_than_its_share() {
        let slots = Slots::with_shares(5, 2);
        let taken: Vec<_> = (0..2).map(|_| slots.take(from("10.0.0.1")).unwrap()).collect();
        assert_eq!(slots.take(from("10.0.0.1")).unwrap_err(), Full::Address);
        // The same address, as a socket for both families has it.
        assert_eq!(slots.take(from("::ffff:10.0.0.1")).unwrap_err(), Full::Address);
        let others = [slots.take(from("10.0.0.2")), slots.take(None), slots.take(None)];
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(slots.take(from("10.0.0.3")).unwrap_err(), Full::Server);
        drop(taken);
        assert!(slots.take(from("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_shares_one() {
        let slots = Slots::with_shares(5, 1);
        let _one = slots.take(from("2001:db8:0:1::1")).unwrap();
        assert_eq!(slots.take(from("2001:db8:0:1:ffff::2")).unwrap_err(), Full::Address);
        let _other = slots.take(from("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn an_address_that_has_left_is_forgotten() {
        let slots = Slots::with_shares(usize::MAX, 3);
        for _ in 0..3 {
            let taken: Vec<_> = (0..200).map(|host| slots.take(from(&format!("10.0.0.{host}")))).collect();
            assert_eq!(slots.shares().unwrap().lock().len(), 200);
            drop(taken);
            assert_eq!(slots.shares().unwrap().lock().len(), 0);
        }
        assert_eq!(slots.active(), 0);
    }
}
