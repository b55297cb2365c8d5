//! Traits of the types, and transports that are not `Send`.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use ws_proto::{CloseCode, Message, Role};
use ws_tokio::{Error, Receiver, Sender, WebSocket, internal::ServerHalf};

use crate::support::{Frame, TestTransport, config, connection, open};

fn is_send<T: Send>(_: &T) {}
fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn a_websocket_is_send_where_its_transport_is() {
    is_send_and_sync::<WebSocket<DuplexStream>>();
    is_send_and_sync::<ServerHalf<DuplexStream>>();
    is_send_and_sync::<Sender>();
    is_send_and_sync::<Receiver<DuplexStream>>();
}

#[tokio::test]
async fn the_futures_are_send_where_the_transport_is() {
    let (mut ws, _peer) = open(Role::Client);
    is_send(&ws.recv());
    is_send(&ws.send("text"));
    is_send(&ws.feed("text"));
    is_send(&ws.flush());
    is_send(&ws.ping(b""));
    is_send(&ws.close(CloseCode::NORMAL, ""));
    is_send(&ws.close_without_code());
    is_send(&ws.sender().send("text"));
    is_send(&ws.sender().closed());
    is_send(&ws.split().1.recv());
}

#[test]
fn a_websocket_is_a_stream_and_a_sink_of_messages() {
    fn both<T>()
    where
        T: Stream<Item = Result<Message, Error>> + FusedStream + Sink<Message, Error = Error> + Unpin,
    {
    }
    both::<WebSocket<DuplexStream>>();
}

#[test]
fn the_halves_are_a_sink_and_a_stream_of_messages() {
    fn sink<T: Sink<Message, Error = Error> + Unpin>() {}
    fn stream<T: Stream<Item = Result<Message, Error>> + FusedStream + Unpin>() {}
    sink::<Sender>();
    stream::<Receiver<DuplexStream>>();
}

/// A transport that is not `Send`.
struct NotSend {
    transport: TestTransport,
    _stays_here: Rc<()>,
}

impl AsyncRead for NotSend {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for NotSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_transport_need_not_be_send() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let io = NotSend { transport, _stays_here: Rc::new(()) };
    let mut ws = WebSocket::new(io, connection(Role::Server, config()));
    peer.send(Frame::text("in"));
    assert_eq!(ws.recv().await, Some(Message::text("in")));
    ws.send("out").await.unwrap();
    assert_eq!(peer.received(), [Frame::text("out")]);
}
