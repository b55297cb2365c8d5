//! Buffers that all connections of a thread share. A connection holds a transmit queue only while bytes wait in it,
//! and never a receive buffer.

use std::{
    cell::{Cell, RefCell},
    sync::{Mutex, PoisonError},
};

use ws_proto::{BufferPool, DEFAULT_RECEIVE_BUFFER, ReceiveBuffer, TransmitQueue};

/// Empty transmit queues kept per thread.
const MAX_SPARE_QUEUES: usize = 16;
/// What an empty queue keeps allocated; more is released when it comes back.
const SPARE_QUEUE_CAPACITY: usize = 128 * 1024;

/// A connection holds its queue in a box, to stay small; the box is kept with the queue.
type SpareQueues = Vec<Box<TransmitQueue>>;

/// The pools of threads that nobody configured, so that what they keep can be given back from any of them.
static DEFAULT_POOLS: Mutex<Vec<BufferPool>> = Mutex::new(Vec::new());

thread_local! {
    static RECEIVE: Cell<Option<Box<ReceiveBuffer>>> = const { Cell::new(None) };
    static QUEUES: RefCell<SpareQueues> = const { RefCell::new(Vec::new()) };
    static POOL: RefCell<Option<BufferPool>> = const { RefCell::new(None) };
}

/// Sets the size of this thread's receive buffer and the pool for its large messages. Call it before the thread's
/// first connection; the defaults are 128 KiB and [`BufferPool::default`].
pub fn configure_thread(receive_buffer: usize, pool: BufferPool) {
    POOL.set(Some(pool.clone()));
    RECEIVE.set(Some(Box::new(ReceiveBuffer::new(receive_buffer, pool))));
}

/// Frees what nobody needed lately of this thread's buffers for large messages ([`BufferPool::trim`]).
pub fn trim_thread_pool() {
    POOL.with_borrow(|pool| pool.iter().for_each(BufferPool::trim));
}

/// The same for all threads that were not configured.
pub fn trim_default_pools() {
    let mut pools = DEFAULT_POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // Those of threads that have ended.
    pools.retain(|pool| !pool.is_unshared());
    pools.iter().for_each(BufferPool::trim);
}

/// The thread's receive buffer, for one turn of one connection, or for several turns one after the other.
///
/// Turns do not nest, but if application code should drive another connection from within a callback, that one
/// gets a fresh buffer.
pub struct ReceiveLease(Option<Box<ReceiveBuffer>>);

impl ReceiveLease {
    /// Takes the buffer.
    #[must_use]
    pub fn take() -> Self {
        Self(Some(RECEIVE.take().unwrap_or_else(new_receive_buffer)))
    }

    /// Ends a connection's turn, so that the buffer can serve the next one's.
    #[inline]
    pub fn end_turn(&mut self) {
        self.release_assembled();
        if !self.is_empty() {
            // A panic in a callback left bytes of that connection behind.
            self.0 = Some(new_receive_buffer());
        }
    }
}

impl std::ops::Deref for ReceiveLease {
    type Target = ReceiveBuffer;

    #[inline]
    fn deref(&self) -> &ReceiveBuffer {
        self.0.as_deref().expect("present until drop")
    }
}

impl std::ops::DerefMut for ReceiveLease {
    #[inline]
    fn deref_mut(&mut self) -> &mut ReceiveBuffer {
        self.0.as_deref_mut().expect("present until drop")
    }
}

impl Drop for ReceiveLease {
    fn drop(&mut self) {
        self.end_turn();
        RECEIVE.set(self.0.take());
    }
}

fn new_receive_buffer() -> Box<ReceiveBuffer> {
    let pool = POOL.with_borrow_mut(|pool| pool.get_or_insert_with(new_default_pool).clone());
    Box::new(ReceiveBuffer::new(DEFAULT_RECEIVE_BUFFER, pool))
}

fn new_default_pool() -> BufferPool {
    let pool = BufferPool::default();
    DEFAULT_POOLS.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
    pool
}

/// An empty transmit queue.
#[inline]
pub(crate) fn take_queue() -> Box<TransmitQueue> {
    QUEUES.with_borrow_mut(Vec::pop).unwrap_or_else(new_queue)
}

fn new_queue() -> Box<TransmitQueue> {
    let mut queue = Box::<TransmitQueue>::default();
    // The driver drops them, once this thread has no lock.
    queue.keep_spent(true);
    queue
}

/// Gives a queue back, which must be empty.
#[inline]
pub(crate) fn put_queue(mut queue: Box<TransmitQueue>) {
    debug_assert!(queue.is_empty() && !queue.has_spent());
    QUEUES.with_borrow_mut(|queues| {
        if queues.len() < MAX_SPARE_QUEUES {
            queue.shrink_to(SPARE_QUEUE_CAPACITY);
            queues.push(queue);
        }
    });
}
