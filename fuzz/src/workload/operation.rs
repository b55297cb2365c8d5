//! The operations of the application, chosen by the fuzzer.

use std::{future::poll_fn, io::ErrorKind, pin::Pin};

use futures_core::Stream;
use futures_sink::Sink;
use ws_proto::{CloseCode, Message, PreparedMessage, error::SendError};

use super::{Pair, ledger::Fate, transport::Fault};
use crate::input::Input;

/// The fate of a send after this many polls.
fn fate<P>(sent: Option<Result<(), SendError<P>>>, polls: usize, is_taken_at_once: bool) -> Fate {
    match sent {
        Some(Ok(())) => Fate::Sure,
        Some(Err(_)) => Fate::Refused,
        None if polls == 0 => Fate::Refused,
        None if is_taken_at_once => Fate::Sure,
        None => Fate::Maybe,
    }
}

impl Pair {
    pub(super) fn operate(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let at = usize::from(operation >> 7);
        let polls = match input.byte() {
            few @ 0..128 => usize::from(few % 8),
            many => usize::from(many) * 2,
        };
        match operation & 0x1f {
            0..=2 => self.receive(at, polls),
            3 => self.receive_by_stream(at, polls),
            4..=6 => self.send(at, polls, input),
            7 => self.feed(at, polls, input),
            8 => self.send_prepared(at, polls, input),
            9..=10 => self.send_by_sender(at, polls, input),
            11 => self.try_send(at, input),
            12..=13 => self.send_by_sink(at, polls, input),
            14 => self.flush_sink(at, polls),
            15 => drop(self.sides[at].run(polls, async |ws| ws.flush().await)),
            16 => {
                let payload = vec![b'p'; input.below(126)];
                let _ = self.sides[at].run(polls, async |ws| ws.ping(&payload).await);
            }
            17 => drop(self.sides[at].sender.ping(b"from a sender")),
            18 => {
                let message = self.message(at, input);
                self.sides[at].send_from_other_task(message);
            }
            19 => drop(self.sides[at].poll_other_task()),
            20..=21 => drop(self.link.release()),
            _ => self.seldom(operation, at, polls, input),
        }
    }

    /// Operations that may end the connection. They are rare.
    fn seldom(&mut self, operation: u8, at: usize, polls: usize, input: &mut Input<'_>) {
        let code = CloseCode::new(4000).expect("valid");
        match (operation & 0x7f, input.byte()) {
            (0x38, 0) => {
                self.sides[at].stopped |= polls > 0;
                self.sides[at].run(polls, async |ws| ws.close(code, "enough").await);
            }
            (0x39, 0) => {
                self.sides[at].stopped |= polls > 0;
                self.sides[at].run(polls, async |ws| poll_fn(|cx| Pin::new(&mut *ws).poll_close(cx)).await);
            }
            (0x3a, 0) => {
                self.sides[at].stopped = true;
                self.sides[at].sender.close(code, "enough");
            }
            (0x3b, 0) => {
                self.failed = true;
                self.sides[at].drop_handle();
            }
            (0x3c, choice) => {
                const KINDS: [ErrorKind; 6] = [
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                    ErrorKind::TimedOut,
                    ErrorKind::UnexpectedEof,
                    ErrorKind::WouldBlock,
                    ErrorKind::Other,
                ];
                let kind = KINDS[usize::from(choice >> 4) % KINDS.len()];
                match choice & 15 {
                    0 => self.fail(at, Fault::Read(kind)),
                    1 => self.fail(at, Fault::Write(kind)),
                    2 => self.fail(at, Fault::End),
                    3 => self.fail(at, Fault::TakesNothing),
                    4 => self.fail(at, Fault::TakesTooMuch),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, at: usize, polls: usize) {
        let received = self.sides[at].run(polls, async |ws| ws.recv().await);
        if let Some(Some(message)) = received {
            self.arrive(at, &message);
        }
    }

    fn receive_by_stream(&mut self, at: usize, polls: usize) {
        let next = self.sides[at].run(polls, async |ws| poll_fn(|cx| Pin::new(&mut *ws).poll_next(cx)).await);
        match next.flatten() {
            Some(Ok(message)) => self.arrive(at, &message),
            Some(Err(_)) => self.sides[at].errors += 1,
            None => {}
        }
    }

    fn message(&mut self, at: usize, input: &mut Input<'_>) -> Message {
        let shape = input.byte();
        let len = match shape & 3 {
            0 => 0,
            1 => input.below(200),
            2 => input.number() % 3000,
            // Sometimes larger than one read.
            _ if shape >> 4 == 0 => 5000 + input.number() % 16_000,
            _ => 30,
        };
        self.sides[at].message(len, shape & 4 == 0)
    }

    /// Whether a send is accepted at its first poll.
    fn takes_at_once(&self, at: usize) -> bool {
        self.roomy && self.sides[at].is_open()
    }

    fn send(&mut self, at: usize, polls: usize, input: &mut Input<'_>) {
        let (message, at_once) = (self.message(at, input), self.takes_at_once(at));
        let sent = self.sides[at].run(polls, async |ws| ws.send(message.clone()).await);
        let fate = fate(sent, polls, at_once && self.sides[at].has_handle());
        self.sides[at].sent[0].add(message, fate);
    }

    fn feed(&mut self, at: usize, polls: usize, input: &mut Input<'_>) {
        let (message, at_once) = (self.message(at, input), self.takes_at_once(at));
        let sent = self.sides[at].run(polls, async |ws| ws.feed(message.clone()).await);
        let fate = fate(sent, polls, at_once && self.sides[at].has_handle());
        self.sides[at].sent[0].add(message, fate);
    }

    fn send_prepared(&mut self, at: usize, polls: usize, input: &mut Input<'_>) {
        let (message, at_once) = (self.message(at, input), self.takes_at_once(at));
        let prepared = PreparedMessage::new(message.clone());
        let sent = self.sides[at].run(polls, async |ws| ws.send_prepared(&prepared).await);
        let fate = fate(sent, polls, at_once && self.sides[at].has_handle());
        self.sides[at].sent[0].add(message, fate);
    }

    fn send_by_sender(&mut self, at: usize, polls: usize, input: &mut Input<'_>) {
        let (message, at_once) = (self.message(at, input), self.takes_at_once(at));
        let sent = self.sides[at].run_sender(polls, async |sender| sender.send(message.clone()).await);
        self.sides[at].sent[1].add(message, fate(sent, polls, at_once));
    }

    fn try_send(&mut self, at: usize, input: &mut Input<'_>) {
        let message = self.message(at, input);
        let sent = self.sides[at].sender.try_send(message.clone());
        self.sides[at].sent[1].add(message, fate(Some(sent), 0, false));
    }

    /// A message in the sink may wait outside the queue. A flush confirms it.
    fn send_by_sink(&mut self, at: usize, polls: usize, input: &mut Input<'_>) {
        let message = self.message(at, input);
        let sent = self.sides[at].run(polls, async |ws| {
            poll_fn(|cx| Pin::new(&mut *ws).poll_ready(cx)).await?;
            Pin::new(ws).start_send(message.clone())
        });
        let fate = match sent {
            Some(Ok(())) => Fate::Taken,
            _ => Fate::Refused,
        };
        self.sides[at].sent[0].add(message, fate);
    }

    fn flush_sink(&mut self, at: usize, polls: usize) {
        let flushed =
            self.sides[at].run(polls, async |ws| poll_fn(|cx| Pin::new(&mut *ws).poll_flush(cx)).await);
        if flushed.is_some() {
            let open = self.sides[at].is_open();
            self.sides[at].sent[0].flushed(open);
        }
    }
}
