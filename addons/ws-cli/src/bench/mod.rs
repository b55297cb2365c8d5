//! `ws bench`: the latency of an echo server at a given rate.
//!
//! Each message has a time at which it is due, and its latency counts from then. So a server that stalls makes all
//! messages of the stall slow, and not only the one that it holds: the histogram has no coordinated omission.

mod connection;
mod report;
mod schedule;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use ws_client::Message;

use crate::{
    cli::BenchArgs,
    connect::{Socket, Target, interrupted},
    console,
    exit::{Code, Failure, Outcome},
    latency::Latencies,
};
use connection::Load;
use report::Report;
use schedule::Schedule;

/// The most handshakes at a time. A server's queue of connections that wait to be accepted is often 128.
const MAX_HANDSHAKES: usize = 64;
/// The time from the last handshake to the first message.
const LEAD: Duration = Duration::from_millis(10);

pub(crate) async fn bench(mut args: BenchArgs) -> Outcome {
    if args.connections > 1 {
        // The heads are alike; and a request that is shown fixes the seed, which connections must not share.
        args.connection.verbose = 0;
    }
    let target = Target::new(&args.url, &args.subprotocol, &args.connection)?;
    let sessions = connect_all(&target, args.connections).await?;
    let payload = "x".repeat(args.size);
    let message = if args.binary { Message::binary(payload) } else { Message::text(payload) };
    let latencies = Arc::new(Mutex::new(Latencies::new()?));
    let start = Instant::now() + LEAD;
    let mut connections = JoinSet::new();
    for (index, session) in sessions.into_iter().enumerate() {
        let load = Load {
            message: message.clone(),
            schedule: Schedule::new(start, args.rate, args.duration, args.connections, index as u64),
            wait: args.wait,
            latencies: Arc::clone(&latencies),
        };
        connections.spawn(connection::run(session, load));
    }
    let mut report = Report::new(args.connections, args.size, latencies);
    let mut interrupt = std::pin::pin!(interrupted());
    // Each connection ends in time, whatever its peer does.
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt => return Err(Failure::interrupted()),
            joined = connections.join_next() => match joined {
                None => break,
                Some(Ok(part)) => report.add(&part),
                Some(Err(_)) => report.failed += 1,
            },
        }
    }
    if args.json {
        console::out(report.json() + "\n")?;
    } else {
        console::out(report.text())?;
    }
    match report.lost() {
        0 if report.failed == 0 => Ok(()),
        0 => Err(Failure::new(Code::Abnormal, format!("{} connections failed", report.failed))),
        lost => Err(Failure::new(Code::Timeout, format!("{lost} messages have no answer"))),
    }
}

async fn connect_all(target: &Target, count: u32) -> Outcome<Vec<Socket>> {
    let room = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        let (target, room) = (target.clone(), Arc::clone(&room));
        connecting.spawn(async move {
            // The semaphore is never closed.
            let _permit = room.acquire().await;
            target.connect().await
        });
    }
    let mut sessions = Vec::new();
    while let Some(joined) = connecting.join_next().await {
        sessions.push(joined.unwrap_or_else(|_| Err(Failure::usage("a connection's task failed")))?);
    }
    Ok(sessions)
}
