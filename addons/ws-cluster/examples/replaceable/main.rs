//! A server that is replaced while it runs, as the guide's chapter "Replacing a server" describes. It takes its
//! listener from the service manager, so the next process has the same one. At SIGTERM it is not ready any more, accepts
//! nothing, and closes its connections one after the other with 1012.
//!
//! It answers each request with the same text and the number of its process. With `--redis`, each client also gets the
//! topic `news`, and what it missed since its last position: `ws://…/?at=5-17`. A request `publish TEXT` is published
//! there.
//!
//! ```sh
//! systemd-socket-activate -l 9001 target/debug/examples/replaceable --health 127.0.0.1:9101 --spread 30
//! ```

#[cfg(unix)]
mod options;
#[cfg(unix)]
mod serve;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let done = options::Options::parse().and_then(|options| {
        // The socket is taken before there are other threads: taking it changes the environment.
        let listener = options::listener()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(serve::run(options, listener))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replaceable: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("replaceable: sockets are inherited on Unix only");
}
