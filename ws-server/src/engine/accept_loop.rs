//! The accept loop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    admission::permits::{Full, Permit, Permits},
    handshake::{refusal, respond},
    net::listener::{Accepting, Incoming},
    shard::server_state::{Phase, ServerState},
};

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// Peers without a place that are told so at once; further ones are only closed.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// Accepts until the hub drains; `admit` gets each stream with its handshake slot.
pub(crate) async fn accept_loop(
    listener: Accepting,
    server: &Arc<ServerState>,
    mut admit: impl FnMut(Incoming, Option<SocketAddr>, Permit),
) {
    // Where addresses have shares, one alone does not get all answers.
    let has_shares = server.options.max_per_address < usize::MAX;
    let share = if has_shares { TURNED_AWAY_AT_ONCE / 8 } else { usize::MAX };
    let turned_away = Permits::with_shares(TURNED_AWAY_AT_ONCE, share);
    let draining = server.reached(Phase::Draining);
    tokio::pin!(draining);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            () = &mut draining => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                backoff = FIRST_BACKOFF;
                // A socket that cannot be configured is broken already.
                if socket.set_nodelay(server.options.tcp_nodelay).is_err() {
                    continue;
                }
                match server.handshakes.acquire(peer) {
                    Ok(permit) => admit(socket, peer, permit),
                    Err(full) => turn_away(socket, peer, full, server, &turned_away),
                }
            }
            Err(error) if concerns_one_peer(&error) => {
                tracing::debug!(%error, "a peer left before it was accepted")
            }
            Err(error) => {
                // Out of descriptors or memory. The listener stays readable, so trying again at once would spin.
                tracing::warn!(%error, ?backoff, "cannot accept connections for now");
                tokio::select! {
                    () = &mut draining => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(LAST_BACKOFF);
            }
        }
    }
}

fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

/// Tells a peer that there is no place for it, as long as not too many are being told.
fn turn_away(
    socket: Incoming,
    peer: Option<SocketAddr>,
    full: Full,
    server: &ServerState,
    turned_away: &Arc<Permits>,
) {
    if server.options.uses_tls() {
        // It could not be understood, and to be understood takes what there is not enough of.
        return;
    }
    let (Ok(permit), Ok(mut stream)) = (turned_away.acquire(peer), socket.into_stream()) else { return };
    let patience = server.options.handshake_timeout;
    tokio::spawn(async move {
        respond(&mut stream, &refusal(full), patience).await;
        drop(permit);
    });
}
