//! Runtimes with paused time, pseudo-random numbers, and a network in memory.

mod dice;
mod network;

use std::time::Duration;

use ws_client::{Reconnecting, reconnecting::Event};

pub(crate) use dice::Dice;
pub(crate) use network::{
    Io, Life, Network, ServerSocket, client_socket, server_config, server_socket, with_keepalive,
};

/// Runs a test on a runtime with paused time: it advances when every task waits. A test that waits for ever fails.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let in_time = runtime.unwrap().block_on(async { tokio::time::timeout(MONTH, test).await });
    in_time.expect("the test does not wait for ever")
}

/// Returns the next event. Fails if there is none within a day of virtual time.
pub(crate) async fn next(client: &mut Reconnecting<Io>) -> Event {
    within_a_day(client.next_event()).await.expect("the client is not over")
}

/// Waits for the connection. Fails if an attempt fails.
pub(crate) async fn up(client: &mut Reconnecting<Io>) -> u64 {
    match next(client).await {
        Event::Up(up) => up.connection,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn within_a_day<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(24 * 3600), what).await.expect("it takes less than a day")
}
