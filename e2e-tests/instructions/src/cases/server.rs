//! Echoes of the server, over loopback.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use ws_server::{Conn, DeflateConfig, Handler, MessageRef, Rejection, Request, Server};

use super::{
    machine::{compressed_echo, compressed_requests},
    stopper::{Stop, stopper},
    wire::{
        BINARY, REQUEST, client_frame, deflate_request, open, open_with, serve, serve_with, server_frame,
    },
};

/// Connections of the cases with one message in flight on each.
const CONNECTIONS: u32 = 40;

/// Echoes, unless it is to stop.
pub(crate) struct Echo(Stop);

impl Handler for Echo {
    type Context = Stop;

    fn accept(_request: &mut Request, stop: &Stop) -> Result<Self, Rejection> {
        Ok(Self(stop.clone()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        if !self.0.obey(message.as_bytes()) {
            conn.send(message).expect("room for an echo");
        }
    }
}

macro_rules! echo {
    ($stop:ident) => {
        move |mut ws, _request| {
            let stop = $stop.clone();
            async move {
                while let Some(message) = ws.recv().await {
                    if !stop.obey(message.as_bytes()) {
                        ws.send(message).await.expect("room for an echo");
                    }
                }
            }
        }
    };
}

fn handler(stop: Stop) -> SocketAddr {
    serve(|server: Server| server.sharded(1).serve_handler::<Echo>(stop))
}

fn function(stop: Stop) -> SocketAddr {
    serve(|server: Server| server.sharded(1).serve(echo!(stop)))
}

fn serve_deflating<F: Future>(run: impl FnOnce(Server) -> F + Send + 'static) -> SocketAddr {
    serve_with(Some(DeflateConfig::server()), run)
}

fn lent_function(stop: Stop) -> SocketAddr {
    serve(|server: Server| {
        server.sharded(1).serve(move |ws, _request| {
            let stop = stop.clone();
            async move {
                let (sender, mut receiver) = ws.split();
                while let Some(message) = receiver.recv_ref().await {
                    if !stop.obey(message.as_bytes()) {
                        sender.send_ref(message).await.expect("room for an echo");
                    }
                }
            }
        })
    })
}

fn task(stop: Stop) -> SocketAddr {
    serve(|server: Server| server.serve(echo!(stop)))
}

/// 20 bytes, one message in flight on each connection.
pub(crate) fn handler_small(count: u32) {
    small(handler, count);
}

/// 64 bytes, 64 messages in flight.
pub(crate) fn handler_pipelined(count: u32) {
    pipelined(handler, count);
}

/// As [`handler_small`], with an async function on a shard.
pub(crate) fn async_small(count: u32) {
    small(function, count);
}

/// As [`handler_pipelined`], with an async function on a shard.
pub(crate) fn async_pipelined(count: u32) {
    pipelined(function, count);
}

/// As [`async_pipelined`], with messages that are lent.
pub(crate) fn async_lent(count: u32) {
    pipelined(lent_function, count);
}

/// 1,000 bytes of JSON, compressed in both directions, one message in flight on each connection.
pub(crate) fn handler_deflate(count: u32) {
    deflate(|stop| serve_deflating(|server| server.sharded(1).serve_handler::<Echo>(stop)), count);
}

/// As [`handler_deflate`], with an async function on a shard.
pub(crate) fn async_deflate(count: u32) {
    deflate(|stop| serve_deflating(|server| server.sharded(1).serve(echo!(stop))), count);
}

/// As [`handler_small`], with an async function on a task of the caller's runtime.
pub(crate) fn tasks_small(count: u32) {
    small(task, count);
}

fn small(start: fn(Stop) -> SocketAddr, count: u32) {
    let echo = (client_frame(BINARY, &[b'x'; 20]), server_frame(BINARY, &[b'x'; 20]));
    echoes(start, REQUEST, &[echo], count);
}

fn deflate(start: fn(Stop) -> SocketAddr, count: u32) {
    let requests = compressed_requests().into_iter();
    let echoed: Vec<_> = requests.map(|request| (request.clone(), compressed_echo(&request))).collect();
    echoes(start, &deflate_request(), &echoed, count);
}

/// Sends frames to many connections in turn, one at a time to each. With each frame comes its echo.
fn echoes(start: fn(Stop) -> SocketAddr, handshake: &[u8], frames: &[(Vec<u8>, Vec<u8>)], count: u32) {
    let (stop, mut stopper) = stopper();
    let addr = start(stop);
    stopper.connect(addr);
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| open_with(handshake, addr)).collect();
    let mut received = Vec::new();
    for _ in 0..count / CONNECTIONS {
        stopper.stop();
        for (stream, (request, _)) in streams.iter_mut().zip(frames.iter().cycle()) {
            stream.write_all(request).expect("the kernel takes it");
        }
        stopper.resume();
        for (stream, (_, echo)) in streams.iter_mut().zip(frames.iter().cycle()) {
            received.resize(echo.len(), 0);
            stream.read_exact(&mut received).expect("the server answers");
            assert!(received == *echo, "not an echo");
        }
    }
}

fn pipelined(start: fn(Stop) -> SocketAddr, count: u32) {
    const DEPTH: u32 = 64;
    let mut stream = open(start(stopper().0));
    let requests = client_frame(BINARY, &[b'x'; 64]).repeat(DEPTH as usize);
    let echoes = server_frame(BINARY, &[b'x'; 64]).repeat(DEPTH as usize);
    let mut received = vec![0; echoes.len()];
    for _ in 0..count / DEPTH {
        stream.write_all(&requests).expect("the server reads");
        stream.read_exact(&mut received).expect("the server answers");
    }
    assert!(received == echoes, "not an echo");
}
