//! The sockets that a service manager passes to the program (`sd_listen_fds(3)`).

use std::{env, io, net::TcpListener, os::unix::net::UnixListener};

use listenfd::ListenFd;

/// A listening socket of either kind.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// All sockets that were passed, with their names.
pub(crate) fn from_environment() -> io::Result<Vec<(String, Socket)>> {
    // `FileDescriptorName=` of the socket unit, by default the unit's own name.
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default().to_owned();
        // A socket of the other kind is an error, and stays.
        let socket = match passed.take_tcp_listener(index) {
            Ok(Some(listener)) => Socket::Tcp(listener),
            _ => match passed.take_unix_listener(index)? {
                Some(listener) => Socket::Unix(listener),
                None => continue,
            },
        };
        sockets.push((name, socket));
    }
    if sockets.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no sockets were passed to this process"));
    }
    Ok(sockets)
}
