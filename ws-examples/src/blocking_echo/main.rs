//! An echo server that uses `ws-proto` directly, with blocking sockets of the standard library. It needs no
//! async runtime and runs one thread per connection.
//!
//! `cargo run --release --bin blocking-echo -- [ADDR]`

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use bytes::Buf;
use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_proto::{
    Config, Connection, Event, ReceiveBuffer, TransmitQueue, TransportAction, ValidConfig,
    handshake::{Rejection, RequestError, RequestReader, ResponseParts, ServerHandshake},
};

fn main() -> ExitCode {
    let addr = match address(lexopt::Parser::from_env()) {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!("usage: blocking-echo [ADDR]");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("blocking-echo: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(&addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocking-echo: {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Parses the address to listen on. `None` means `--help`.
fn address(mut parser: lexopt::Parser) -> Result<Option<String>, lexopt::Error> {
    let mut addr = "127.0.0.1:9003".to_owned();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Value(value) => addr = value.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(addr))
}

fn serve(addr: &str) -> io::Result<()> {
    let config = Config::default().validate().map_err(io::Error::other)?;
    let listener = TcpListener::bind(addr)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, config) = (stream?, config.clone());
        thread::spawn(move || {
            if let Err(error) = echo(stream, config) {
                eprintln!("a connection failed: {error}");
            }
        });
    }
    Ok(())
}

/// Serves one connection, from the request until it is closed.
fn echo(mut stream: TcpStream, config: ValidConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut rx = ReceiveBuffer::default();
    let mut tx = TransmitQueue::new();
    let Some(early) = accept(&mut stream, &config)? else { return Ok(()) };
    let mut connection = Connection::server(config, Instant::now());
    // The receive buffer is much larger than the bytes that were read with the request head.
    connection.receive(&early, Instant::now(), &mut rx);

    loop {
        // 1. Handle all events and echo the messages.
        while let Some(event) = connection.poll_event(&mut rx, &mut tx) {
            match event {
                Event::Message(message) => {
                    // An error can be ignored: one reply per message never fills the queue, and step 2
                    // empties it.
                    let _ = connection.send(message.kind(), message.as_bytes(), &mut tx);
                }
                Event::Closed(info) => {
                    println!("closed: code {}, clean: {}", info.code(), info.is_clean());
                    return Ok(());
                }
                _ => {}
            }
        }
        // 2. Write all queued bytes.
        write_all(&mut stream, &mut connection, &mut tx);
        // 3. Follow the connection's instruction for the socket.
        match connection.transport_action(&tx) {
            // A large compressed message is inflated in several steps.
            TransportAction::Continue if connection.wants_turn() => continue,
            TransportAction::Continue => {}
            TransportAction::ShutDownWrite => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
            TransportAction::Close => continue,
        }
        // 4. Wait for bytes or for the next deadline.
        read(&mut stream, &mut connection, &mut rx, &mut tx)?;
    }
}

/// Performs the handshake. Returns the bytes that follow the request, or `None` if there is no connection.
fn accept(stream: &mut TcpStream, config: &Config) -> io::Result<Option<Vec<u8>>> {
    let mut reader = RequestReader::new(&config.limits);
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(None);
        }
        received.extend_from_slice(&chunk[..n]);
        let result = reader.read(&received).and_then(|head| {
            let Some((request, len)) = head else { return Ok(None) };
            Ok(Some((ServerHandshake::new(&request)?, len)))
        });
        match result {
            Ok(None) => {}
            Ok(Some((handshake, len))) => {
                let response = handshake.accept(&ResponseParts::default()).map_err(io::Error::other)?;
                stream.write_all(&response)?;
                return Ok(Some(received.split_off(len)));
            }
            Err(error) => return refuse(stream, error).map(|()| None),
        }
    }
}

fn refuse(stream: &mut TcpStream, error: RequestError) -> io::Result<()> {
    stream.write_all(&Rejection::from(error).encode())
}

fn write_all(stream: &mut TcpStream, connection: &mut Connection, tx: &mut TransmitQueue) {
    loop {
        connection.pump(tx);
        if tx.is_empty() {
            return;
        }
        match stream.write(tx.chunk()) {
            Ok(n) => {
                tx.advance(n);
                connection.handle_written(Instant::now());
            }
            Err(error) => connection.handle_write_error(error.kind(), Instant::now(), tx),
        }
    }
}

fn read(
    stream: &mut TcpStream,
    connection: &mut Connection,
    rx: &mut ReceiveBuffer,
    tx: &mut TransmitQueue,
) -> io::Result<()> {
    let now = Instant::now();
    let wait = connection.poll_timeout(tx).map(|due| due.saturating_duration_since(now));
    // `set_read_timeout` rejects a timeout of zero.
    stream.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
    match stream.read(connection.read_target(rx)) {
        Ok(0) => connection.handle_eof(Instant::now()),
        Ok(n) => connection.handle_received(n, Instant::now(), rx),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            connection.handle_timeout(Instant::now(), tx);
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => connection.handle_transport_error(error.kind(), tx),
    }
    Ok(())
}
