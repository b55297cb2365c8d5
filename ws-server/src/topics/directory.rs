//! The topics by name.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::topic::Topic;

/// The locks. A name belongs to one of them by its hash.
const PARTS: usize = 64;
/// Entries for which memory stays allocated in a part.
const FEW: usize = 16;

/// The topics by name. No lock of it is held while a topic is locked or dropped.
pub(super) struct Directory {
    hasher: RandomState,
    parts: Box<[RwLock<Part>]>,
    count: AtomicUsize,
    limit: usize,
}

type Part = HashMap<Arc<str>, Arc<Topic>>;

/// There are as many topics as may be.
#[derive(Debug)]
pub(super) struct DirectoryFull {
    pub(super) limit: usize,
}

impl Directory {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
            limit,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        read(self.part(name)).get(name).cloned()
    }

    /// The topic of this name, or a new one that `make` makes.
    pub(super) fn get_or_insert(
        &self,
        name: &str,
        make: impl FnOnce(Arc<str>) -> Topic,
    ) -> Result<Arc<Topic>, DirectoryFull> {
        let name: Arc<str> = Arc::from(name);
        let mut part = write(self.part(&name));
        match part.entry(name) {
            Entry::Occupied(entry) => Ok(Arc::clone(entry.get())),
            Entry::Vacant(entry) => {
                if self.count.fetch_add(1, Ordering::Relaxed) >= self.limit {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Err(DirectoryFull { limit: self.limit });
                }
                let topic = Arc::new(make(Arc::clone(entry.key())));
                Ok(Arc::clone(entry.insert(topic)))
            }
        }
    }

    /// Removes a topic that is freed. Another topic of the same name stays.
    pub(super) fn remove(&self, topic: &Arc<Topic>) {
        let mut part = write(self.part(&topic.name));
        if !part.get(&topic.name).is_some_and(|current| Arc::ptr_eq(current, topic)) {
            return;
        }
        let removed = part.remove(&topic.name);
        if part.capacity() > FEW && part.len() < part.capacity() / 4 {
            let len = part.len();
            part.shrink_to((len * 2).max(FEW));
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        drop(part);
        drop(removed);
    }

    /// All topics.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.parts.iter().flat_map(|part| read(part).values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Entries for which memory is allocated.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.parts.iter().map(|part| read(part).capacity()).sum()
    }

    fn part(&self, name: &str) -> &RwLock<Part> {
        // The remainder is in range.
        &self.parts[(self.hasher.hash_one(name) % PARTS as u64) as usize]
    }
}

fn read(part: &RwLock<Part>) -> RwLockReadGuard<'_, Part> {
    part.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(part: &RwLock<Part>) -> RwLockWriteGuard<'_, Part> {
    part.write().unwrap_or_else(PoisonError::into_inner)
}
