//! The `WebSocket` type on transports that exist only in memory, in virtual time.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

mod aborts;
mod after_our_close;
mod backpressure;
mod cancel_safety;
mod close_without_code;
mod closed;
mod constructors;
mod control_frames;
mod ending;
mod extreme_configs;
mod failed_writes;
mod failures_at_any_moment;
mod fast_path;
mod faulty_transport;
mod feeds;
mod feeds_of_slow_peers;
mod floods;
mod forwarding;
mod into_parts;
mod lent_buffers;
mod only_sending;
mod payload_destructors;
mod ping_rtt;
mod recv_event;
mod recv_ref;
mod recv_runs;
mod repeated_cancellation;
mod send_ref;
mod sender_sink;
mod senders;
mod server_half;
mod splitting;
mod stalls;
mod timers;
mod traits;
mod turns;
mod wakers;
mod websocket_in_another_task;
