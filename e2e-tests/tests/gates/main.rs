//! Gates that do not depend on the machine's speed: what a message costs in allocations, and what a connection takes.
//!
//! System calls are counted in `ws-server`'s own tests, on a transport that sees every one of them.

mod client;
mod counting;
mod server;
mod waiting;

#[test]
fn a_connection_is_small() {
    let size = size_of::<ws_proto::Connection>();
    println!("a connection's state machine: {size} bytes");
    assert!(size <= 128, "{size}");
}
