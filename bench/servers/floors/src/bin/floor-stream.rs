//! The source of a stream: after the handshake, it sends binary messages of the size that the target names, as fast as
//! the connection takes them. A blocking thread per connection, and some hundred kilobytes per `send`.

use bench_common::{client, server};
use floors::upgrade;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

/// The minimum size of one write.
const BATCH: usize = 256 * 1024;

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    let answer = loop {
        if let Some(answer) = upgrade::answer(&head) {
            break answer.ok_or(ErrorKind::InvalidData)?;
        }
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&chunk[..count]),
        }
    };
    stream.write_all(&answer)?;
    let frame = frame(&client::payload(upgrade::group(&head)))?;
    let batch = frame.repeat(BATCH.div_ceil(frame.len()));
    loop {
        stream.write_all(&batch)?;
    }
}

fn frame(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = vec![0x82];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => frame.push(short as u8),
        Ok(medium) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => return Err(io::Error::new(ErrorKind::InvalidInput, "messages of at most 65,535 bytes")),
    }
    frame.extend_from_slice(payload);
    Ok(frame)
}

fn main() -> io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let listener = server::listen(options.listen)?;
    listener.set_nonblocking(false)?;
    loop {
        let (stream, _) = listener.accept()?;
        // An error means that the client has closed.
        std::thread::spawn(move || serve(stream));
    }
}
