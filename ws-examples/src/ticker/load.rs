//! Many clients in the process of the server, one of which does not read for a while, and a report.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{bind, board::Board, client::Watcher, options::Options, run};

/// Connections that are opened at a time.
const AT_A_TIME: usize = 64;

/// How long a client may take to have the latest prices after the last one is published.
const PATIENCE: Duration = Duration::from_secs(120);

/// Far more rounds than the buffers of the kernel hold.
const MOST_ROUNDS: usize = 10_000;

/// Runs a server and `clients` clients, and prints how they did.
pub(crate) async fn run_load(options: &Options, clients: usize) -> io::Result<()> {
    let board = Board::of(options.symbols)?;
    let server = bind("127.0.0.1:0", &board).await?;
    let addr = server.local_addr()?;
    let handle = server.shutdown_handle();
    let serving = tokio::spawn(run(server, Arc::clone(&board), options.shards));
    let loaded = load(options, clients, addr, &board).await;
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await.map_err(io::Error::other)??;
    loaded
}

async fn load(options: &Options, clients: usize, addr: SocketAddr, board: &Arc<Board>) -> io::Result<()> {
    // What the clients begin with.
    board.publish_round().await;
    let mut slow = Watcher::connect_slow(addr, board).await?;
    let mut companion = Watcher::connect(addr, board).await?;
    fill(board, &mut companion).await?;
    let (is_over, over) = watch::channel(false);
    let mut fast = JoinSet::new();
    fast.spawn(follow(companion.fresh(), over.clone()));
    for watcher in connect(addr, board, clients.saturating_sub(2)).await? {
        fast.spawn(follow(watcher, over.clone()));
    }
    println!("{clients} clients, {} symbols, {} prices a second", options.symbols, options.per_second);
    let before = board.published();
    board.publish_for(options.per_second, Some(options.duration)).await;
    let (messages, bytes) = board.slowest();
    let published = board.published() - before;
    println!("{published} prices published");
    is_over.send_replace(true);
    let (mut received, mut latencies) = (0, Vec::new());
    while let Some(watcher) = fast.join_next().await {
        let watcher = watcher.map_err(io::Error::other)??;
        received += watcher.received;
        latencies.extend(watcher.latencies);
    }
    println!("fast clients: {received} prices received, all have the latest of each symbol");
    latencies.sort_unstable();
    if let (Some(median), Some(worst)) = (latencies.get(latencies.len() / 2), latencies.last()) {
        println!("latency: median {} ms, maximum {} ms", median / 1000, worst / 1000);
    }
    let in_all = board.published();
    println!("slow client: {messages} prices of {bytes} bytes waited for it");
    within_patience(catch_up(&mut slow)).await?;
    println!("slow client: {} of {in_all} prices received, it has the latest of each symbol", slow.received);
    Ok(())
}

async fn connect(addr: SocketAddr, board: &Arc<Board>, count: usize) -> io::Result<Vec<Watcher>> {
    let (mut connecting, mut watchers) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if number >= AT_A_TIME
            && let Some(watcher) = connecting.join_next().await
        {
            watchers.push(watcher.map_err(io::Error::other)??);
        }
        let board = Arc::clone(board);
        connecting.spawn(async move { Watcher::connect(addr, &board).await });
    }
    while let Some(watcher) = connecting.join_next().await {
        watchers.push(watcher.map_err(io::Error::other)??);
    }
    Ok(watchers)
}

/// Publishes until the buffers of the kernel are full for the client that does not read, and a price of each symbol
/// waits for it. The companion gets all prices meanwhile.
pub(crate) async fn fill(board: &Board, companion: &mut Watcher) -> io::Result<()> {
    let mut full = 0;
    for _ in 0..MOST_ROUNDS {
        board.publish_round().await;
        catch_up(companion).await?;
        full += usize::from(board.slowest().0 == board.symbols());
        if full == 5 {
            return Ok(());
        }
    }
    Err(io::Error::other("too few prices wait for a client that does not read"))
}

/// Reads until the end, and then until it has the latest price of each symbol.
async fn follow(mut watcher: Watcher, mut over: watch::Receiver<bool>) -> io::Result<Watcher> {
    loop {
        tokio::select! {
            quote = watcher.next() => quote.map(drop)?,
            // An error means that the sender is gone.
            _ = over.wait_for(|is_over| *is_over) => break,
        }
    }
    within_patience(catch_up(&mut watcher)).await?;
    Ok(watcher)
}

pub(crate) async fn catch_up(watcher: &mut Watcher) -> io::Result<()> {
    while !watcher.is_up_to_date() {
        watcher.next().await?;
    }
    Ok(())
}

async fn within_patience(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(PATIENCE, work).await.map_err(|_| io::Error::other("a client does not get the latest prices"))?
}
