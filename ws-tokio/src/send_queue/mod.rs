//! The state of a TCP socket's send queue.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::tcp_send_queue;
#[cfg(target_os = "linux")]
pub use linux::tcp_send_queue;
