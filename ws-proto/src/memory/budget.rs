//! A memory budget that many connections share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::ConnectionError;

/// The most memory that connections may hold together: partial and held messages, messages being inflated, and bytes
/// that wait to be written. Cloning gives another handle to the same budget. Set it in
/// [`ValidConfig::with_memory_budget`](crate::ValidConfig::with_memory_budget).
///
/// A connection may grow only if its new total does not exceed the memory that was free beforehand. So a single
/// connection can use at least half of the budget, a hundred connections that all want more get about a hundredth
/// each, and some memory is always left for the next connection.
///
/// What it refuses:
/// - a message that grows: its connection is closed with 1013 ([`ConnectionError::MemoryBudget`]);
/// - a send behind other data that waits: it gets `Full`. On a connection where nothing waits, a message is
///   always accepted: its bytes belong to the application already, and no event would signal when to try again.
///
/// What it does not count: less than 16 KiB on a connection, bytes that wait while the transport accepts data,
/// messages that the application owns, and the frames of a [`PreparedMessage`](crate::PreparedMessage), which many
/// connections share.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// Less than this, in bytes, is not counted. Most connections hold no more most of the time, and counting it
    /// would make their threads contend for the counter.
    pub const SMALL: usize = 16 * 1024;

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, used: AtomicUsize::new(0) }))
    }

    /// The budget's size, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that are charged at the moment.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Creates an account for memory of the application that should count against the budget too.
    #[must_use]
    pub fn account(&self) -> MemoryAccount {
        MemoryAccount { budget: self.clone(), charge: Charge::default() }
    }

    /// Whether a message of `len` bytes may wait behind `waiting` bytes. `allows`: whether the budget has a share for
    /// it; only asked if that matters.
    #[doc(hidden)]
    #[inline]
    pub fn has_room(len: usize, waiting: usize, allows: impl FnOnce() -> bool) -> bool {
        len == 0 || waiting == 0 || waiting.saturating_add(len) < Self::SMALL || allows()
    }

    /// Whether a holder of `held` bytes may hold `more` bytes in addition.
    fn allows(&self, held: usize, more: usize, used: usize) -> bool {
        held.saturating_add(more) <= self.0.limit.saturating_sub(used)
    }
}

/// Compares identity: two budgets of the same size are not equal.
impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MemoryBudget {}

/// One holder's charge against a [`MemoryBudget`]. Dropping it releases the charge.
#[derive(Debug)]
pub struct MemoryAccount {
    budget: MemoryBudget,
    charge: Charge,
}

impl MemoryAccount {
    /// Charges a holder of `held` bytes to the `budget`. The account exists only while the bytes are counted, so small
    /// amounts do not touch the counter that all holders share. Without a budget, there is no new account.
    #[doc(hidden)]
    #[inline]
    pub fn update(account: &mut Option<Self>, budget: Option<&MemoryBudget>, held: usize) {
        if account.is_some() || held >= MemoryBudget::SMALL {
            Self::change(account, budget, held);
        }
    }

    fn change(account: &mut Option<Self>, budget: Option<&MemoryBudget>, held: usize) {
        if held < MemoryBudget::SMALL {
            *account = None;
        } else if let Some(account) = account {
            account.set(held);
        } else if let Some(budget) = budget {
            account.insert(budget.account()).set(held);
        }
    }

    /// Sets the charge to `bytes`, even if that exceeds the budget.
    pub fn set(&mut self, bytes: usize) {
        self.charge.set(bytes, Some(&self.budget));
    }

    /// Whether `more` bytes may be held in addition.
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

/// A holder's charge, in KiB. The budget is passed to each call, so the charge takes four bytes. The owner sets it to
/// 0 at the end.
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

    /// Charges `held` bytes, or nothing if they are fewer than [`MemoryBudget::SMALL`].
    pub(crate) fn set(&mut self, held: usize, budget: Option<&MemoryBudget>) {
        let Some(budget) = budget else { return };
        let due = units_due(held);
        let used = &budget.0.used;
        match (due as usize * Self::UNIT).checked_sub(self.bytes()) {
            Some(0) => {}
            Some(more) => drop(used.fetch_add(more, Ordering::Relaxed)),
            None => drop(used.fetch_sub((self.0 - due) as usize * Self::UNIT, Ordering::Relaxed)),
        }
        self.0 = due;
    }

    /// Whether `held` bytes are charged as [`set`](Self::set) charges them.
    pub(crate) fn is_for(&self, held: usize) -> bool {
        self.0 == units_due(held)
    }

    /// Charges `more` bytes if the budget allows it.
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

/// What to charge for `held` bytes.
fn units_due(held: usize) -> u32 {
    if held < MemoryBudget::SMALL { 0 } else { units(held) }
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
    fn a_single_holder_gets_two_thirds() {
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
    fn greedy_holders_leave_memory_for_the_next() {
        const STEP: usize = 64 * KIB;
        let budget = MemoryBudget::new(64 * 1024 * KIB);
        let mut holders: Vec<Charge> = (0..100).map(|_| Charge::default()).collect();
        while holders.iter_mut().filter_map(|holder| holder.grow(STEP, Some(&budget)).ok()).count() > 0 {}
        assert!(budget.used() <= budget.limit());
        let least = holders.iter().map(Charge::bytes).min().unwrap();
        let most = holders.iter().map(Charge::bytes).max().unwrap();
        assert!(most - least <= STEP, "{least} {most}");
        assert!(grow(&mut Charge::default(), least / 2, &budget), "a new holder gets a share too");
    }

    #[test]
    fn small_amounts_are_not_counted() {
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
    fn an_account_may_exceed_the_budget_and_then_no_holder_grows() {
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
