//! The cost of an attack for the server: processor time and memory, without those of the attacker.

mod allocator;
mod cpu;

pub(crate) use allocator::{Memory, fail_from};
pub(crate) use cpu::{Cpu, micros, spend, thread_time};

/// Marks this thread as the attacker's. Its processor time and memory do not count as the server's.
pub(crate) fn mark_as_attacker() {
    allocator::mark_outside();
}
