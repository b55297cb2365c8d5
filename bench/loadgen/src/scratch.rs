//! The buffer that everything is read into and written from.

use std::ops::{Deref, DerefMut};

const SIZE: usize = 256 * 1024;
const PAGE: usize = 4096;

/// Begins half a page behind a page's start: some processors copy at a fraction of their speed where source and target
/// lie at unlucky distances, and the kernel's side mostly begins where a page does. The generator's own slowness must
/// not hide differences between servers.
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
