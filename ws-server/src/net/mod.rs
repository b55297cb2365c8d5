//! Sockets: listeners, the transports of connections, TLS, and descriptors that the runtime watches.

#[cfg(target_os = "linux")]
pub(crate) mod async_fd;
#[cfg(target_os = "linux")]
pub(crate) mod epoll_socket;
mod io;
pub(crate) mod listener;
pub(crate) mod runtime;
pub(crate) mod stream;
#[cfg(feature = "tls-core")]
mod tls;
#[cfg(feature = "tls-core")]
mod tls_stream;

pub(crate) use io::Io;
pub use stream::ServerStream;
#[cfg(feature = "tls-core")]
pub use tls::Tls;
#[cfg(feature = "tls-core")]
pub use tls_stream::TlsStream;
