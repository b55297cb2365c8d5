//! One measurement: a fresh server on its core, the load generator on another.

use crate::case::{Case, Role};
use crate::certificate::Certificate;
use crate::options::Options;
use crate::servers::{CLIENTS_SERVER, STREAM_SOURCE, Server};
use bench_common::json::Numbers;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The time that a server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// The inputs of a measurement.
#[derive(Debug)]
pub(crate) struct Rig<'a> {
    pub(crate) options: &'a Options,
    pub(crate) server: &'static Server,
    pub(crate) binary: &'a Path,
    /// The certificate of servers with TLS.
    pub(crate) certificate: Option<&'a Certificate>,
}

/// A server that ends when this is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Rig<'_> {
    /// Runs the case once and returns the numbers of the load generator or the client.
    pub(crate) fn measure(&self, case: &Case) -> Result<Numbers, String> {
        if case.role.is_client() {
            return self.client(case);
        }
        let alone = case.undisturbed.map(|load| self.load(case, load)).transpose()?;
        let mut numbers = self.load(case, case.load)?;
        if let Some(alone) = alone.and_then(|alone| alone.get("p999_us"))
            && let Some(beside) = numbers.get("p999_us")
        {
            numbers.push("p999_alone_us", alone);
            numbers.push("p999_ratio", beside / alone);
        }
        Ok(numbers)
    }

    fn load(&self, case: &Case, load: &str) -> Result<Numbers, String> {
        let mut server = Command::new(self.binary);
        server.args(self.server.arguments).args(case.server_options.split_whitespace());
        let mut generator = Command::new(beside("loadgen")?);
        if self.server.role == Role::Deflate {
            generator.arg("--deflate");
        }
        if let Some(certificate) = self.certificate.filter(|_| case.role == Role::Tls) {
            server.arg("--tls-cert").arg(certificate.chain()).arg("--tls-key").arg(certificate.key());
            generator.arg("--tls").arg(certificate.chain());
        }
        let cores = [self.options.server_core, self.options.second_core];
        let server = start(server, &cores[..case.cores.min(self.server.max_cores)])?;
        generator.args(["--server-pid", &server.child.id().to_string()]);
        self.run(generator, &server, load, self.options.generator_core)
    }

    /// Runs the client on the core that servers are measured on, and its server on the other core.
    fn client(&self, case: &Case) -> Result<Numbers, String> {
        let server = if case.role == Role::Receiver { STREAM_SOURCE } else { CLIENTS_SERVER };
        let server = start(Command::new(beside(server)?), &[self.options.generator_core])?;
        let mut client = Command::new(self.binary);
        let core = self.options.server_core;
        client.args(case.load.split_whitespace()).args(self.server.arguments);
        self.run(client, &server, "", core)
    }

    /// Runs the load generator or client to its end and reads its output.
    fn run(
        &self,
        mut command: Command,
        server: &Running,
        load: &str,
        core: usize,
    ) -> Result<Numbers, String> {
        command
            .args(["--addr", &server.address.to_string()])
            .args(["--seconds", &self.options.seconds.to_string()])
            .args(["--warmup", &self.options.warmup.to_string()])
            .args(load.split_whitespace());
        pin(&mut command, &[core]);
        let output = command.output().map_err(|error| format!("`{command:?}`: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Numbers::from_json(&text).ok_or_else(|| format!("`{command:?}` said `{text}`"))
    }
}

/// Another program of the benchmark.
fn beside(name: &str) -> Result<PathBuf, String> {
    Ok(std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(name))
}

/// Starts a server on these cores and waits until it listens.
fn start(mut command: Command, cores: &[usize]) -> Result<Running, String> {
    let address = free_address().map_err(|error| error.to_string())?;
    command.args(["--listen", &address.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    pin(&mut command, cores);
    let mut child = command.spawn().map_err(|error| format!("`{command:?}`: {error}"))?;
    let stdout = child.stdout.take();
    let running = Running { child, address };
    let (sender, listening) = mpsc::channel();
    // Reads to the end, so that the server never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
            if line.starts_with("listening on ws") && sender.send(()).is_err() {
                break;
            }
        }
    });
    let told = listening.recv_timeout(START);
    told.map_err(|_| format!("`{command:?}` did not say that it listens"))?;
    Ok(running)
}

/// A port that was just free.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Binds a program to cores, and makes it end with this program.
fn pin(command: &mut Command, cores: &[usize]) {
    let cores = cores.to_vec();
    let prepare = move || {
        // SAFETY: takes no pointer for this option.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        bench_common::os::pin_to_cores(&cores)
    };
    // SAFETY: between fork and exec, the closure only makes system calls. It neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}
