//! Streams that move to another runtime.

use std::{io, net};

#[cfg(unix)]
use std::os::unix;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::{Kind, ServerStream};

/// A stream that left the runtime in which it was made, as far as its kind can.
pub(crate) enum Detached {
    Tcp(net::TcpStream),
    #[cfg(unix)]
    Unix(unix::net::UnixStream),
    /// It is still registered with the runtime in which it was made.
    Other(ServerStream),
}

impl ServerStream {
    /// Deregisters a plain socket from its runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self.0 {
            Kind::Tcp(stream) => stream.into_std().map(Detached::Tcp),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.into_std().map(Detached::Unix),
            #[cfg(target_os = "linux")]
            Kind::Reactor(socket, epoll) => Ok(Detached::Tcp(socket.leave(&epoll))),
            #[cfg(target_os = "linux")]
            Kind::Unregistered(stream) => Ok(Detached::Tcp(stream)),
            #[cfg(feature = "tls-core")]
            Kind::Tls(_) => Ok(Detached::Other(self)),
            Kind::Foreign(_) => Ok(Detached::Other(self)),
        }
    }
}

impl Detached {
    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(on),
            #[cfg(feature = "tls-core")]
            Self::Other(ServerStream(Kind::Tls(stream))) => stream.io().set_nodelay(on),
            _ => Ok(()),
        }
    }

    /// Registers a plain socket with the runtime of this thread.
    pub(crate) fn attach(self) -> io::Result<ServerStream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(ServerStream::from),
            #[cfg(unix)]
            Self::Unix(stream) => UnixStream::from_std(stream).map(ServerStream::from),
            Self::Other(stream) => Ok(stream),
        }
    }
}
