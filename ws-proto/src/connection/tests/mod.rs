//! Tests of the state machine against RFC 6455, by topic. They use no clock and no socket.

mod assertions;
mod endpoint;
mod wire;

mod backpressure;
#[cfg(feature = "deflate")]
mod blocks;
mod byte_by_byte;
mod close_and_receive;
mod close_behind_data;
mod closing;
mod completions;
#[cfg(feature = "deflate")]
mod compression;
mod control;
mod disconnect;
mod equal_messages;
mod extremes;
mod failed_writes;
mod fragmentation;
mod framing;
mod held_control;
mod held_end;
mod keepalive;
mod large_messages;
mod large_sends;
mod lent_runs;
mod limits;
mod memory;
mod memory_budget;
mod message_timeout;
mod pause;
mod properties;
mod recorder;
mod reference_decoder;
mod round_trip;
mod runs;
mod send_queue;
mod set_aside;
mod spent;
mod splits;
mod stats;
#[cfg(feature = "deflate")]
mod stats_compression;
mod stats_ends;
mod stats_fields;
mod timers;
mod utf8;
