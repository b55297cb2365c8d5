//! Buffers that the connections of a thread share. A connection has a transmit queue only while bytes wait in it, and a
//! receive buffer only during a turn.

use std::{
    cell::{Cell, OnceCell, RefCell},
    sync::{Arc, Mutex, PoisonError},
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
    /// The size of both receive buffers.
    size: Cell<usize>,
    /// Another one, if one was needed while the first was lent.
    spare: Cell<Option<Box<ReceiveBuffer>>>,
    /// Shared with the run of messages that a buffer of this thread is lent to, if there is one.
    lent: OnceCell<Arc<()>>,
    /// The empty queue that was returned last.
    queue: Cell<Option<Box<TransmitQueue>>>,
    queues: RefCell<SpareQueues>,
}

thread_local! {
    static BUFFERS: Buffers = const {
        Buffers {
            receive: Cell::new(None),
            size: Cell::new(DEFAULT_RECEIVE_BUFFER),
            spare: Cell::new(None),
            lent: OnceCell::new(),
            queue: Cell::new(None),
            queues: RefCell::new(Vec::new()),
        }
    };
    static POOL: RefCell<Option<BufferPool>> = const { RefCell::new(None) };
}

/// Sets the size of this thread's receive buffer and the pool for its large messages. Call it before the thread's first
/// connection. The defaults are 128 KiB and [`BufferPool::default`].
pub fn configure_thread(receive_buffer: usize, pool: BufferPool) {
    POOL.set(Some(pool.clone()));
    let buffer = Box::new(ReceiveBuffer::new(receive_buffer, pool));
    BUFFERS.with(|buffers| {
        buffers.receive.set(Some(buffer));
        buffers.size.set(receive_buffer);
    });
}

/// Frees the buffers for large messages that this thread has not needed lately ([`BufferPool::trim`]), and its second
/// receive buffer.
pub fn trim_thread_pool() {
    BUFFERS.with(|buffers| buffers.spare.take());
    POOL.with_borrow(|pool| pool.iter().for_each(BufferPool::trim));
}

/// Frees the buffers for large messages that the threads which were not configured have not needed lately.
pub fn trim_default_pools() {
    let mut pools = DEFAULT_POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // Removes the pools of threads that have ended.
    pools.retain(|pool| !pool.is_unshared());
    pools.iter().for_each(BufferPool::trim);
}

/// The thread's receive buffer, lent for one or more successive turns.
///
/// If a callback of the application polls another connection during a turn, that connection gets the
/// thread's second buffer, or a new one.
#[derive(Debug)]
pub struct ThreadReceiveBuffer {
    rx: Option<Box<ReceiveBuffer>>,
    /// A transmit queue for fast turns, which follow one another.
    queue: Option<Box<TransmitQueue>>,
}

impl ThreadReceiveBuffer {
    /// Takes the buffer of this thread.
    #[must_use]
    pub fn take() -> Self {
        Self {
            rx: Some(BUFFERS.with(|buffers| buffers.receive.take()).unwrap_or_else(take_spare_buffer)),
            queue: None,
        }
    }

    /// Takes the buffer out, for a run of messages that are in it.
    pub(crate) fn into_buffer(mut self) -> Option<Box<ReceiveBuffer>> {
        self.rx.take()
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

    /// Takes an empty transmit queue for a fast turn.
    #[inline]
    pub(crate) fn take_queue(&mut self) -> Box<TransmitQueue> {
        self.queue.take().unwrap_or_else(take_queue)
    }

    /// Returns the queue after a fast turn; it must be empty.
    #[inline]
    pub(crate) fn put_queue(&mut self, queue: Box<TransmitQueue>) {
        debug_assert!(queue.is_empty() && !queue.has_spent());
        if let Some(other) = self.queue.replace(queue) {
            put_queue(other);
        }
    }
}

impl std::ops::Deref for ThreadReceiveBuffer {
    type Target = ReceiveBuffer;

    #[inline]
    fn deref(&self) -> &ReceiveBuffer {
        self.rx.as_deref().expect("present until drop")
    }
}

impl std::ops::DerefMut for ThreadReceiveBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut ReceiveBuffer {
        self.rx.as_deref_mut().expect("present until drop")
    }
}

impl Drop for ThreadReceiveBuffer {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            put_queue(queue);
        }
        if self.rx.is_none() {
            return;
        }
        self.end_turn();
        if let Some(other) = BUFFERS.with(|buffers| buffers.receive.replace(self.rx.take())) {
            keep_spare_buffer(other);
        }
    }
}

