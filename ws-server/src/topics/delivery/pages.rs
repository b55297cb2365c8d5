//! Records with stable indices, in pages.

/// No index.
pub(super) const NONE: u32 = u32::MAX;

const SHIFT: u32 = 10;
/// The records of a page.
const PAGE: usize = 1 << SHIFT;

/// A record of [`Pages`]. Its default is what a free place holds.
pub(super) trait Record: Default {
    /// A field that a free record does not use.
    fn link(&mut self) -> &mut u32;
}

/// Records by index. An index stays the record's until it is removed. The records lie in pages, so that growth copies
/// none of them and leaves no half of the memory unused. Pages without records are released.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Page<T>>,
    /// The pages that have memory and a free place.
    open: Vec<u32>,
    /// The pages without memory.
    vacant: Vec<u32>,
    /// The pages with a free place that keep their memory.
    kept: usize,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    records: Vec<T>,
    /// The list of free records.
    free: u32,
    used: u32,
    /// The place in `open`, or `NONE`.
    place: u32,
}

impl<T: Record> Pages<T> {
    pub(super) const fn new() -> Self {
        Self::keeping(1)
    }

    /// As [`new`](Self::new). The memory of up to `kept` pages is kept for the next records.
    pub(super) const fn keeping(kept: usize) -> Self {
        Self { pages: Vec::new(), open: Vec::new(), vacant: Vec::new(), kept, len: 0 }
    }

    /// Inserts a record. `None` if there are as many as an index can tell apart.
    pub(super) fn insert(&mut self, record: T) -> Option<u32> {
        self.insert_with(|_| record)
    }

    /// As [`insert`](Self::insert), with a record that is made for its index.
    #[inline]
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> Option<u32> {
        let number = match self.open.last() {
            Some(number) => *number,
            None => self.open_page()?,
        };
        let page = &mut self.pages[number as usize];
        let first = number << SHIFT;
        let index = match page.free {
            NONE => {
                let index = first | page.records.len() as u32;
                page.records.push(make(index));
                index
            }
            at => {
                let place = &mut page.records[at as usize];
                page.free = *place.link();
                *place = make(first | at);
                first | at
            }
        };
        page.used += 1;
        if page.used as usize == PAGE {
            page.place = NONE;
            self.open.pop();
        }
        self.len += 1;
        Some(index)
    }

    /// Removes a record that exists.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> T {
        let record = std::mem::take(&mut self[index]);
        self.free(index);
        record
    }

    /// As [`remove`](Self::remove), of a record that is not needed any more and may be read until the place is used
    /// again.
    #[inline]
    pub(super) fn free(&mut self, index: u32) {
        let number = index >> SHIFT;
        let page = &mut self.pages[number as usize];
        let at = index & (PAGE as u32 - 1);
        *page.records[at as usize].link() = page.free;
        page.free = at;
        page.used -= 1;
        self.len -= 1;
        if page.place == NONE {
            page.place = self.open.len() as u32;
            self.open.push(number);
        } else if page.used == 0 && self.open.len() > self.kept {
            self.release(number);
        }
    }

    /// The record at an index below all that were ever returned.
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.pages.get((index >> SHIFT) as usize)?.records.get(index as usize & (PAGE - 1))
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut((index >> SHIFT) as usize)?.records.get_mut(index as usize & (PAGE - 1))
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[cold]
    fn open_page(&mut self) -> Option<u32> {
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.pages.len()).ok().filter(|number| *number < NONE >> SHIFT)?;
                self.pages.push(Page { records: Vec::new(), free: NONE, used: 0, place: NONE });
                number
            }
        };
        let page = &mut self.pages[number as usize];
        if number > 0 {
            // The first page grows as a vector does: a few records need little memory.
            page.records.reserve_exact(PAGE);
        }
        page.place = self.open.len() as u32;
        self.open.push(number);
        Some(number)
    }

    /// Releases the memory of an open page without records.
    #[cold]
    fn release(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        page.records = Vec::new();
        page.free = NONE;
        let place = std::mem::replace(&mut page.place, NONE);
        self.open.swap_remove(place as usize);
        if let Some(moved) = self.open.get(place as usize) {
            self.pages[*moved as usize].place = place;
        }
        self.vacant.push(number);
    }
}

/// The record of an index that was returned and is not removed.
impl<T> std::ops::Index<u32> for Pages<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.pages[(index >> SHIFT) as usize].records[index as usize & (PAGE - 1)]
    }
}

impl<T> std::ops::IndexMut<u32> for Pages<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.pages[(index >> SHIFT) as usize].records[index as usize & (PAGE - 1)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Number {
        value: u64,
        link: u32,
    }

    impl Record for Number {
        fn link(&mut self) -> &mut u32 {
            &mut self.link
        }
    }

    fn number(value: u64) -> Number {
        Number { value, link: 0 }
    }

    impl<T> Pages<T> {
        /// Records for which there is memory.
        pub(in super::super) fn capacity(&self) -> usize {
            self.pages.iter().map(|page| page.records.capacity()).sum()
        }
    }

    proptest! {
        #[test]
        fn a_record_stays_at_its_index(steps in proptest::collection::vec((0..4_u8, 0..2000_usize), 1..60)) {
            let (mut pages, mut model) = (Pages::new(), HashMap::new());
            let mut next = 0;
            for (action, count) in steps {
                for _ in 0..count {
                    if action < 2 {
                        let index = pages.insert(number(next)).expect("few");
                        prop_assert_eq!(model.insert(index, next), None);
                        next += 1;
                    } else if let Some(index) = model.keys().next().copied() {
                        prop_assert_eq!(Some(pages.remove(index).value), model.remove(&index));
                    }
                }
                prop_assert_eq!(pages.len(), model.len());
            }
            for (index, value) in &model {
                prop_assert_eq!(pages[*index].value, *value);
            }
        }
    }

    #[test]
    fn memory_of_many_records_is_released() {
        let mut pages = Pages::new();
        let indices: Vec<u32> = (0..100_000).map(|value| pages.insert(number(value)).expect("few")).collect();
        assert!(pages.capacity() < 100_000 + 2 * PAGE, "{}", pages.capacity());
        for index in indices {
            pages.remove(index);
        }
        assert!(pages.capacity() <= PAGE, "{}", pages.capacity());
        assert_eq!(pages.len(), 0);
        pages.insert(number(0));
        assert!(pages.capacity() <= PAGE, "{}", pages.capacity());
    }

    #[test]
    fn a_single_record_takes_little_memory() {
        let mut pages = Pages::new();
        pages.insert(number(0));
        assert!(pages.capacity() <= 8, "{}", pages.capacity());
    }
}
