//! `ws ping`: round-trip times of ping frames (RFC 6455 section 5.5.2).

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use ws_client::CloseCode;

use crate::{
    cli::PingArgs,
    connect::{Pongs, Session, Target, interrupted},
    console::{self, Reader},
    exit::{Code, Failure, Outcome, chain, of_close},
    latency::Latencies,
    terminal::millis,
};

pub(crate) async fn ping(args: PingArgs) -> Outcome {
    let target = Target::new(&args.url, &args.subprotocol, &args.connection)?;
    let Session { mut ws, mut pongs } = target.connect().await?;
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
            message = ws.recv() => if message.is_none() {
                break ws.close_info().map_or(Ok(()), |info| of_close(&info, false));
            },
            _ = ticks.tick() => {
                times.sent += 1;
                let payload = times.sent.to_be_bytes();
                let now = Instant::now();
                if let Err(error) = sender.ping(&payload) {
                    break Err(Failure::new(Code::Abnormal, chain(&error)));
                }
                tokio::select! {
                    biased;
                    () = &mut interrupt => break Ok(()),
                    pong = next_pong(&mut pongs, &payload) => {
                        let time = pong.saturating_duration_since(now);
                        times.record(time);
                        reader = console::out(format!("pong {}: time={}\n", times.sent, millis(time)))?;
                    }
                    // The pong arrives while the connection is read.
                    () = async { while ws.recv().await.is_some() {} } => {
                        break ws.close_info().map_or(Ok(()), |info| of_close(&info, false));
                    }
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

/// The arrival of the pong with this payload. Other pongs are late ones, or were not asked for.
async fn next_pong(pongs: &mut Pongs, payload: &[u8]) -> Instant {
    while let Some((received, at)) = pongs.recv().await {
        if received == payload {
            return at;
        }
    }
    std::future::pending().await
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