/// The right to lend the buffer of a thread to a run of messages, which may outlive the turn. A thread has one, so that
/// functions that wait with such messages keep one buffer per thread at most.
#[derive(Debug)]
pub(crate) struct LendPermit(Arc<()>);

impl LendPermit {
    /// Takes the permit of this thread. `None` if it is taken.
    #[inline]
    pub(crate) fn take() -> Option<Self> {
        BUFFERS.with(|buffers| {
            let permit = buffers.lent.get_or_init(Arc::default);
            (Arc::strong_count(permit) == 1).then(|| Self(Arc::clone(permit)))
        })
    }

    /// Returns the permit and the buffer. On another thread than that of the permit, the buffer is dropped: that thread
    /// has its own, perhaps of another size.
    pub(crate) fn give_back(self, rx: Box<ReceiveBuffer>) {
        let is_home =
            |buffers: &Buffers| buffers.lent.get().is_some_and(|permit| Arc::ptr_eq(permit, &self.0));
        // Fails only while the thread exits.
        if BUFFERS.try_with(is_home).unwrap_or(false) {
            drop(ThreadReceiveBuffer { rx: Some(rx), queue: None });
        }
    }
}

/// Keeps a buffer that was needed while the thread's was in use.
#[cold]
fn keep_spare_buffer(buffer: Box<ReceiveBuffer>) {
    drop(BUFFERS.with(|buffers| buffers.spare.replace(Some(buffer))));
}

#[cold]
fn take_spare_buffer() -> Box<ReceiveBuffer> {
    BUFFERS.with(|buffers| buffers.spare.take()).unwrap_or_else(new_receive_buffer)
}

fn new_receive_buffer() -> Box<ReceiveBuffer> {
    let pool = POOL.with_borrow_mut(|pool| pool.get_or_insert_with(new_default_pool).clone());
    Box::new(ReceiveBuffer::new(BUFFERS.with(|buffers| buffers.size.get()), pool))
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

#[cfg(test)]
mod tests {
    use std::{ptr::from_ref, thread};

    use super::*;

    fn address(rx: &ReceiveBuffer) -> usize {
        from_ref(rx).addr()
    }

    fn lend() -> (Box<ReceiveBuffer>, LendPermit) {
        let permit = LendPermit::take().unwrap();
        (ThreadReceiveBuffer::take().into_buffer().unwrap(), permit)
    }

    #[test]
    fn a_thread_lends_one_buffer_at_a_time_and_continues_with_another() {
        let (rx, permit) = lend();
        let lent = address(&rx);
        assert!(LendPermit::take().is_none());
        let other = ThreadReceiveBuffer::take();
        assert_ne!(address(&other), lent);
        drop(other);
        permit.give_back(rx);
        assert_eq!(address(&ThreadReceiveBuffer::take()), lent);
        assert!(LendPermit::take().is_some());
    }

    /// Needs two buffers at a time. Returns where the second one is.
    fn need_two() -> usize {
        let (rx, permit) = lend();
        let second = address(&ThreadReceiveBuffer::take());
        permit.give_back(rx);
        second
    }

    #[test]
    fn the_second_buffer_is_kept_for_the_next_time_until_it_is_trimmed() {
        let second = need_two();
        assert_eq!(need_two(), second);
        trim_thread_pool();
        assert!(BUFFERS.with(|buffers| buffers.spare.take()).is_none());
    }

    #[test]
    fn a_second_buffer_is_as_large_as_the_first() {
        configure_thread(4096, BufferPool::default());
        let (rx, permit) = lend();
        assert_eq!((rx.size(), ThreadReceiveBuffer::take().size()), (4096, 4096));
        drop((rx, permit));
        trim_thread_pool();
        assert_eq!(ThreadReceiveBuffer::take().size(), 4096);
    }

    #[test]
    fn a_buffer_that_comes_back_on_another_thread_is_dropped_there_and_the_permit_is_free_again() {
        let (rx, permit) = lend();
        thread::spawn(move || {
            let own = address(&ThreadReceiveBuffer::take());
            permit.give_back(rx);
            assert_eq!(address(&ThreadReceiveBuffer::take()), own);
        })
        .join()
        .unwrap();
        assert!(LendPermit::take().is_some());
    }

    #[test]
    fn a_buffer_with_unprocessed_bytes_does_not_come_back() {
        let (mut rx, permit) = lend();
        let lent = address(&rx);
        let config = ws_proto::Config::default().validate().unwrap();
        let now = std::time::Instant::now();
        ws_proto::Connection::server(config, now).receive(b"bytes", now, &mut rx);
        assert!(!rx.is_empty());
        permit.give_back(rx);
        let next = ThreadReceiveBuffer::take();
        assert!(next.is_empty() && address(&next) != lent);
    }
}
