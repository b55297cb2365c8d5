//! One connection with its application, driven as the contract of [`Connection`] requires.

mod check;

use std::{
    io::{ErrorKind, IoSlice},
    time::Instant,
};

use bytes::Buf as _;

use ws_proto::{
    Completion, Connection, ConnectionState, Event, MessageRun, ReceiveBuffer, TransmitQueue, TransportAction,
};

use crate::{
    app::App,
    dice::Dice,
    fact::Fact,
    link::{Link, lend_received},
    network::Read,
    trace::{At, Step},
    world::{World, first_bytes},
};

/// The most rounds of one call; more of them mean an endless loop.
const MOST_ROUNDS: usize = 100_000;
/// How often a timer may fire without progress of time.
const MOST_FIRINGS: usize = 8;

pub(crate) struct Endpoint<'a> {
    pub(crate) at: At,
    pub(crate) connection: Connection,
    pub(crate) tx: TransmitQueue,
    app: Box<dyn App + 'a>,
    dice: Dice,
    /// When `Closed` was reported.
    pub(crate) closed: Option<Instant>,
    shut_down_write: bool,
    /// The transport is closed on this side.
    finished: bool,
    /// A write has failed while the connection was open, so only the peer, the network or a deadline may end it.
    must_read_on: bool,
    /// The stream from the peer has ended or failed.
    read_ended: bool,
    /// A timer is being served.
    in_timer: bool,
    /// The percentage of events after which it sets the rest of the read aside.
    sets_aside: usize,
    /// Held messages that the application has taken.
    run: Option<MessageRun>,
    /// The result of `poll_timeout` when the connection was last settled.
    settled: Option<Option<Instant>>,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn new(at: At, mut connection: Connection, app: Box<dyn App + 'a>, mut dice: Dice) -> Self {
        // Half of the transports report their send queue.
        if dice.percent(50) {
            connection.watch_send_queue();
        }
        let sets_aside = dice.pick([0, 0, 20, 100]);
        Self {
            at,
            connection,
            tx: TransmitQueue::new(),
            app,
            dice,
            closed: None,
            shut_down_write: false,
            finished: false,
            must_read_on: false,
            read_ended: false,
            in_timer: false,
            sets_aside,
            run: None,
            settled: None,
        }
    }

    /// Gives the application a turn.
    pub(crate) fn act(&mut self, rx: &mut ReceiveBuffer, world: &mut World) {
        if self.closed.is_none() {
            self.command(world, |app, link, dice| app.on_turn(link, dice));
            self.settle(rx, world);
        }
    }

    /// Acts on the connection as an application does.
    pub(crate) fn command(
        &mut self,
        world: &mut World,
        act: impl FnOnce(&mut dyn App, &mut Link<'_>, &mut Dice),
    ) {
        let Self { connection, tx, app, dice, at, run, .. } = self;
        act(&mut **app, &mut Link { connection, tx, world, at: *at, run }, dice);
    }

    /// Reads once and handles the result. Returns whether anything changed.
    pub(crate) fn turn(&mut self, rx: &mut ReceiveBuffer, world: &mut World) -> bool {
        let read = self.read(rx, world);
        self.settle(rx, world) || read
    }

    /// Serves the timers that are due.
    pub(crate) fn serve_timers(&mut self, rx: &mut ReceiveBuffer, world: &mut World) {
        for _ in 0..MOST_FIRINGS {
            let due = self.connection.poll_timeout(&self.tx);
            if due.is_none_or(|due| due > world.now) {
                return;
            }
            world.report.timers += 1;
            world.trace(self.at, Step::Timer);
            self.in_timer = true;
            if self.connection.wants_send_queue(world.now, &self.tx)
                && let Some(queue) = world.between[self.at.pair].network.send_queue(self.at.side)
            {
                self.connection.handle_send_queue(queue, world.now);
            }
            self.connection.handle_timeout(world.now, &mut self.tx);
            self.settle(rx, world);
            self.in_timer = false;
        }
        if self.connection.poll_timeout(&self.tx).is_some_and(|due| due <= world.now) {
            world.accuse(self.at, "a timer fires repeatedly without progress of time");
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.connection.poll_timeout(&self.tx)
    }

    /// Does everything that can be done, in the order of the contract. Returns whether anything changed.
    pub(crate) fn settle(&mut self, rx: &mut ReceiveBuffer, world: &mut World) -> bool {
        // Bytes that were set aside may be parsed without an event.
        let mut moved = self.connection.wants_turn();
        for _ in 0..MOST_ROUNDS {
            let progress = self.drain_events(rx, world) | self.write(world) | self.drain_completions(world);
            moved |= progress;
            let ends_turn = self.sets_aside > 0 && self.connection.wants_turn();
            if progress && !ends_turn {
                continue;
            }
            // In the other half of the cases, other connections run first.
            if self.connection.wants_turn() && self.dice.percent(50) {
                moved = true;
                continue;
            }
            self.mind_transport(world);
            self.check(rx, world);
            return moved || self.connection.wants_turn();
        }
        world.accuse(self.at, "the connection does not come to rest");
        moved
    }

    fn drain_events(&mut self, rx: &mut ReceiveBuffer, world: &mut World) -> bool {
        let mut moved = false;
        let Self { connection, tx, app, dice, at, run, .. } = self;
        let lent = if run.is_none() && app.takes_runs() && dice.percent(50) {
            lend_received(connection, rx, tx)
        } else {
            None
        };
        while let Some(event) = connection.poll_event(rx, tx) {
            moved = true;
            let paused = connection.is_paused();
            if paused && app.holds_control() && hold(connection, &event) {
                continue;
            }
            if note_event(*at, &event, paused, world) {
                self.closed = Some(world.now);
                *run = None;
            }
            app.on_event(event, &mut Link { connection, tx, world, at: *at, run }, dice);
            if dice.percent(self.sets_aside) {
                set_aside(*at, connection, rx, tx, world);
                break;
            }
        }
        if let Some(messages) = lent.filter(|_| self.closed.is_none()) {
            Link { connection, tx, world, at: *at, run }.begin_run(messages, rx);
        }
        moved
    }

    fn write(&mut self, world: &mut World) -> bool {
        let mut moved = false;
        loop {
            self.connection.pump(&mut self.tx);
            if self.tx.is_written() {
                let held_something_up = self.tx.blocked_since().is_some();
                moved |= self.flush(world);
                if held_something_up && self.tx.blocked_since().is_none() {
                    continue;
                }
                return moved;
            }
            let mut slices = [IoSlice::new(&[]); 4];
            let most = self.dice.between(1, slices.len());
            let filled = self.tx.chunks_vectored(&mut slices[..most]);
            match world.write(self.at, &slices[..filled]) {
                Ok(0) => {
                    world.report.blocked += u64::from(self.tx.blocked_since().is_none());
                    self.tx.set_blocked(world.now);
                    self.connection.pump(&mut self.tx);
                    return moved;
                }
                Ok(n) => {
                    let written = first_bytes(&slices[..filled], n);
                    world.report.bytes += n as u64;
                    world.trace(self.at, Step::Writes(n));
                    world.note(self.at, Fact::Wrote(written.into()));
                    self.tx.advance(n);
                    self.connection.handle_written(world.now);
                }
                Err(kind) => self.writing_fails(kind, world),
            }
            moved = true;
        }
    }

    /// Flushes a transport with a buffer of its own. Returns whether anything changed.
    fn flush(&mut self, world: &mut World) -> bool {
        let given_up = self.connection.transport_action(&self.tx) == TransportAction::Close;
        if given_up || (self.tx.is_empty() && world.is_flushed(self.at)) {
            return false;
        }
        match world.flush(self.at) {
            Ok((passed_on, all)) => {
                world.report.unflushed += u64::from(!all);
                world.trace(self.at, Step::Flushes { passed_on, all });
                world.note(self.at, Fact::Flushed(all));
                let was_held = !self.tx.is_empty();
                if all {
                    self.tx.set_flushed()
                } else {
                    self.tx.set_unflushed(world.now)
                }
                if was_held && all {
                    self.connection.handle_flushed(world.now);
                }
                self.connection.pump(&mut self.tx);
                all || passed_on > 0
            }
            Err(kind) => {
                // The bytes in the transport's buffer do not reach the peer.
                self.tx.set_unflushed(world.now);
                world.note(self.at, Fact::Flushed(false));
                self.writing_fails(kind, world);
                true
            }
        }
    }

    fn drain_completions(&mut self, world: &mut World) -> bool {
        let mut moved = false;
        while let Some(completion) = self.connection.poll_completion(&mut self.tx) {
            moved = true;
            world.report.written += u64::from(completion == Completion::Written);
            world.report.cut_off += u64::from(completion == Completion::CutOff);
            world.trace(self.at, Step::GetsCompletion(completion));
            world.note(self.at, Fact::Completed(completion));
            self.command(world, |app, link, dice| app.on_completion(completion, link, dice));
        }
        moved
    }

    fn read(&mut self, rx: &mut ReceiveBuffer, world: &mut World) -> bool {
        if self.finished {
            return false;
        }
        if !self.connection.wants_read() {
            self.connection.note_stall();
            return false;
        }
        match world.read(self.at, self.connection.read_target(rx)) {
            Read::Nothing => return false,
            Read::Bytes(n) => {
                world.trace(self.at, Step::Reads(n));
                self.connection.handle_received(n, world.now, rx);
            }
            Read::End => {
                world.trace(self.at, Step::ReadsEnd);
                self.read_ended = true;
                self.connection.handle_eof(world.now);
            }
            Read::Failed(kind) => self.transport_fails(kind, world),
        }
        true
    }

    fn writing_fails(&mut self, kind: ErrorKind, world: &mut World) {
        world.trace(self.at, Step::TransportFails);
        // After a held end, such as a violation, nothing is read.
        self.must_read_on |= self.connection.state() == ConnectionState::Open && self.connection.wants_read();
        self.connection.handle_write_error(kind, world.now, &mut self.tx);
    }

    fn transport_fails(&mut self, kind: ErrorKind, world: &mut World) {
        world.trace(self.at, Step::TransportFails);
        self.read_ended = true;
        self.connection.handle_transport_error(kind, &mut self.tx);
    }

    fn mind_transport(&mut self, world: &mut World) {
        let network = &mut world.between[self.at.pair].network;
        network.settle(world.now);
        match self.connection.transport_action(&self.tx) {
            TransportAction::ShutDownWrite if !self.shut_down_write => {
                self.shut_down_write = true;
                let all_is_on_its_way = network.is_flushed(self.at.side);
                network.shut_down_write(self.at.side, world.now);
                world.trace(self.at, Step::ShutsDownWrite);
                if !all_is_on_its_way {
                    world.accuse(self.at, "the write half is shut down before the transport is flushed");
                }
            }
            TransportAction::Close if !self.finished => {
                self.finished = true;
                let heard = self.connection.close_info().is_some_and(|info| info.received.is_some());
                if self.must_read_on && !heard && !self.read_ended && !self.in_timer && !world.may_give_up {
                    world.accuse(self.at, "a failed write ends the connection before everything is read");
                }
                let network = &mut world.between[self.at.pair].network;
                network.close(self.at.side, world.now);
                world.trace(self.at, Step::ClosesTransport);
            }
            _ => {}
        }
    }
}

/// Ends a turn: the rest of the read waits in the connection.
fn set_aside(
    at: At,
    connection: &mut Connection,
    rx: &mut ReceiveBuffer,
    tx: &TransmitQueue,
    world: &mut World,
) {
    let is_rest = !rx.is_empty();
    connection.set_aside(rx, tx);
    if is_rest {
        world.report.set_aside += 1;
        world.trace(at, Step::SetsAside);
    }
    if connection.wants_turn() && connection.wants_read() {
        world.accuse(at, "a connection wants to read while bytes are set aside");
    }
}

/// Holds a control frame. Returns whether the event was one.
fn hold(connection: &mut Connection, event: &Event<'_>) -> bool {
    match event {
        Event::Ping(payload) => connection.hold_ping(payload),
        Event::Pong(payload) => connection.hold_pong(payload),
        _ => return false,
    }
    true
}

/// Records an event. A control frame is early if the application is paused. Returns whether the event was `Closed`.
fn note_event(at: At, event: &Event<'_>, early: bool, world: &mut World) -> bool {
    match event {
        Event::Message(message) => {
            world.trace(at, Step::GetsMessage(message.len()));
            world.note(at, Fact::Delivered { kind: message.kind(), payload: message.as_bytes().into() });
        }
        Event::Ping(payload) => {
            world.report.pings += 1;
            world.trace(at, Step::GetsPing(payload.len()));
            let payload = (*payload).into();
            world.note(at, if early { Fact::PingedEarly(payload) } else { Fact::Pinged(payload) });
        }
        Event::Pong(payload) => {
            world.report.pongs += 1;
            world.trace(at, Step::GetsPong(payload.len()));
            world.note(at, Fact::Ponged((*payload).into()));
        }
        Event::Closed(info) => {
            world.trace(at, Step::GetsClosed { code: info.code(), clean: info.is_clean() });
            world.note(at, Fact::Closed(info.clone()));
            return true;
        }
        // An event without a rule would pass unchecked.
        unknown => world.accuse(at, format!("an event without a rule: {unknown:?}")),
    }
    false
}
