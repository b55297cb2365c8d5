//! Buffers that the connections of a thread share. A connection has a transmit queue only while bytes wait in it, and a
//! receive buffer only during a turn.

use std::{
    cell::{Cell, RefCell},
    sync::{Mutex, PoisonError},
};

use ws_proto::{
    ReceiveBuffer, TransmitQueue,
    memory::{BufferPool, DEFAULT_RECEIVE_BUFFER},
};

/// Empty transmit queues kept per thread.
const MAX_SPARE_QUEUES: usize = 16;
/// Bytes that an empty queue keeps allocated. The rest is freed when the queue is returned.
const SPARE_QUEUE_CAPACITY: usize = 128 * 1024;

/// Boxed, because a connection boxes its queue to stay small; the box is reused too.
type SpareQueues = Vec<Box<TransmitQueue>>;

/// The pools of the threads that were not configured, so that any thread can trim them.
static DEFAULT_POOLS: Mutex<Vec<BufferPool>> = Mutex::new(Vec::new());

/// What the next turn takes. One variable, because each has a destructor, which is checked for at each use.
struct Buffers {
    receive: Cell<Option<Box<ReceiveBuffer>>>,
    /// The empty queue that was returned last.
    queue: Cell<Option<Box<TransmitQueue>>>,
    queues: RefCell<SpareQueues>,
}

thread_local! {
    static BUFFERS: Buffers = const {
        Buffers { receive: Cell::new(None), queue: Cell::new(None), queues: RefCell::new(Vec::new()) }
    };
    static POOL: RefCell<Option<BufferPool>> = const { RefCell::new(None) };
}

/// Sets the size of this thread's receive buffer and the pool for its large messages. Call it before the thread's first
/// connection. The defaults are 128 KiB and [`BufferPool::default`].
pub fn configure_thread(receive_buffer: usize, pool: BufferPool) {
    POOL.set(Some(pool.clone()));
    let buffer = Box::new(ReceiveBuffer::new(receive_buffer, pool));
    BUFFERS.with(|buffers| buffers.receive.set(Some(buffer)));
}

/// Frees the buffers for large messages that this thread has not needed lately ([`BufferPool::trim`]).
pub fn trim_thread_pool() {
    POOL.with_borrow(|pool| pool.iter().for_each(BufferPool::trim));
}

/// Does the same as [`trim_thread_pool`] for all threads that were not configured.
pub fn trim_default_pools() {
    let mut pools = DEFAULT_POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // Removes the pools of threads that have ended.
    pools.retain(|pool| !pool.is_unshared());
    pools.iter().for_each(BufferPool::trim);
}

/// The thread's receive buffer, lent for one or more successive turns.
///
/// If a callback of the application polls another connection during a turn, that connection gets a new buffer.
#[derive(Debug)]
pub struct ReceiveLease {
    rx: Option<Box<ReceiveBuffer>>,
    /// A transmit queue for short turns, which follow one another.
    queue: Option<Box<TransmitQueue>>,
}

impl ReceiveLease {
    /// Takes the buffer of this thread.
    #[must_use]
    pub fn take() -> Self {
        Self {
            rx: Some(BUFFERS.with(|buffers| buffers.receive.take()).unwrap_or_else(new_receive_buffer)),
            queue: None,
        }
    }

    /// Ends a connection's turn, so that the next connection can use the buffer.
    #[inline]
    pub fn end_turn(&mut self) {
        self.release_assembled();
        if !self.is_empty() {
            // After a panic in a callback, bytes of that connection are left; the next one must not see them.
            self.rx = Some(new_receive_buffer());
        }
    }

    /// Takes an empty transmit queue for a short turn.
    #[inline]
    pub(crate) fn take_queue(&mut self) -> Box<TransmitQueue> {
        self.queue.take().unwrap_or_else(take_queue)
    }

    /// Returns the queue after a short turn; it must be empty.
    #[inline]
    pub(crate) fn put_queue(&mut self, queue: Box<TransmitQueue>) {
        debug_assert!(queue.is_empty() && !queue.has_spent());
        if let Some(other) = self.queue.replace(queue) {
            put_queue(other);
        }
    }
}

impl std::ops::Deref for ReceiveLease {
    type Target = ReceiveBuffer;

    #[inline]
    fn deref(&self) -> &ReceiveBuffer {
        self.rx.as_deref().expect("present until drop")
    }
}

impl std::ops::DerefMut for ReceiveLease {
    #[inline]
    fn deref_mut(&mut self) -> &mut ReceiveBuffer {
        self.rx.as_deref_mut().expect("present until drop")
    }
}

impl Drop for ReceiveLease {
    fn drop(&mut self) {
        self.end_turn();
        if let Some(queue) = self.queue.take() {
            put_queue(queue);
        }
        if let Some(other) = BUFFERS.with(|buffers| buffers.receive.replace(self.rx.take())) {
            drop_buffer(other);
        }
    }
}

/// Drops the buffer of a connection that was polled in the turn of another one.
#[cold]
fn drop_buffer(buffer: Box<ReceiveBuffer>) {
    drop(buffer);
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

/// Takes an empty transmit queue.
#[inline]
pub(crate) fn take_queue() -> Box<TransmitQueue> {
    BUFFERS.with(|buffers| buffers.queue.take()).unwrap_or_else(take_spare_queue)
}

#[cold]
fn take_spare_queue() -> Box<TransmitQueue> {
    BUFFERS.with(|buffers| buffers.queues.borrow_mut().pop()).unwrap_or_else(new_queue)
}

fn new_queue() -> Box<TransmitQueue> {
    let mut queue = Box::<TransmitQueue>::default();
    // The driver drops spent payloads while this thread holds no lock.
    queue.keep_spent(true);
    queue
}

/// Returns a queue, which must be empty.
#[inline]
pub(crate) fn put_queue(mut queue: Box<TransmitQueue>) {
    debug_assert!(queue.is_empty() && !queue.has_spent());
    queue.shrink_to(SPARE_QUEUE_CAPACITY);
    if let Some(before) = BUFFERS.with(|buffers| buffers.queue.replace(Some(queue))) {
        put_spare_queue(before);
    }
}

#[cold]
fn put_spare_queue(queue: Box<TransmitQueue>) {
    BUFFERS.with(|buffers| {
        let mut queues = buffers.queues.borrow_mut();
        if queues.len() < MAX_SPARE_QUEUES - 1 {
            queues.push(queue);
        }
    });
}
