//! `--echo`.

use ws_server::Request;

use super::Socket;

/// Sends each message back.
pub(super) async fn serve(mut socket: Socket, _: Request) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
