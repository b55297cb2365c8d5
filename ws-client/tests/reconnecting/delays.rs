//! When attempts come: back-off, healthy connections, giving up, `Retry-After`, lifetimes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use ws_client::{
    CloseCode, Config, Reconnecting,
    error::{ConnectionError, TimedOut},
    reconnecting::{Backoff, Builder, Cause, Decision, Event, GiveUp, Outcome},
};

use crate::support::{Io, Network, next, run, up, with_keepalive, within_a_day};

const SECOND: Duration = Duration::from_secs(1);

/// A server that accepts, serves for `serve`, and drops.
fn accept_then_drop(serve: Duration) -> Builder<Io> {
    let network = Network::default();
    Reconnecting::dialling(move |_| {
        let (client, server) = network.connect(1024, Config::default());
        tokio::spawn(async move {
            tokio::time::sleep(serve).await;
            drop(server);
        });
        async { Ok(client) }
    })
    .jitter_seed([1; 32])
}

fn refuse() -> Builder<Io> {
    Reconnecting::dialling(|_| async {
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
    })
    .jitter_seed([2; 32])
}

/// The announced delays of the next failures.
async fn delays(client: &mut Reconnecting<Io>, count: usize) -> Vec<Duration> {
    let mut delays = Vec::new();
    while delays.len() < count {
        match next(client).await {
            Event::Up(_) => {}
            Event::Down(down) => delays.extend(down.retry_in),
            Event::AttemptFailed(failed) => delays.extend(failed.retry_in),
            other => panic!("{other:?}"),
        }
    }
    delays
}

#[test]
fn a_server_that_accepts_and_drops_is_not_hammered() {
    run(async {
        let (start, mut client) = (Instant::now(), accept_then_drop(Duration::ZERO).build());
        let mut connections = 0;
        while start.elapsed() < 3600 * SECOND {
            if let Event::Up(up) = next(&mut client).await {
                connections = up.connection;
            }
        }
        // The mean delay is 15 s once the back-off has reached its cap. Without a limit there would be thousands.
        assert!((180..=320).contains(&connections), "{connections}");
    });
}

#[test]
fn the_end_of_a_healthy_connection_resets_the_back_off() {
    run(async {
        let mut client = accept_then_drop(10 * SECOND).healthy_after(10 * SECOND).build();
        let delays = delays(&mut client, 100).await;
        assert!(delays.iter().all(|delay| *delay < SECOND / 2), "{delays:?}");
    });
}

#[test]
fn a_connection_that_was_almost_healthy_does_not() {
    run(async {
        let mut client = accept_then_drop(9 * SECOND).healthy_after(10 * SECOND).build();
        let delays = delays(&mut client, 100).await;
        assert!(delays[8..].iter().any(|delay| *delay > 20 * SECOND), "{delays:?}");
    });
}

#[test]
fn each_attempt_comes_at_its_announced_time() {
    run(async {
        let starts = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&starts);
        let mut client = Reconnecting::<Io>::dialling(move |_| {
            log.lock().unwrap().push(Instant::now());
            async { Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()) }
        })
        .backoff(Backoff::full_jitter(SECOND, 8 * SECOND))
        .build();
        let delays = delays(&mut client, 50).await;
        let starts = starts.lock().unwrap();
        for (failures, (pair, delay)) in starts.windows(2).zip(&delays).enumerate() {
            let limit = SECOND * (1 << failures.min(3));
            let waited = pair[1] - pair[0];
            assert!(*delay < limit, "{delay:?}, {failures}");
            // tokio's timers round up to a millisecond.
            assert!(waited >= *delay && waited < *delay + 2 * SECOND / 1000, "{waited:?}, {delay:?}");
        }
    });
}

#[test]
fn it_gives_up_after_the_limit_of_attempts() {
    run(async {
        for max in [0, 1, 3] {
            let mut client = refuse().give_up(GiveUp::Attempts(max)).build();
            let mut failures = 0;
            while let Some(event) = within_a_day(client.next_event()).await {
                let Event::AttemptFailed(failed) = event else { panic!("{event:?}") };
                failures += 1;
                assert_eq!(failed.retry_in.is_none(), failures >= max, "{max}");
            }
            assert_eq!((failures, client.outcome()), (max.max(1), Some(Outcome::GaveUp)));
        }
        // The end of a healthy connection is not a failed attempt.
        let mut client = accept_then_drop(20 * SECOND).give_up(GiveUp::Attempts(1)).build();
        assert_eq!(delays(&mut client, 10).await.len(), 10);
    });
}

