//! An echo server that uses `ws-proto` directly, on `mio` (epoll, kqueue or IOCP). It needs no async runtime and serves
//! all connections in one thread.
//!
//! `cargo run --release --bin polling-echo -- [ADDR]`

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    process::ExitCode,
    time::{Duration, Instant},
};

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use ws_proto::{Config, ReceiveBuffer};

use client::{Client, Turn};

mod client;

fn main() -> ExitCode {
    let addr = match address(lexopt::Parser::from_env()) {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!("usage: polling-echo [ADDR]");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("polling-echo: {error}");
            return ExitCode::from(2);
        }
    };
    let Err(error) = serve(&addr);
    eprintln!("polling-echo: {addr}: {error}");
    ExitCode::FAILURE
}

/// Parses the address to listen on. `None` means `--help`.
fn address(mut parser: lexopt::Parser) -> Result<Option<String>, lexopt::Error> {
    let mut addr = "127.0.0.1:9004".to_owned();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Value(value) => addr = value.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(addr))
}

/// Serves until the poll fails.
fn serve(addr: &str) -> io::Result<std::convert::Infallible> {
    const LISTENER: Token = Token(0);
    let config = Config::default().validate().map_err(io::Error::other)?;
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    println!("listening on ws://{}", listener.local_addr()?);
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut next = 1;
    // Between two turns this is empty, so that all connections share it.
    let mut rx = ReceiveBuffer::default();
    // Clients that have more to do, although no event reports it. Events are edges, not states.
    let mut again: Vec<Token> = Vec::new();
    loop {
        // A server with very many connections keeps the deadlines in a heap or a timer wheel.
        let due = clients.values().filter_map(Client::deadline).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, if again.is_empty() { due } else { Some(Duration::ZERO) }) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Instant::now();
        let mut ready = std::mem::take(&mut again);
        ready.extend(events.iter().map(|event| event.token()));
        let is_due = |client: &Client| client.deadline().is_some_and(|due| due <= now);
        ready.extend(clients.iter().filter(|(_, client)| is_due(client)).map(|(token, _)| *token));
        for token in ready {
            if token == LISTENER {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, Token(next), both)?;
                        clients.insert(Token(next), Client::new(stream, &config));
                        next += 1;
                        again.push(LISTENER);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => {
                        eprintln!("accepting a connection failed: {error}");
                        std::thread::sleep(Duration::from_millis(10));
                        again.push(LISTENER);
                    }
                }
            } else if let Some(client) = clients.get_mut(&token) {
                match client.turn(&config, &mut rx) {
                    Turn::Wait => {}
                    Turn::Again => again.push(token),
                    Turn::End => {
                        poll.registry().deregister(client.stream())?;
                        clients.remove(&token);
                    }
                }
            }
        }
    }
}
