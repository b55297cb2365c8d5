//! The start that all measured servers share.

use crate::args::Args;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};

/// No server may refuse the largest message of the benchmark (100 MiB).
pub const MAX_MESSAGE: usize = 128 << 20;

/// How many connections may wait to be accepted; what tokio's `TcpListener::bind` asks for.
const BACKLOG: i32 = 1024;

/// A server's command line.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What the program may read beyond that.
    pub rest: Args,
}

/// Reads `--listen ADDR`, raises the limit of open files; ends the program with status 2 on a bad option.
pub fn options() -> Options {
    crate::os::raise_file_limit();
    let read = || {
        let mut rest = Args::from_env()?;
        let listen = rest.take("listen", SocketAddr::from(([127, 0, 0, 1], 9001)))?;
        Ok::<_, String>(Options { listen, rest })
    };
    read().unwrap_or_else(|message| refuse(&message))
}

/// Ends the program with status 2, as a bad option should.
pub fn refuse(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}

/// Listens without blocking, with the same backlog for everyone, and says so on stdout.
///
/// # Errors
/// What the kernel says, for example that the port is taken.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&listener);
    // std asks for 128; a second `listen` only changes the backlog.
    // SAFETY: the descriptor belongs to `listener`, which is alive.
    if unsafe { libc::listen(descriptor, BACKLOG) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    listener.set_nonblocking(true)?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on ws://{}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}
