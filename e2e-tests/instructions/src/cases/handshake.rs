//! Handshakes of a shard: from the accepted socket to the 101, and the end of the connection.

use std::{io::Write as _, net::TcpStream};

use ws_server::Server;

use super::{
    server::Echo,
    stopper::stopper,
    wire::{REQUEST, read_response, serve},
};

/// Connections that are opened together, and then closed together.
const BATCH: u32 = 32;

pub(crate) fn handshakes(count: u32) {
    let (stop, mut stopper) = stopper();
    let addr = serve(|server: Server| server.sharded(1).serve_handler::<Echo>(stop));
    stopper.connect(addr);
    for _ in 0..count / BATCH {
        stopper.stop();
        let mut batch: Vec<_> = (0..BATCH)
            .map(|_| {
                let mut stream = TcpStream::connect(addr).expect("the server listens");
                stream.write_all(REQUEST).expect("the kernel takes it");
                stream
            })
            .collect();
        stopper.resume();
        batch.iter_mut().for_each(read_response);
        stopper.stop();
        drop(batch);
        stopper.resume();
    }
}
