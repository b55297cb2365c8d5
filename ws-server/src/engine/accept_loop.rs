//! Accepts sockets, and rejects those beyond the limit of handshakes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    admission::permits::{Full, Permit, Permits},
    handshake::{rejection_when_full, send_response},
    log_limit::log_limited,
    measure::HandshakeFailure,
    net::{
        Io as _,
        listener::{Accepting, Incoming},
        stream::ServerStream,
    },
    shard::server_state::{ServerState, ShutdownPhase},
    wait::{First, first},
};

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// Rejections that are written at the same time to peers without a permit. Further peers get no response.
const MAX_REJECTIONS: usize = 64;

/// Accepts until the server drains. `on_accepted` gets each socket with its handshake permit.
pub(crate) async fn accept_loop(
    listener: Accepting,
    server: &Arc<ServerState>,
    mut on_accepted: impl FnMut(Incoming, Option<SocketAddr>, Permit),
) {
    // If connections per address are limited, so are the rejections that one address gets.
    let per_address = server.options.max_per_address.map(|_limit| MAX_REJECTIONS / 8);
    let rejections = Permits::with_shares(Some(MAX_REJECTIONS), per_address);
    let draining = server.reached(ShutdownPhase::Draining);
    tokio::pin!(draining);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let First::Right(accepted) = first!(&mut draining, listener.accept()) else { return };
        match accepted {
            Ok((socket, peer)) => {
                backoff = FIRST_BACKOFF;
                // A socket that cannot be configured is broken already.
                if !listener.has_nodelay() && socket.set_nodelay(server.options.tcp_nodelay).is_err() {
                    continue;
                }
                // A trusted proxy names its clients later. The handshake counts as one of the client then.
                let names_clients =
                    server.options.expects_proxy_header(peer) || server.options.trusts_forwarded(peer);
                let counted = peer.filter(|_| !names_clients);
                match server.handshakes.acquire(counted) {
                    Ok(permit) => on_accepted(socket, peer, permit),
                    Err(full) => reject(socket, counted, full, server, &rejections),
                }
            }
            Err(error) if concerns_one_peer(&error) => {
                let line = "a peer left before its connection was accepted";
                log_limited!(server.log_limits, Socket, debug, %error, "{line}");
            }
            Err(error) => {
                // The process is out of descriptors or memory. The listener stays readable, so a retry at once would
                // spin.
                server.counters.count_backoff();
                let line = "accepting a connection failed";
                log_limited!(server.log_limits, Socket, warn, %error, ?backoff, "{line}");
                if let First::Left(()) = first!(&mut draining, tokio::time::sleep(backoff)) {
                    return;
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

/// Rejects a peer that gets no handshake permit, unless too many rejections are being written.
fn reject(
    socket: Incoming,
    peer: Option<SocketAddr>,
    full: Full,
    server: &Arc<ServerState>,
    rejections: &Arc<Permits>,
) {
    let mut progress = server.begin_handshake(peer);
    progress.fail(HandshakeFailure::Overload);
    if server.options.uses_tls() {
        // The response needs a TLS handshake, which costs more than a server without free permits can spend.
        return;
    }
    let (Ok(permit), Ok(mut stream)) = (rejections.acquire(peer), socket.into_stream()) else { return };
    let patience = server.options.handshake_timeout;
    tokio::spawn(async move {
        let rejection = rejection_when_full(full);
        progress.refuse(rejection.response().status());
        send_response(&mut stream, &rejection.encode(), patience, ServerStream::send_queue).await;
        drop((progress, permit));
    });
}
