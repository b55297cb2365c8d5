//! The client's `WebSocket` on a transport in memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Builder,
};
use ws_proto::{Config, Message};
use ws_tokio::WebSocket;

use super::wire::{BINARY, server_frame};

/// A peer that takes everything, and gives the same bytes with each read.
struct Peer(Vec<u8>);

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.put_slice(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Calls `run` with a connection that receives `depth` messages of `size` bytes with each read.
fn with_client<F: Future>(size: usize, depth: usize, run: impl FnOnce(WebSocket<Peer>) -> F) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let frames = server_frame(BINARY, &vec![b'x'; size]).repeat(depth);
        let config = Config::default().validate().expect("the defaults are valid");
        run(WebSocket::client(Peer(frames), config).expect("random bytes")).await
    });
}

/// 20 bytes, one message in flight.
pub(crate) fn small(count: u32) {
    with_client(20, 1, async |mut ws| {
        let message = Message::from(vec![b'x'; 20]);
        for _ in 0..count {
            ws.send(message.clone()).await.expect("the peer takes everything");
            let echo = ws.recv().await.expect("an echo");
            assert!(echo == message, "not an echo");
        }
    });
}

/// A stream of 200-byte messages, 100 with each read.
pub(crate) fn stream(count: u32) {
    with_client(200, 100, async |mut ws| {
        for _ in 0..count {
            let message = ws.recv().await.expect("a message");
            assert_eq!(message.as_bytes().len(), 200);
        }
    });
}
