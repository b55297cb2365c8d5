//! Ports for programs that cannot choose a free one themselves, and for servers that are started again.

use std::{
    net::TcpListener,
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the ports that Linux chooses for sockets, so no other socket gets one of these in the meantime.
const PORTS: Range<u32> = 20_000..32_000;

/// A port that is free now. A process gets each port once, and processes begin at different ones.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_port() -> u16 {
    free_port_of(PORTS, |_| true)
}

/// The same, of these ports, for which `suits` holds. They should be below those that Linux chooses.
///
/// # Panics
/// When none of them is free and suits.
#[must_use]
pub fn free_port_of(ports: Range<u32>, suits: impl Fn(u16) -> bool) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = ports.end - ports.start;
    // Each try takes a number, so that no other call in this process gets the same port.
    let mut tries = (0..count).map(|_| {
        let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        (ports.start + number % count) as u16
    });
    tries.find(|port| is_free(*port) && suits(*port)).expect("a free port")
}

/// Whether nothing listens on this port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
