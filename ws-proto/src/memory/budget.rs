//! Memory that many connections share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::ConnectionError;

/// The most memory that connections may hold together: begun and held messages, messages being inflated, and what waits
/// to be written. Cloning gives another handle to the same budget; set it in
/// [`Config::memory_budget`](crate::Config::memory_budget).
///
/// Whoever wants more gets it while he would then hold no more than what was free before. So one connection alone gets
/// half of the budget at least, a hundred greedy ones a hundredth each, and something is always left for the next.
///
/// What it says no to:
/// - a message that grows: its connection is closed with 1013 ([`ConnectionError::MemoryBudget`]);
/// - a send behind other data that waits: `WriteBusy`. On a connection where nothing waits a message is accepted whatever
///   the budget says: its bytes are the application's already, and nothing else would tell when to try again.
///
/// What it does not count: less than 16 KiB on a connection, what waits for a transport that takes it, messages that the
/// application has, and the frames of a [`PreparedMessage`](crate::PreparedMessage), which many connections share.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// So little is not counted: most connections hold no more, for most of their time, and counting it would make them
    /// wait for one another.
    pub(crate) const SMALL: usize = 16 * 1024;

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, used: AtomicUsize::new(0) }))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// An account for memory of the application's own that is to count too.
    #[must_use]
    pub fn account(&self) -> MemoryAccount {
        MemoryAccount { budget: self.clone(), charge: Charge::default() }
    }

    /// Whether a holder of `held` bytes may have `more`.
    fn allows(&self, held: usize, more: usize, used: usize) -> bool {
        held.saturating_add(more) <= self.0.limit.saturating_sub(used)
    }
}

/// The same budget, not one of the same size.
impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MemoryBudget {}

/// One holder's part of a [`MemoryBudget`]; dropping it gives all back.
#[derive(Debug)]
pub struct MemoryAccount {
    budget: MemoryBudget,
    charge: Charge,
}

impl MemoryAccount {
    /// Says that `bytes` are held now, whatever the budget says to it.
    pub fn set(&mut self, bytes: usize) {
        self.charge.set(bytes, Some(&self.budget));
    }

    /// Whether so many bytes more may be held.
    #[must_use]
    pub fn allows(&self, more: usize) -> bool {
        self.charge.allows(more, Some(&self.budget))
    }
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What a holder is charged, in KiB; the budget is lent, so that it takes four bytes. Its owner sees that it is 0 in the
/// end.
#[derive(Debug, Default)]
pub(crate) struct Charge(u32);

impl Charge {
    const UNIT: usize = 1024;

    #[inline]
    pub(crate) const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    const fn bytes(&self) -> usize {
        self.0 as usize * Self::UNIT
    }

    /// Charges `held` bytes, and nothing for a little.
    pub(crate) fn set(&mut self, held: usize, budget: Option<&MemoryBudget>) {
        let Some(budget) = budget else { return };
        let due = if held < MemoryBudget::SMALL { 0 } else { units(held) };
        let used = &budget.0.used;
        match (due as usize * Self::UNIT).checked_sub(self.bytes()) {
            Some(0) => {}
            Some(more) => drop(used.fetch_add(more, Ordering::Relaxed)),
            None => drop(used.fetch_sub((self.0 - due) as usize * Self::UNIT, Ordering::Relaxed)),
        }
        self.0 = due;
    }

    /// Charges `more` bytes, if the budget allows it.
    pub(crate) fn grow(&mut self, more: usize, budget: Option<&MemoryBudget>) -> Result<(), ConnectionError> {
        let Some(budget) = budget else { return Ok(()) };
        if more == 0 || (self.is_zero() && more < MemoryBudget::SMALL) {
            return Ok(());
        }
        let due = units(more) as usize * Self::UNIT;
        let take = |used: usize| budget.allows(self.bytes(), due, used).then(|| used + due);
        match budget.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.0 += units(more);
                Ok(())
            }
            Err(_) => Err(ConnectionError::MemoryBudget),
        }
    }

    /// Whether the budget would allow `more` bytes.
    pub(crate) fn allows(&self, more: usize, budget: Option<&MemoryBudget>) -> bool {
        budget.is_none_or(|budget| budget.allows(self.bytes(), more, budget.used()))
    }
}

fn units(bytes: usize) -> u32 {
    let most = usize::MAX / Charge::UNIT;
    u32::try_from(bytes.div_ceil(Charge::UNIT).min(most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn grow(charge: &mut Charge, more: usize, budget: &MemoryBudget) -> bool {
        charge.grow(more, Some(budget)).is_ok()
    }

    #[test]
    fn one_holder_gets_two_thirds() {
        let budget = MemoryBudget::new(3000 * KIB);
        let mut charge = Charge::default();
        assert!(grow(&mut charge, 1000 * KIB, &budget));
        assert!(grow(&mut charge, 1000 * KIB, &budget));
        assert!(!grow(&mut charge, 16 * KIB, &budget));
        assert_eq!(budget.used(), 2000 * KIB);
        charge.set(0, Some(&budget));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn greedy_holders_leave_something_for_the_next() {
        const STEP: usize = 64 * KIB;
        let budget = MemoryBudget::new(64 * 1024 * KIB);
        let mut holders: Vec<Charge> = (0..100).map(|_| Charge::default()).collect();
        while holders.iter_mut().filter_map(|holder| holder.grow(STEP, Some(&budget)).ok()).count() > 0 {}
        assert!(budget.used() <= budget.limit());
        let least = holders.iter().map(Charge::bytes).min().unwrap();
        let most = holders.iter().map(Charge::bytes).max().unwrap();
        assert!(most - least <= STEP, "{least} {most}");
        assert!(grow(&mut Charge::default(), least / 2, &budget), "a new one gets something too");
    }

    #[test]
    fn a_little_is_not_counted() {
        let budget = MemoryBudget::new(1000 * KIB);
        let mut charge = Charge::default();
        charge.set(MemoryBudget::SMALL - 1, Some(&budget));
        assert!(grow(&mut charge, 100, &budget));
        assert_eq!(budget.used(), 0);
        charge.set(MemoryBudget::SMALL, Some(&budget));
        assert_eq!(budget.used(), MemoryBudget::SMALL);
        charge.set(10, Some(&budget));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_held_anyway_may_exceed_the_budget_and_then_nobody_gets_more() {
        let budget = MemoryBudget::new(100 * KIB);
        let mut account = budget.account();
        account.set(150 * KIB);
        assert_eq!(budget.used(), 150 * KIB);
        assert!(!account.allows(1));
        assert!(!grow(&mut Charge::default(), 16 * KIB, &budget));
        drop(account);
        assert_eq!(budget.used(), 0);
    }
}