#[test]
fn it_gives_up_when_the_next_attempt_would_come_too_late() {
    run(async {
        let (start, limit) = (Instant::now(), 100 * SECOND);
        let mut client = refuse().give_up(GiveUp::After(limit)).build();
        while within_a_day(client.next_event()).await.is_some() {}
        assert_eq!(client.outcome(), Some(Outcome::GaveUp));
        assert!(start.elapsed() <= limit && start.elapsed() > 60 * SECOND, "{:?}", start.elapsed());
        // The end of a healthy connection restarts the time.
        let mut client = accept_then_drop(200 * SECOND).give_up(GiveUp::After(limit)).build();
        assert_eq!(delays(&mut client, 10).await.len(), 10);
    });
}

#[test]
fn a_decision_may_set_the_delay_or_stop() {
    run(async {
        let mut decisions =
            [Decision::RetryAfter(1000 * SECOND), Decision::Retry, Decision::Stop].into_iter();
        let mut client = refuse().retry_if(move |_| decisions.next().unwrap()).build();
        let delays = delays(&mut client, 2).await;
        assert!(delays[0] >= 1000 * SECOND && delays[0] < 1000 * SECOND + SECOND / 2, "{delays:?}");
        assert!(delays[1] < SECOND, "{delays:?}");
        assert!(matches!(next(&mut client).await, Event::AttemptFailed(failed) if failed.retry_in.is_none()));
        assert!(client.next_event().await.is_none());
        assert_eq!(client.outcome(), Some(Outcome::Stopped));
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up() {
    run(async {
        let mut client =
            Reconnecting::<Io>::dialling(|_| std::future::pending()).attempt_timeout(3 * SECOND).build();
        let start = Instant::now();
        let event = next(&mut client).await;
        let Event::AttemptFailed(failed) = event else { panic!("{event:?}") };
        assert!(matches!(failed.cause, Cause::AttemptTimedOut(limit) if limit == 3 * SECOND));
        assert!(start.elapsed() >= 3 * SECOND && failed.retry_in.is_some());
    });
}

#[test]
fn a_connection_is_closed_at_its_maximal_lifetime() {
    run(async {
        let network = Network::default();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, mut server) = network.connect(1024, Config::default());
            tokio::spawn(async move { while server.recv().await.is_some() {} });
            async { Ok(client) }
        })
        .max_lifetime(Some(100 * SECOND))
        .build();
        let mut lifetimes = Vec::new();
        for connection in 1..=20 {
            assert_eq!(up(&mut client).await, connection);
            let event = next(&mut client).await;
            let Event::Down(down) = event else { panic!("{event:?}") };
            let Cause::Expired(info) = &down.cause else { panic!("{:?}", down.cause) };
            assert!(info.is_clean() && info.sent.as_ref().unwrap().code == Some(CloseCode::NORMAL));
            assert!(down.retry_in.unwrap() < SECOND / 2);
            lifetimes.push(down.served);
        }
        assert!(lifetimes.iter().all(|time| (90 * SECOND..=101 * SECOND).contains(time)), "{lifetimes:?}");
        assert!(lifetimes.iter().max().unwrap().abs_diff(*lifetimes.iter().min().unwrap()) > 4 * SECOND);
    });
}

#[test]
fn a_lifetime_below_the_time_that_makes_a_connection_healthy_does_not_slow_it_down() {
    run(async {
        let network = Network::default();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, mut server) = network.connect(1024, Config::default());
            tokio::spawn(async move { while server.recv().await.is_some() {} });
            async { Ok(client) }
        })
        .healthy_after(100 * SECOND)
        .max_lifetime(Some(SECOND))
        .give_up(GiveUp::Attempts(1))
        .build();
        let delays = delays(&mut client, 50).await;
        assert!(delays.iter().all(|delay| *delay < SECOND / 2), "{delays:?}");
    });
}

#[test]
fn a_dead_server_is_found_by_the_keepalive() {
    run(async {
        let (network, servers) = (Network::default(), Arc::new(Mutex::new(Vec::new())));
        let keep = Arc::clone(&servers);
        let mut client = Reconnecting::dialling(move |_| {
            let (client, server) = network.connect(1024, with_keepalive());
            // Nothing polls it, and its transport stays open.
            keep.lock().unwrap().push(server);
            async { Ok(client) }
        })
        .build();
        up(&mut client).await;
        let event = next(&mut client).await;
        let Event::Down(down) = event else { panic!("{event:?}") };
        let Cause::Closed(info) = &down.cause else { panic!("{:?}", down.cause) };
        assert_eq!(info.error, Some(ConnectionError::TimedOut(TimedOut::Keepalive)));
        assert!(down.served >= 10 * SECOND && down.served < 20 * SECOND, "{:?}", down.served);
        assert_eq!(up(&mut client).await, 2);
    });
}
