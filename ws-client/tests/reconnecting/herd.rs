//! Many clients lose their server at the same time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use ws_client::{Config, Reconnecting, reconnecting::Event};

use crate::support::{Io, Network, run};

const CLIENTS: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);

fn client(n: usize, back_at: Instant) -> Reconnecting<Io> {
    let (network, mut seed) = (Network::default(), [0; 32]);
    seed[..8].copy_from_slice(&(n as u64).to_le_bytes());
    Reconnecting::dialling(move |_| {
        let is_back = Instant::now() >= back_at;
        let network = network.clone();
        async move {
            if !is_back {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
            }
            let (client, server) = network.connect(64, Config::default());
            drop(server);
            Ok(client)
        }
    })
    .jitter_seed(seed)
    .build()
}

/// How many clients connect in each interval after the server is back.
fn arrivals(outage: Duration, interval: Duration) -> Vec<usize> {
    run(async {
        let back_at = Instant::now() + outage;
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let arrivals = Arc::clone(&arrivals);
                tokio::spawn(async move {
                    let mut client = client(n, back_at);
                    while let Some(event) = client.next_event().await {
                        if let Event::Up(_) = event {
                            arrivals.lock().unwrap().push(Instant::now() - back_at);
                            return;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        sleep_until(back_at).await;
        let arrivals = arrivals.lock().unwrap();
        assert_eq!(arrivals.len(), CLIENTS);
        let mut bins = Vec::new();
        for arrival in &*arrivals {
            let bin = (arrival.as_nanos() / interval.as_nanos()) as usize;
            bins.resize(bins.len().max(bin + 1), 0);
            bins[bin] += 1;
        }
        bins
    })
}

#[test]
fn ten_thousand_clients_come_back_spread_over_the_window() {
    // After five minutes, all of them wait for up to 30 s. A client that is asked at a random moment of a uniform delay
    // has 10 s left in the mean, and the share that arrives falls linearly from 2/30 in the first second to none.
    let bins = arrivals(300 * SECOND, SECOND);
    assert!(bins.len() <= 31, "{bins:?}");
    for (second, count) in bins.iter().enumerate().take(30) {
        let expected = CLIENTS as f64 * (59 - 2 * second) as f64 / 900.0;
        // Six standard deviations.
        assert!((*count as f64 - expected).abs() < 6.0 * expected.sqrt() + 1.0, "{second} s: {bins:?}");
    }
}

#[test]
fn a_short_restart_brings_them_back_in_its_own_window() {
    // The first delay is up to 0.5 s, the second one up to 1 s.
    let bins = arrivals(Duration::from_millis(600), SECOND / 10);
    let most = bins.iter().max().unwrap();
    assert!(*most < CLIENTS / 5, "{bins:?}");
}
