//! Makes connections. Each `Client` of async-nats is used for one connection only: what it has buffered for a
//! connection that is lost is not sent later, and nothing of its state survives a loss.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectError, ConnectOptions, Event, ServerAddr};
use tokio::sync::Notify;

/// The shortest and the longest delay before another attempt to connect, before jitter.
const DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a client of a lost connection waits before its only attempt to connect again, after which it ends. It is
/// dropped by then, so it closes that connection at once.
const FAREWELL: Duration = Duration::from_millis(500);

/// A server, and the login from its URL.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: ServerAddr,
    pub(super) login: Option<(String, String)>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.address.host()).finish_non_exhaustive()
    }
}

/// What the client reports about its connection.
#[derive(Debug, Default)]
pub(super) struct Signals {
    is_over: AtomicBool,
    over: Notify,
    /// The client has dropped messages.
    pub(super) slow: Notify,
}

impl Signals {
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.over.notify_waiters();
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Waits until the connection is lost or given up.
    pub(super) async fn over(&self) {
        let over = self.over.notified();
        tokio::pin!(over);
        over.as_mut().enable();
        if !self.is_over() {
            over.await;
        }
    }
}

pub(super) struct Connector {
    configured: Vec<Server>,
    discovered: Vec<Server>,
    options: ConnectOptions,
    next: usize,
    failures: u32,
}

impl Connector {
    pub(super) fn new(mut configured: Vec<Server>, options: ConnectOptions) -> Self {
        let first = random() as usize % configured.len().max(1);
        configured.rotate_left(first);
        Self { configured, discovered: Vec::new(), options, next: 0, failures: 0 }
    }

    /// Tries the next server once.
    pub(super) async fn connect(&mut self) -> Result<(Client, Arc<Signals>), ConnectError> {
        let server = self.next_server();
        let signals = Arc::new(Signals::default());
        let result = options(self.options.clone(), &server, &signals).connect(server.address).await;
        match result {
            Ok(client) => {
                self.discover(&client.server_info().connect_urls);
                Ok((client, signals))
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                Err(error)
            }
        }
    }

    /// The next attempt comes after a short delay.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A connection was lost soon after it was made.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Doubles with each failure in a row; from half of that to all of it, by chance.
    pub(super) fn delay(&self) -> Duration {
        let (shortest, longest) = DELAYS;
        let full = shortest.saturating_mul(1 << self.failures.min(10)).min(longest);
        full / 2 + full.mul_f64((random() % 1_024) as f64 / 2_048.0)
    }

    fn next_server(&mut self) -> Server {
        let index = self.next % (self.configured.len() + self.discovered.len());
        self.next = index + 1;
        self.configured.get(index).unwrap_or_else(|| &self.discovered[index - self.configured.len()]).clone()
    }

    /// The other servers of the cluster. The login of the first configured server is used for them.
    fn discover(&mut self, urls: &[String]) {
        const MOST: usize = 64;
        let login = self.configured.first().and_then(|server| server.login.clone());
        let scheme = self.configured.first().map_or("nats", |server| server.address.scheme());
        let parsed = urls.iter().filter_map(|url| format!("{scheme}://{url}").parse::<ServerAddr>().ok());
        let is_known = |address: &ServerAddr| {
            self.configured
                .iter()
                .any(|known| known.address.host() == address.host() && known.address.port() == address.port())
        };
        self.discovered = parsed
            .filter(|address| !is_known(address))
            .take(MOST)
            .map(|address| Server { address, login: login.clone() })
            .collect();
    }
}

fn options(options: ConnectOptions, server: &Server, signals: &Arc<Signals>) -> ConnectOptions {
    let options = match &server.login {
        Some((user, password)) => options.user_and_password(user.clone(), password.clone()),
        None => options,
    };
    let reported = Arc::clone(signals);
    let was_tried = AtomicBool::new(false);
    options
        .ignore_discovered_servers()
        // The first attempt, and one after the connection is lost. A client has no option to make none.
        .max_reconnects(1)
        .reconnect_delay_callback(move |_| {
            if was_tried.swap(true, Ordering::Relaxed) { FAREWELL } else { Duration::ZERO }
        })
        .event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => reported.end(),
                Event::SlowConsumer(_) => reported.slow.notify_one(),
                Event::LameDuckMode => tracing::info!("the NATS server is about to shut down"),
                Event::ServerError(error) => tracing::warn!(%error, "the NATS server reports an error"),
                _ => {}
            }
            std::future::ready(())
        })
}

/// For jitter, names and message ids.
pub(super) fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // Only without an operating system's source: unique enough to spread attempts.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64)
    })
}
