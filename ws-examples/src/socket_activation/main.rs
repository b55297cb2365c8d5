//! An echo server on sockets that systemd has opened. systemd keeps listening while the program is restarted, so no
//! connection is refused meanwhile, and the program needs no rights to open a port below 1024.
//!
//! ```ini
//! # chat.socket
//! [Socket]
//! ListenStream=443
//! ListenStream=/run/chat.sock
//! FileDescriptorName=public
//! ```
//!
//! To try it without systemd's units:
//!
//! ```sh
//! systemd-socket-activate -l 9006 --fdname=public target/release/socket-activation
//! ```
//!
//! The crate `listenfd` takes the sockets over, because that needs unsafe code.

use std::process::ExitCode;

#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod sockets;

#[cfg(unix)]
fn main() -> ExitCode {
    if let Err(code) = ws_examples::arguments("socket-activation", 0..=0) {
        return code;
    }
    // The sockets are taken before there are other threads: taking them changes the environment.
    let served = sockets::from_environment().and_then(serve::serve);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socket-activation: {}", ws_examples::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("socket-activation: this system has no systemd");
    ExitCode::FAILURE
}
