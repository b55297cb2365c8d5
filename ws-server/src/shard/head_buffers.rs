use std::sync::{Mutex, PoisonError};

/// Most requests fit into this many bytes.
const BUFFER_SIZE: usize = 1024;

/// Buffers for request heads. A handshake needs one for a short time, so they are reused.
pub(crate) struct HeadBuffers {
    unused: Mutex<Vec<Vec<u8>>>,
    keep: usize,
}

impl HeadBuffers {
    pub(crate) fn new(initial: usize) -> Self {
        let unused = (0..initial).map(|_| Vec::with_capacity(BUFFER_SIZE)).collect();
        Self { unused: Mutex::new(unused), keep: initial }
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        let unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner).pop();
        unused.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    /// Keeps a buffer for reuse, unless there are enough or it has grown beyond twice the usual size.
    pub(crate) fn put_back(&self, mut buffer: Vec<u8>) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < self.keep && (BUFFER_SIZE..=2 * BUFFER_SIZE).contains(&buffer.capacity()) {
            buffer.clear();
            unused.push(buffer);
        }
    }
}
