//! A table of a reactor's connections by their ids.

/// Entries per page.
const PAGE: usize = 64;

/// A table of numbered entries that grows and shrinks by pages. So ten thousand entries take neither ten thousand
/// allocations nor, as a vector that has just doubled, twice their memory.
#[derive(Debug)]
pub(super) struct ConnTable<T> {
    pages: Vec<Option<Page<T>>>,
    /// Pages that are never freed: those of the initial room.
    kept: usize,
}

#[derive(Debug)]
struct Page<T> {
    entries: Box<[Option<T>]>,
    used: usize,
}

impl<T> Page<T> {
    fn new() -> Self {
        Self { entries: (0..PAGE).map(|_| None).collect(), used: 0 }
    }
}

impl<T> ConnTable<T> {
    /// A table with room for `initial` entries, which is never freed.
    pub(super) fn new(initial: usize) -> Self {
        let kept = initial.div_ceil(PAGE);
        Self { pages: (0..kept).map(|_| Some(Page::new())).collect(), kept }
    }

    /// Inserts an entry. Returns the entry that had this number before.
    pub(super) fn insert(&mut self, number: u32, entry: T) -> Option<T> {
        let (page, at) = split(number);
        while self.pages.len() <= page {
            self.pages.push(None);
        }
        let page = self.pages[page].get_or_insert_with(Page::new);
        let before = page.entries[at].replace(entry);
        page.used += usize::from(before.is_none());
        before
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, at) = split(number);
        self.pages.get_mut(page)?.as_mut()?.entries[at].as_mut()
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let (at_page, at) = split(number);
        let page = self.pages.get_mut(at_page)?.as_mut()?;
        let entry = page.entries[at].take()?;
        page.used -= 1;
        if page.used == 0 && at_page >= self.kept {
            self.pages[at_page] = None;
        }
        Some(entry)
    }

    /// All entries, by number.
    pub(super) fn into_entries(self) -> impl Iterator<Item = T> {
        let pages = self.pages.into_iter().flatten();
        pages.flat_map(|page| page.entries.into_iter().flatten())
    }

    /// The end of the range of numbers that have room; all entries have smaller numbers.
    pub(super) fn end(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }
}

const fn split(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_number_until_they_are_removed() {
        let mut table = ConnTable::new(0);
        for number in [0, 63, 64, 1000] {
            assert_eq!(table.insert(number, number), None);
        }
        assert_eq!(table.end(), 1024);
        for number in [0, 63, 64, 1000] {
            assert_eq!(table.get_mut(number), Some(&mut { number }));
        }
        for absent in [1, 65, 500, 5000] {
            assert_eq!(table.get_mut(absent), None);
            assert_eq!(table.remove(absent), None);
        }
        assert_eq!(table.insert(63, 7), Some(63));
        assert_eq!((table.remove(63), table.remove(63)), (Some(7), None));
        assert_eq!(table.get_mut(0), Some(&mut 0));
    }

    #[test]
    fn an_empty_page_is_freed_unless_it_belongs_to_the_initial_room() {
        let mut table = ConnTable::new(1);
        table.insert(0, 'z');
        table.remove(0);
        assert!(table.pages[0].is_some());
        for _ in 0..2 {
            table.insert(70, 'a');
            table.insert(71, 'b');
            table.insert(70, 'c');
            table.remove(70);
            assert!(table.pages[1].is_some());
            table.remove(71);
            assert!(table.pages[1].is_none());
        }
    }

    #[test]
    fn all_entries_come_out_in_order() {
        let mut table = ConnTable::new(64);
        for number in [500, 0, 70, 63] {
            table.insert(number, number);
        }
        table.remove(70);
        assert_eq!(table.into_entries().collect::<Vec<_>>(), [0, 63, 500]);
    }
}
