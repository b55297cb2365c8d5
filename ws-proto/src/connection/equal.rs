//! Streams of messages of equal length, such as the chunks of a file: a read ends with a message.
//!
//! A message that a read cuts in two is copied: its first part until the next read, and then the second part behind it.
//! If the messages of the latest run were equally long, the next ones will most likely be so too. So the next read has
//! only room for whole messages of that length, behind the rest of the one that has begun. If the guess is wrong, the
//! read is a little shorter than it could be.

use crate::memory::ReceiveBuffer;

use super::Connection;

/// The fewest messages of a run from which the length of the next ones is guessed. A read has room for as many, so a
/// guess costs less than half of the window.
const SEVERAL: usize = 2;

impl Connection {
    /// Notes a run of messages of `len` bytes with their headers, of which the latest has `latest`. That all have the
    /// same length is a guess too. A connection of a server mostly has no place to note it.
    #[inline]
    pub(super) fn note_run(&mut self, len: usize, latest: usize) {
        if let Some(rare) = &mut self.rare
            && len > 0
        {
            let is_known = len >= SEVERAL * latest || latest == rare.equal_frames;
            let is_guess = is_known && len.is_multiple_of(latest);
            rare.equal_frames = if is_guess { latest } else { 0 };
        }
    }

    /// The most bytes to read, so that the read ends with a message.
    #[inline]
    pub(super) fn len_of_whole_messages(&self, rx: &mut ReceiveBuffer) -> usize {
        match &self.rare {
            Some(rare) if rare.equal_frames > 0 && !rx.is_large() => {
                self.len_of_whole_frames(rare.equal_frames, rx.spare_mut().len())
            }
            _ => usize::MAX,
        }
    }

    fn len_of_whole_frames(&self, frame: usize, room: usize) -> usize {
        let missing = self.partial.as_ref().map_or(0, |partial| match &partial.frame {
            Some(begun) => begun.remaining,
            None if partial.header.is_empty() => 0,
            None => frame.saturating_sub(partial.header.bytes().len()),
        });
        let whole = room.saturating_sub(missing) / frame;
        if whole < SEVERAL { room } else { missing + whole * frame }
    }
}
