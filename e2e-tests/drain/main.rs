//! Closes many connections over a time, in a server process, with clients in a process of their own, and prints how
//! many closed in each second. `just drain` runs it.
//!
//! usage: drain [CONNECTIONS] [SECONDS]      10,000 connections over 60 s by default
//!
//! Each engine runs with each API. It ends with status 1 if a connection did not end cleanly, or if in any second more
//! than twice the even number ended, by the clock of the server or of the clients.

mod clients;

use std::{
    env,
    error::Error,
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clients::Clients;
use tokio::task::JoinHandle;
use ws_server::{
    CloseCode, Conn, Handler, MessageRef, Rejection, Request, Server, ShutdownHandle, ShutdownReport,
    close::Shutdown,
    stats::{Closed, Observer},
};

const SHARDS: usize = 2;

type Failure = Box<dyn Error + Send + Sync>;

/// The times at which the server's connections ended.
#[derive(Default)]
struct Ends(Mutex<Vec<Instant>>);

impl Observer for Ends {
    fn closed(&self, _connection: &Closed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }
}

impl Ends {
    fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Silent;

impl Handler for Silent {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

/// An engine and an API.
#[derive(Clone, Copy)]
struct Kind {
    on_shards: bool,
    with_handler: bool,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self { on_shards: false, with_handler: true },
        Self { on_shards: false, with_handler: false },
        Self { on_shards: true, with_handler: true },
        Self { on_shards: true, with_handler: false },
    ];

    fn name(self) -> String {
        let engine = if self.on_shards { format!("{SHARDS} shards") } else { "tokio tasks".to_owned() };
        format!("{engine}, {}", if self.with_handler { "handler" } else { "async function" })
    }

    fn start(self, server: Server) -> JoinHandle<io::Result<ShutdownReport>> {
        tokio::spawn(async move {
            match (self.on_shards, self.with_handler) {
                (false, true) => Ok(server.serve_handler::<Silent>(()).await),
                (false, false) => {
                    Ok(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}).await)
                }
                (true, true) => server.sharded(SHARDS).serve_handler::<Silent>(()).await,
                (true, false) => {
                    let serve = async |mut ws: ws_server::WebSocket<_>, _| while ws.recv().await.is_some() {};
                    server.sharded(SHARDS).serve(serve).await
                }
            }
        })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    clients::raise_descriptor_limit();
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [role, addr, count] = &arguments[..]
        && role == clients::ROLE
    {
        clients::run(addr.parse()?, count.parse()?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<u32>());
    let (count, seconds) = (number(0, 10_000)?, number(1, 60)?);
    let mut holds = true;
    println!("{count} connections over {seconds} s; the even rate is {} per second", count / seconds.max(1));
    for kind in Kind::ALL {
        holds &= drain(kind, count as usize, Duration::from_secs(seconds.into())).await?;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Drains a server of this kind. Returns whether the bounds hold.
async fn drain(kind: Kind, count: usize, spread: Duration) -> Result<bool, Failure> {
    let ends = Arc::<Ends>::default();
    let builder = Server::builder().keepalive(None).observer(Arc::clone(&ends));
    let server = builder.bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let (addr, handle) = (server.local_addr()?, server.shutdown_handle());
    let serving = kind.start(server);
    let mut clients = Clients::start(addr, count)?;
    clients.wait_until_open()?;
    wait_for_connections(&handle, count).await;
    let start = Instant::now();
    let settings = Shutdown::new().code(CloseCode::SERVICE_RESTART).spread(spread);
    let report = handle.shutdown_with(settings).await;
    let took = start.elapsed();
    serving.await??;
    let seen = clients.most_in_a_second()?;
    let most = most_in_a_second(ends.take());
    let even = count as f64 / spread.as_secs_f64();
    let holds = report.clean == count
        && !report.forced
        && took >= spread.mul_f64(0.98)
        && most.max(seen) as f64 <= 2.0 * even;
    println!(
        "{}: {} clean, {} unclean, in {:.1} s; most in any second: {most} ended, {seen} Closes came; {}",
        kind.name(),
        report.clean,
        report.unclean,
        took.as_secs_f64(),
        if holds { "within twice the even rate" } else { "NOT as promised" }
    );
    Ok(holds)
}

async fn wait_for_connections(handle: &ShutdownHandle, count: usize) {
    while handle.connections() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The most of these times that any second has.
fn most_in_a_second(mut times: Vec<Instant>) -> usize {
    times.sort_unstable();
    let mut first = 0;
    let in_second_until = |(last, time): (usize, &Instant)| {
        while *time - times[first] >= Duration::from_secs(1) {
            first += 1;
        }
        last + 1 - first
    };
    times.iter().enumerate().map(in_second_until).max().unwrap_or(0)
}
