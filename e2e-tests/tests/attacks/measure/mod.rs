//! What an attack costs the server: processor time and memory, without the attacker's own.

mod allocator;
mod cpu;

pub(crate) use allocator::{Memory, fail_from};
pub(crate) use cpu::{Cpu, micros, spend, thread_time};

/// From here on this thread is the attacker's, or anybody else's but the server's.
pub(crate) fn on_the_outside() {
    allocator::mark_outside();
}
