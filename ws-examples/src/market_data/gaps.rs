//! Finds missing numbers.

use std::ops::RangeInclusive;

/// The numbers of a feed.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    last: Option<u64>,
    missed: u64,
}

impl Sequence {
    /// Takes the next number. Returns the numbers that are missing before it. A number that is not above the last one
    /// is a fault of the server.
    pub(crate) fn next(&mut self, number: u64) -> Result<Option<RangeInclusive<u64>>, u64> {
        let gap = match self.last.replace(number) {
            Some(last) if number <= last => return Err(last),
            Some(last) if number > last + 1 => Some(last + 1..=number - 1),
            _ => None,
        };
        if let Some(gap) = &gap {
            self.missed += gap.end() - gap.start() + 1;
        }
        Ok(gap)
    }

    /// How many numbers are missing.
    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_reported_once_with_all_its_numbers() {
        let mut sequence = Sequence::default();
        let results = [7, 8, 10, 11, 20].map(|number| sequence.next(number));
        assert_eq!(results, [Ok(None), Ok(None), Ok(Some(9..=9)), Ok(None), Ok(Some(12..=19))]);
        assert_eq!(sequence.missed(), 9);
    }

    #[test]
    fn numbers_do_not_go_back() {
        let mut sequence = Sequence::default();
        assert_eq!([5, 5].map(|number| sequence.next(number)), [Ok(None), Err(5)]);
    }
}
