//! Laws over random networks, servers, applications and settings. A failure names its seed.

mod ledger;
mod servers;
mod settings;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use ws_client::{
    CloseCode, Reconnecting,
    reconnecting::{Cause, Event, Sender},
};

use crate::support::{Dice, Io, run};
use ledger::Ledger;
use settings::Settings;

/// Simulates one client until it is over, and checks every law.
fn simulate(seed: u64) -> Totals {
    run(async {
        let mut dice = Dice::new(seed);
        let settings = Settings::random(&mut dice);
        let ledger = Arc::new(Mutex::new(Ledger::new(settings)));
        let mut client = settings.client(&ledger, &mut dice);
        for _ in 0..dice.below(3) {
            tokio::spawn(send_now_and_then(client.sender(), Arc::clone(&ledger), dice.split()));
        }
        let end = sleep(Duration::from_millis(1 + dice.below(300_000)));
        application(&mut client, &ledger, end, &mut dice).await;
        // The servers read what has reached them.
        sleep(Duration::from_secs(1)).await;
        let ledger = ledger.lock().unwrap();
        ledger.check_at_the_end(client.outcome());
        Totals { connections: ledger.connections(), accepted: ledger.accepted() }
    })
}

/// Shows that the simulations do something.
#[derive(Debug, Default)]
struct Totals {
    connections: u64,
    accepted: u64,
}

/// Takes events, with interruptions. After `end` it closes the client.
async fn application(
    client: &mut Reconnecting<Io>,
    ledger: &Mutex<Ledger>,
    end: impl Future<Output = ()>,
    dice: &mut Dice,
) {
    let mut end = pin!(end);
    let mut is_closed = false;
    loop {
        if dice.percent(5) {
            // A slow application. Attempts may come later than planned.
            ledger.lock().unwrap().set_punctual(false);
            sleep(Duration::from_millis(dice.below(2000))).await;
        }
        let interrupted = dice.percent(30).then(|| Duration::from_millis(dice.below(400)));
        let interruption = async {
            match interrupted {
                Some(time) => sleep(time).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = end.as_mut(), if !is_closed => {
                is_closed = true;
                client.close(CloseCode::GOING_AWAY, "done");
            }
            event = client.next_event() => match event {
                Some(event) => ledger.lock().unwrap().on_event(event),
                None => return,
            },
            () = interruption => {}
        }
    }
}

/// Sends numbered messages until the client is over.
async fn send_now_and_then(sender: Sender, ledger: Arc<Mutex<Ledger>>, mut dice: Dice) {
    loop {
        sleep(Duration::from_millis(dice.below(4000))).await;
        for _ in 0..=dice.below(4) {
            let (id, message) = ledger.lock().unwrap().new_message(&mut dice);
            let result = if dice.percent(50) {
                Some(sender.try_send(message))
            } else {
                // If it is given up, it was not accepted.
                timeout(Duration::from_millis(dice.below(20_000)), sender.send(message)).await.ok()
            };
            match result {
                Some(Ok(accepted)) => ledger.lock().unwrap().on_accepted(id, accepted),
                Some(Err(ws_client::reconnecting::SendError::Over(_))) => return,
                _ => {}
            }
        }
    }
}

fn simulate_all(seeds: std::ops::Range<u64>) {
    let mut totals = Totals::default();
    for seed in seeds.clone() {
        let one = std::panic::catch_unwind(|| simulate(seed));
        let one = one.unwrap_or_else(|_| panic!("seed {seed} breaks a law, see above"));
        totals.connections += one.connections;
        totals.accepted += one.accepted;
    }
    let seeds = seeds.end - seeds.start;
    assert!(totals.connections > 2 * seeds && totals.accepted > 10 * seeds, "{totals:?}");
}

#[test]
fn all_laws_hold_from_seed_0() {
    simulate_all(0..2500);
}

#[test]
fn all_laws_hold_from_seed_2500() {
    simulate_all(2500..5000);
}

#[test]
fn all_laws_hold_from_seed_5000() {
    simulate_all(5000..7500);
}

#[test]
fn all_laws_hold_from_seed_7500() {
    simulate_all(7500..10_000);
}

#[test]
fn equal_seeds_have_equal_histories() {
    for seed in 0..100 {
        let history = || {
            run(async {
                let mut dice = Dice::new(seed);
                let settings = Settings::random(&mut dice);
                let ledger = Arc::new(Mutex::new(Ledger::unchecked(settings)));
                let mut client = settings.client(&ledger, &mut dice);
                let (start, mut history) = (Instant::now(), Vec::new());
                while history.len() < 20
                    && let Ok(Some(event)) = timeout(Duration::from_secs(600), client.next_event()).await
                {
                    history.push((start.elapsed(), describe(&event)));
                }
                history
            })
        };
        assert_eq!(history(), history(), "seed {seed}");
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::AttemptFailed(failed) => format!("{:?} {}", failed.retry_in, failed.cause),
        Event::Down(down) => format!("{:?} {}", down.retry_in, down.cause),
        other => format!("{other:?}"),
    }
}

/// Polls once, beyond tokio's cooperative budget, which a transport in memory uses up.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(tokio::task::unconstrained(future));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Whether a cause must not lead to another attempt, in this simulation.
fn is_final(cause: &Cause) -> bool {
    match cause {
        Cause::Closed(info) => [1008, 1009, 4000].contains(&info.code()),
        Cause::Connect(error) => !error.is_temporary(),
        _ => false,
    }
}
