//! The start that all measured servers share.

use crate::args::Args;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

/// The message limit of all servers. The largest message of the benchmark has 100 MiB.
pub const MAX_MESSAGE: usize = 128 << 20;

/// The backlog of the listener, the same as in tokio's `TcpListener::bind`.
const BACKLOG: i32 = 1024;

/// A server's command line.
#[derive(Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The other options.
    pub rest: Args,
}

/// Reads `--listen ADDR` and raises the limit of open files. Ends the program with status 2 at an invalid option.
pub fn options() -> Options {
    crate::os::raise_file_limit();
    let read = || {
        let mut rest = Args::from_env()?;
        let listen = rest.take("listen", SocketAddr::from(([127, 0, 0, 1], 9001)))?;
        Ok::<_, String>(Options { listen, rest })
    };
    read().unwrap_or_else(|message| refuse(&message))
}

/// Ends the program with status 2, for an invalid option.
pub fn refuse(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}

/// Listens without blocking, with the same backlog for all servers, and prints the address on stdout.
///
/// # Errors
/// The kernel's error, for example that the port is in use.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&listener);
    // std sets 128. A second `listen` only changes the backlog.
    // SAFETY: `listener` owns the descriptor and is still open.
    if unsafe { libc::listen(descriptor, BACKLOG) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    listener.set_nonblocking(true)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on ws://{}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}
