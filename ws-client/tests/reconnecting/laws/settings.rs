//! Random settings of a client.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use ws_client::{
    Reconnecting,
    error::ConnectError,
    reconnecting::{Backoff, Cause, GiveUp, WhenFull, WhileAway},
};

use super::{ledger::Ledger, servers::serve};
use crate::support::{Dice, Io, Network, client_socket, with_keepalive};

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) backoff: Backoff,
    pub(super) healthy_after: Duration,
    pub(super) give_up: GiveUp,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) while_away: WhileAway,
    has_setup: bool,
}

impl Settings {
    pub(super) fn random(dice: &mut Dice) -> Self {
        let millis = |dice: &mut Dice, below| Duration::from_millis(1 + dice.below(below));
        Self {
            backoff: if dice.percent(50) {
                Backoff::default()
            } else {
                Backoff::full_jitter(millis(dice, 2000), millis(dice, 40_000))
            },
            healthy_after: millis(dice, 20_000),
            give_up: match dice.below(10) {
                0 => GiveUp::After(millis(dice, 100_000)),
                1 => GiveUp::Attempts(1 + dice.below(10) as u32),
                _ => GiveUp::Never,
            },
            max_lifetime: dice.percent(30).then(|| millis(dice, 60_000)),
            while_away: match dice.below(4) {
                0 => WhileAway::Fail,
                1 => WhileAway::Wait,
                n => WhileAway::Keep {
                    bytes: dice.below(4000) as usize,
                    when_full: if n == 2 { WhenFull::Refuse } else { WhenFull::DropOldest },
                },
            },
            has_setup: dice.percent(70),
        }
    }

    pub(super) fn client(self, ledger: &Arc<Mutex<Ledger>>, dice: &mut Dice) -> Reconnecting<Io> {
        let (network, mut dialling, log) = (Network::default(), dice.split(), Arc::clone(ledger));
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&dice.number().to_le_bytes());
        let mut builder = Reconnecting::dialling(move |attempt| {
            let connection = log.lock().unwrap().on_attempt(attempt);
            dial(network.clone(), Arc::clone(&log), connection, dialling.split())
        })
        .backoff(self.backoff)
        .healthy_after(self.healthy_after)
        .give_up(self.give_up)
        .max_lifetime(self.max_lifetime)
        .attempt_timeout(Duration::from_secs(20))
        .while_away(self.while_away)
        .jitter_seed(seed);
        if self.has_setup {
            let log = Arc::clone(ledger);
            builder = builder.on_connected(move |ws, connection| {
                let log = Arc::clone(&log);
                Box::pin(async move {
                    sleep(Duration::from_millis(connection % 3 * 100)).await;
                    ws.send(format!("hook {connection}")).await?;
                    log.lock().unwrap().expect_hook(connection);
                    Ok(())
                })
            });
        }
        builder.build()
    }
}

/// An attempt: it is refused, hangs, or reaches a server.
async fn dial(
    network: Network,
    ledger: Arc<Mutex<Ledger>>,
    connection: u64,
    mut dice: Dice,
) -> Result<ws_client::WebSocket<Io>, Cause> {
    sleep(Duration::from_millis(dice.below(500))).await;
    match dice.below(100) {
        0..20 => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
        20..23 => std::future::pending().await,
        23 => return Err(ConnectError::NoRuntime.into()),
        24..28 => return Err(Cause::Request("no token".into())),
        _ => {}
    }
    let mut config = with_keepalive();
    config.write_queue_messages = 1 + dice.below(8) as usize;
    let (io, server) = network.open(64 + dice.below(2000) as usize);
    let server = crate::support::server_socket(server);
    tokio::spawn(serve(server, io.life(), connection, ledger, dice));
    Ok(client_socket(io, config))
}
