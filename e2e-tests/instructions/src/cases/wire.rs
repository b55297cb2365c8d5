//! A peer with blocking sockets that costs few instructions, and its bytes.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use tokio::runtime::Builder;
use ws_proto::mask::apply_mask;
use ws_server::{DeflateConfig, Server};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
/// In the first byte of a frame: the message is compressed.
pub(crate) const COMPRESSED: u8 = 0x40;

const KEY: [u8; 4] = [0x5a, 0x17, 0xc3, 0x84];

/// A client's frame. The payload has less than 64 KiB.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0x80, payload);
    frame.extend_from_slice(&KEY);
    let start = frame.len();
    frame.extend_from_slice(payload);
    apply_mask(KEY, &mut frame[start..]);
    frame
}

/// A server's frame. The payload has less than 64 KiB.
pub(crate) fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&head(first, 0, payload)[..], payload].concat()
}

fn head(first: u8, mask_bit: u8, payload: &[u8]) -> Vec<u8> {
    if payload.len() < 126 {
        return vec![first, mask_bit | payload.len() as u8];
    }
    let [high, low] = (payload.len() as u16).to_be_bytes();
    vec![first, mask_bit | 126, high, low]
}

/// The request for a WebSocket.
pub(crate) const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Runs a server on a free port, on a thread that lives as long as the process.
pub(crate) fn serve<F: Future>(run: impl FnOnce(Server) -> F + Send + 'static) -> SocketAddr {
    serve_with(None, run)
}

/// As [`serve`], with compression if it is set.
pub(crate) fn serve_with<F: Future>(
    deflate: Option<DeflateConfig>,
    run: impl FnOnce(Server) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let addr = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let server = Server::builder().max_handshakes(1000).deflate(deflate);
            let server = server.listener(listener).expect("valid settings");
            run(server).await
        });
    });
    addr
}

/// The same, which offers compression without context takeover.
pub(crate) fn deflate_request() -> Vec<u8> {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                 server_no_context_takeover\r\n\r\n";
    [&REQUEST[..REQUEST.len() - 2], offer.as_bytes()].concat()
}

/// A connection whose handshake is complete.
pub(crate) fn open(addr: SocketAddr) -> TcpStream {
    open_with(REQUEST, addr)
}

/// As [`open`], with this request.
pub(crate) fn open_with(request: &[u8], addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    stream.write_all(request).expect("the server reads");
    read_response(&mut stream);
    stream
}

/// Reads a 101. Nothing follows it.
pub(crate) fn read_response(stream: &mut TcpStream) {
    let mut head = [0; 1024];
    let mut len = 0;
    while !head[..len].ends_with(b"\r\n\r\n") {
        len += stream.read(&mut head[len..]).expect("the server answers");
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "a refusal");
}
