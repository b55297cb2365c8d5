//! The clients, in a process of their own. They answer the Close that they get.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use e2e_tests::raw_peer::RequestHead;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{Failure, most_in_a_second};

/// The first argument of the process.
pub(crate) const ROLE: &str = "clients";
/// Printed once all connections are open.
const OPEN: &str = "open";
/// Connections that are opened at the same time.
const AT_ONCE: usize = 64;

/// The process of the clients. Dropping it ends it.
pub(crate) struct Clients {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Clients {
    pub(crate) fn start(addr: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.args([ROLE, &addr.to_string(), &count.to_string()]).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or("the output is piped")?;
        Ok(Self { process, output: BufReader::new(output) })
    }

    pub(crate) fn wait_until_open(&mut self) -> Result<(), Failure> {
        match self.line()?.as_str() {
            OPEN => Ok(()),
            line => Err(format!("the clients said {line:?}").into()),
        }
    }

    /// The most Closes that came in any second. Returns when all have come.
    pub(crate) fn most_in_a_second(&mut self) -> Result<usize, Failure> {
        Ok(self.line()?.parse()?)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process does: opens the connections, says so, answers each Close, and prints the most that came in a
/// second.
pub(crate) async fn run(addr: SocketAddr, count: usize) -> Result<(), Failure> {
    let (mut opening, mut closing) = (JoinSet::new(), JoinSet::new());
    for number in 0..count + AT_ONCE {
        if number >= AT_ONCE
            && let Some(stream) = opening.join_next().await
        {
            closing.spawn(answer_close(stream??));
        }
        if number < count {
            opening.spawn(open(addr));
        }
    }
    println!("{OPEN}");
    let mut came = Vec::with_capacity(count);
    while let Some(time) = closing.join_next().await {
        came.push(time??);
    }
    println!("{}", most_in_a_second(came));
    Ok(())
}

async fn open(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(&RequestHead::new(addr, "/").to_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("the server has closed the connection in the handshake".into());
        }
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(String::from_utf8_lossy(&head).into());
    }
    Ok(stream)
}

/// Waits for a Close with 1012, answers it, and waits for the end of the stream. Returns when the Close came.
async fn answer_close(mut stream: TcpStream) -> Result<Instant, Failure> {
    let mut close = [0; 4];
    stream.read_exact(&mut close).await?;
    let came = Instant::now();
    if close != [0x88, 2, 0x03, 0xf4] {
        return Err(format!("not a Close with 1012: {close:?}").into());
    }
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4]).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(came)
}

/// Raises the limit of descriptors as far as possible.
pub(crate) fn raise_descriptor_limit() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}
