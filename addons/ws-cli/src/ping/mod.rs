//! `ws ping`: round-trip times of ping frames (RFC 6455 section 5.5.2).

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use ws_client::CloseCode;

use crate::{
    cli::PingArgs,
    connect::{Socket, Target, interrupted},
    console::{self, Reader},
    exit::{Code, Failure, Outcome, of_close},
    latency::Latencies,
    terminal::millis,
};

pub(crate) async fn ping(args: PingArgs) -> Outcome {
    let target = Target::new(&args.url, &args.subprotocol, &args.connection)?;
    let mut ws = target.connect().await?;
    let sender = ws.sender();
    let mut times = Times::new()?;
    let mut ticks = interval(args.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupt = std::pin::pin!(interrupted());
    let mut reader = Reader::Reads;
    let ended = loop {
        if reader == Reader::HasGone || args.count.is_some_and(|count| times.sent >= count) {
            break Ok(());
        }
        tokio::select! {
            biased;
            () = &mut interrupt => break Ok(()),
            ended = ended(&mut ws) => break ended,
            _ = ticks.tick() => {
                times.sent += 1;
                tokio::select! {
                    biased;
                    () = &mut interrupt => break Ok(()),
                    Ok(time) = sender.ping_rtt() => {
                        times.record(time);
                        reader = console::out(format!("pong {}: time={}\n", times.sent, millis(time)))?;
                    }
                    // The pong arrives while the connection is read.
                    ended = ended(&mut ws) => break ended,
                    () = tokio::time::sleep(args.wait) => {
                        let line = format!("pong {}: none within {}\n", times.sent, millis(args.wait));
                        reader = console::out(line)?;
                    }
                }
            }
        }
    };
    console::out(times.summary())?;
    ended?;
    ws.close(CloseCode::NORMAL, "").await;
    if times.received == 0 && times.sent > 0 {
        return Err(Failure::new(Code::Timeout, "no pong arrived"));
    }
    Ok(())
}

/// Drops the messages of the peer until the connection is over.
async fn ended(ws: &mut Socket) -> Outcome {
    while ws.recv().await.is_some() {}
    ws.close_info().map_or(Ok(()), |info| of_close(&info, false))
}

struct Times {
    sent: u32,
    received: u32,
    latencies: Latencies,
}

impl Times {
    fn new() -> Outcome<Self> {
        Ok(Self { sent: 0, received: 0, latencies: Latencies::new()? })
    }

    fn record(&mut self, time: Duration) {
        self.received += 1;
        self.latencies.record(time);
    }

    fn summary(&self) -> String {
        let lost = self.sent - self.received;
        let percent = if self.sent == 0 { 0.0 } else { f64::from(lost) * 100.0 / f64::from(self.sent) };
        let mut text = format!("{} pings, {} pongs, {percent:.0}% lost\n", self.sent, self.received);
        if self.received > 0 {
            let latencies = &self.latencies;
            let times = [
                latencies.min() as f64,
                latencies.mean(),
                latencies.quantile(0.99) as f64,
                latencies.max() as f64,
            ];
            let times = times.map(|micros| format!("{:.3}", micros / 1000.0)).join("/");
            text += &format!("round trip min/avg/p99/max = {times} ms\n");
        }
        text
    }
}
