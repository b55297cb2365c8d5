//! Tests that count and do not depend on the machine's speed: allocations per message and
//! delivery, and memory per connection, membership and topic.
//!
//! `ws-server`'s own tests count system calls, on a transport that records each of them.

#[cfg(target_os = "linux")]
mod adoption;
mod client;
mod counting;
mod idle;
mod server;
mod topics;
mod waiting;

#[test]
fn a_connection_is_small() {
    let size = size_of::<ws_proto::Connection>();
    println!("a connection's state machine: {size} bytes");
    assert!(size <= 128, "{size}");
}
