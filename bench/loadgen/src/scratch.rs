//! The buffer for all reads and writes.

use std::ops::{Deref, DerefMut};

const SIZE: usize = 256 * 1024;
const PAGE: usize = 4096;

/// Starts half a page after the start of a page. Some processors copy slowly if source and target have certain
/// distances within a page, and the kernel's buffer mostly starts at a page. A slow generator would hide differences
/// between servers.
#[derive(Debug)]
pub(crate) struct Scratch {
    bytes: Box<[u8]>,
    start: usize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; SIZE + PAGE].into_boxed_slice();
        let start = (PAGE / 2).wrapping_sub(bytes.as_ptr().addr()) % PAGE;
        Self { bytes, start }
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..SIZE]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..SIZE]
    }
}
