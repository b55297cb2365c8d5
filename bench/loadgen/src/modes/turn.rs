//! What the loads that check whole messages do in each turn.

use crate::connect::PATIENCE;
use crate::stream::Stream;
use bench_common::epoll::Epoll;
use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant};

/// A loop over connections that are numbered by the tokens of its epoll.
pub(super) trait Turns {
    fn epoll(&mut self) -> &mut Epoll;

    /// Reads from the connection once, and handles what arrived.
    fn read(&mut self, index: usize) -> Result<(), String>;

    /// Handles the events that the kernel reports next.
    fn turn(&mut self) -> Result<(), String> {
        for event in 0..wait_for_events(self.epoll())? {
            let index = self.epoll().event(event).token as usize;
            self.read(index).map_err(|error| format!("connection {index}: {error}"))?;
        }
        Ok(())
    }

    fn turn_for(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }
}

/// Waits until the kernel reports events, and returns their number.
pub(super) fn wait_for_events(epoll: &mut Epoll) -> Result<usize, String> {
    let started = Instant::now();
    loop {
        let count = epoll.wait(100).map_err(|error| error.to_string())?;
        if count > 0 {
            return Ok(count);
        }
        if started.elapsed() > PATIENCE {
            return Err(String::from("the server has stopped answering"));
        }
    }
}

/// Reads once. `None` means that nothing has arrived.
pub(super) fn read(stream: &mut Stream, buffer: &mut [u8]) -> Result<Option<usize>, String> {
    match stream.read(buffer) {
        Ok(0) => Err(String::from("closed by the server")),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some).map_err(|error| error.to_string()),
    }
}
