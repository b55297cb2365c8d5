//! Listening sockets, TCP and Unix.

use std::{io, net::SocketAddr};

use tokio::net::{TcpSocket, ToSocketAddrs};

use crate::net::{runtime, stream::ServerStream};

/// Settings of a TCP listener.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) backlog: u32,
    /// `SO_REUSEPORT`, on the systems that have it.
    pub(crate) reuse_port: bool,
    /// `TCP_NODELAY` of the accepted sockets.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "accepted sockets inherit it on Linux only")
    )]
    pub(crate) nodelay: bool,
}

/// A listening socket that is not registered with a runtime yet.
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    /// As `Tcp`. On Linux, the sockets that it accepts have the right `TCP_NODELAY`.
    TcpWithNodelay(std::net::TcpListener),
    #[cfg(unix)]
    Unix(unix::Bound),
}

/// An accepted socket in non-blocking mode that is not registered with a runtime yet.
pub(crate) enum Incoming {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Incoming {
    /// Registers the socket with the runtime of this thread.
    pub(crate) fn into_stream(self) -> io::Result<ServerStream> {
        match self {
            Self::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(ServerStream::from),
            #[cfg(unix)]
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream).map(ServerStream::from),
        }
    }

    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(on),
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
        }
    }
}

impl Listener {
    /// Listens on the first address that works.
    pub(crate) async fn bind(addr: impl ToSocketAddrs, settings: Settings) -> io::Result<Self> {
        runtime::check()?;
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name resolves to no address");
        for addr in tokio::net::lookup_host(addr).await? {
            match runtime::register(|| listen_on(addr, settings)) {
                Ok(listener) => return Ok(Self::TcpWithNodelay(listener)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) | Self::TcpWithNodelay(listener) => listener.local_addr(),
            #[cfg(unix)]
            Self::Unix(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no network address"))
            }
        }
    }

    /// Registers the listener with the runtime of this thread. The kernel makes room for `expected` connections.
    pub(crate) fn start(self, expected: usize) -> io::Result<Accepting> {
        runtime::register(|| Accepting::new(self, expected))
    }
}

fn listen_on(addr: SocketAddr, settings: Settings) -> io::Result<std::net::TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Windows it would let two servers share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    if settings.reuse_port {
        set_reuse_port(&socket)?;
    }
    // On Linux, accepted sockets inherit it, which saves a system call for each of them.
    #[cfg(target_os = "linux")]
    socket.set_nodelay(settings.nodelay)?;
    socket.bind(addr)?;
    socket.listen(settings.backlog)?.into_std()
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
fn set_reuse_port(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseport(true)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))))]
fn set_reuse_port(_socket: &TcpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
pub(crate) use raw::Accepting;
#[cfg(not(target_os = "linux"))]
pub(crate) use registered::Accepting;

/// Accepts sockets without registering them. Most sockets belong to another runtime or to a reactor than the one that
/// accepts them, so tokio's registration would have to be undone.
#[cfg(target_os = "linux")]
mod raw {
    use std::{io, net::SocketAddr, os::fd::OwnedFd};

    use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
    use tokio::io::unix::AsyncFd;

    use super::{Incoming, Listener, unix};
    use crate::net::async_fd::watch;

    pub(crate) struct Accepting {
        socket: AsyncFd<OwnedFd>,
        unix: Option<unix::Bound>,
        has_nodelay: bool,
    }

    /// Makes the kernel enlarge this process's table of descriptors at the start. It would otherwise double the table
    /// again and again as connections arrive. In a process with several threads each doubling delays an accept by 10
    /// ms or more, because it waits until no processor uses the old table.
    fn widen_descriptor_table(any: &OwnedFd, expected: usize) {
        let mut target = i32::try_from(expected).unwrap_or(i32::MAX);
        // The call fails beyond the process's limit on descriptors.
        while target > 64 && rustix::io::fcntl_dupfd_cloexec(any, target - 1).is_err() {
            target /= 2;
        }
    }

    impl Accepting {
        pub(super) fn new(listener: Listener, expected: usize) -> io::Result<Self> {
            let has_nodelay = matches!(listener, Listener::TcpWithNodelay(_));
            let (socket, unix): (OwnedFd, _) = match listener {
                Listener::Tcp(listener) | Listener::TcpWithNodelay(listener) => (listener.into(), None),
                Listener::Unix(bound) => (bound.listener.try_clone()?.into(), Some(bound)),
            };
            let accepting = Self { socket: watch(socket)?, unix, has_nodelay };
            widen_descriptor_table(accepting.socket.get_ref(), expected);
            Ok(accepting)
        }

        /// Whether accepted sockets have the right `TCP_NODELAY` already.
        pub(crate) const fn has_nodelay(&self) -> bool {
            self.has_nodelay
        }

        /// # Cancel safety
        /// Cancel safe: no accepted socket is lost.
        pub(crate) async fn accept(&self) -> io::Result<(Incoming, Option<SocketAddr>)> {
            const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
            loop {
                let mut ready = self.socket.readable().await?;
                let accepted = ready.try_io(|socket| {
                    if self.unix.is_some() {
                        return Ok((Incoming::Unix(accept_with(socket, FLAGS)?.into()), None));
                    }
                    let (stream, peer) = acceptfrom_with(socket, FLAGS)?;
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    Ok((Incoming::Tcp(stream.into()), peer))
                });
                if let Ok(accepted) = accepted {
                    return accepted;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod registered {
    use std::{io, net::SocketAddr};

    use super::{Incoming, Listener};

    pub(crate) enum Accepting {
        Tcp(tokio::net::TcpListener),
        #[cfg(unix)]
        Unix {
            listener: tokio::net::UnixListener,
            /// Removes the socket's file when it is dropped.
            _bound: super::unix::Bound,
        },
    }

    impl Accepting {
        pub(super) fn new(listener: Listener, _expected: usize) -> io::Result<Self> {
            Ok(match listener {
                Listener::Tcp(listener) | Listener::TcpWithNodelay(listener) => {
                    Self::Tcp(tokio::net::TcpListener::from_std(listener)?)
                }
                #[cfg(unix)]
                Listener::Unix(bound) => Self::Unix {
                    listener: tokio::net::UnixListener::from_std(bound.listener.try_clone()?)?,
                    _bound: bound,
                },
            })
        }

        /// Whether accepted sockets have the right `TCP_NODELAY` already. Not all systems let them inherit it.
        pub(crate) const fn has_nodelay(&self) -> bool {
            false
        }

        /// # Cancel safety
        /// Cancel safe: no accepted socket is lost.
        pub(crate) async fn accept(&self) -> io::Result<(Incoming, Option<SocketAddr>)> {
            match self {
                Self::Tcp(listener) => {
                    let (stream, peer) = listener.accept().await?;
                    Ok((Incoming::Tcp(stream.into_std()?), Some(peer)))
                }
                #[cfg(unix)]
                Self::Unix { listener, .. } => {
                    let (stream, _) = listener.accept().await?;
                    Ok((Incoming::Unix(stream.into_std()?), None))
                }
            }
        }
    }
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::{
        fs::{self, Permissions},
        io,
        os::unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::UnixListener,
        },
        path::{Path, PathBuf},
    };

    /// A listening Unix socket. Dropping it removes its file, if the server has made the file.
    pub(crate) struct Bound {
        pub(super) listener: UnixListener,
        /// The path of the file that the server has made, with the file's device and inode number.
        file: Option<(PathBuf, (u64, u64))>,
    }

    impl Bound {
        /// Creates the file with the permissions `mode`, or with those that the umask leaves.
        pub(crate) fn new(path: &Path, mode: Option<u32>) -> io::Result<Self> {
            let bound = bind(path)?;
            let file = identity(path)?;
            let permitted =
                mode.map_or(Ok(()), |mode| fs::set_permissions(path, Permissions::from_mode(mode)));
            let listener = permitted.and_then(|()| listen(bound)).inspect_err(|_| remove(path, file))?;
            Ok(Self { listener, file: Some((path.to_owned(), file)) })
        }

        /// A socket that others have made, in non-blocking mode.
        pub(crate) const fn existing(listener: UnixListener) -> Self {
            Self { listener, file: None }
        }
    }

    impl Drop for Bound {
        fn drop(&mut self) {
            if let Some((path, file)) = &self.file {
                remove(path, *file);
            }
        }
    }

    /// Creates the socket and its file. The kernel refuses connections until [`listen`].
    #[cfg(target_os = "linux")]
    fn bind(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

        const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    }

    #[cfg(target_os = "linux")]
    fn listen(socket: std::os::fd::OwnedFd) -> io::Result<UnixListener> {
        // -1 is the largest backlog that the kernel allows. The standard library uses it too.
        rustix::net::listen(&socket, -1)?;
        Ok(socket.into())
    }

    /// The standard library binds and listens in one call.
    #[cfg(not(target_os = "linux"))]
    fn bind(path: &Path) -> io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    #[cfg(not(target_os = "linux"))]
    fn listen(listener: UnixListener) -> io::Result<UnixListener> {
        Ok(listener)
    }

    /// Removes a socket's file, unless it is gone already or belongs to another server by now.
    fn remove(path: &Path, file: (u64, u64)) {
        if identity(path).is_ok_and(|there| there == file) {
            let _ = fs::remove_file(path);
        }
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    #[cfg(all(test, target_os = "linux"))]
    mod tests {
        use std::os::unix::net::UnixStream;

        use super::*;

        #[test]
        fn connections_are_refused_before_the_socket_listens() {
            let path = std::env::temp_dir().join(format!("ws-server-bound-{}.sock", std::process::id()));
            let socket = bind(&path).unwrap();
            let file = identity(&path).unwrap();
            let refused = UnixStream::connect(&path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = listen(socket).unwrap();
            UnixStream::connect(&path).unwrap();
            drop(listener);
            remove(&path, file);
            assert!(!path.exists());
        }
    }
}
