//! The end of a run: the network recovers as far as it can, the applications continue, a side closes each connection,
//! and no new fault occurs.

use std::time::Duration;

use ws_proto::{CloseCode, Config, ConnectionState, deadline_after};

use super::{
    super::{
        endpoint::Endpoint,
        trace::{At, Step},
    },
    Run,
};

/// The rounds within which the run must end. Each one changes something or advances the clock.
const MOST_ROUNDS: usize = 2_000_000;
/// The rounds before the close; applications may answer each other without end.
const ROUNDS_BEFORE: usize = 2000;

impl Run<'_> {
    /// Runs until every connection is over, within its timeouts.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.world.trace_network(Step::TheEndBegins);
        self.heal();
        if self.dice.percent(50) {
            self.let_all_arrive()?;
        }
        let deadline = deadline_after(self.world.now, self.longest_end());
        for pair in 0..self.scenario.pairs {
            self.close(pair);
        }
        for _ in 0..MOST_ROUNDS {
            let moved = self.round();
            self.verdict()?;
            if self.ends.iter().flatten().all(|end| end.closed.is_some()) {
                return Ok(());
            }
            if !moved && !self.wait() {
                return Err("no arrival or timer is left, but a connection is not over".into());
            }
            self.verdict()?;
            if self.world.now > deadline {
                return Err("a connection is not over within its timeouts".into());
            }
        }
        Err("a connection does not end".into())
    }

    fn heal(&mut self) {
        for between in &mut self.world.between {
            between.network.heal();
        }
    }

    /// Delivers the bytes in transit, without waiting for timers.
    fn let_all_arrive(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_BEFORE {
            let moved = self.round();
            self.verdict()?;
            let now = self.world.now;
            let arrivals = self.world.between.iter().filter_map(|between| between.network.next_arrival(now));
            match arrivals.min() {
                Some(next) if !moved => {
                    self.world.now = next;
                    self.settle_networks();
                }
                None if !moved => break,
                _ => {}
            }
        }
        Ok(())
    }

    /// Closes the connection, unless its network is silent and the deadlines should end it.
    fn close(&mut self, pair: usize) {
        let silent = self.world.between[pair].network.is_silent();
        let is_open =
            |end: &Endpoint<'_>| end.closed.is_none() && end.connection.state() == ConnectionState::Open;
        if (silent && self.scenario.left_alone) || !self.ends[pair].iter().any(is_open) {
            return;
        }
        let closers =
            if silent { [true, true] } else { self.dice.pick([[true, false], [false, true], [true, true]]) };
        // In an orderly end one side closes. The other may have started already.
        let begun = !self.ends[pair].iter().all(is_open);
        for side in (0..2).filter(|side| closers[*side] && !begun || silent) {
            let receives = self.dice.percent(50);
            self.with(At { pair, side }, |end, rx, world| {
                if end.closed.is_none() {
                    end.command(world, |_, link, _| match receives {
                        true => link.close_and_receive(CloseCode::NORMAL, "all done"),
                        false => link.close(CloseCode::NORMAL, "all done"),
                    });
                    end.settle(rx, world);
                }
            });
        }
    }

    /// Drives every end once. Returns whether anything changed.
    fn round(&mut self) -> bool {
        let mut moved = false;
        for pair in 0..self.scenario.pairs {
            for side in 0..2 {
                moved |= self.with(At { pair, side }, |end, rx, world| {
                    if end.connection.is_paused() {
                        end.command(world, |_, link, _| link.resume());
                    }
                    end.turn(rx, world)
                });
            }
        }
        moved
    }

    /// Advances the clock to the next arrival or timer. Returns false if there is none.
    fn wait(&mut self) -> bool {
        let now = self.world.now;
        let arrivals = self.world.between.iter().filter_map(|between| between.network.next_arrival(now));
        let next = arrivals.chain(self.next_timer().map(|(due, _)| due)).min();
        let Some(next) = next else { return false };
        self.world.now = now.max(next);
        self.settle_networks();
        for pair in 0..self.scenario.pairs {
            for side in 0..2 {
                self.with(At { pair, side }, Endpoint::serve_timers);
            }
        }
        true
    }

    /// The longest duration of the end: all deadlines of both sides, one after the other.
    fn longest_end(&self) -> Duration {
        let slack = Duration::from_secs(10);
        let of = |config: &Config| {
            let keepalive = config.keepalive.map_or(Duration::ZERO, |keepalive| {
                keepalive.timeout.saturating_mul(3).saturating_add(keepalive.interval)
            });
            [config.write_timeout.unwrap_or_default(), config.idle_timeout.unwrap_or_default(), keepalive]
                .into_iter()
                .fold(config.close_timeout.saturating_mul(2), Duration::saturating_add)
        };
        self.scenario.configs.iter().map(|config| of(config)).fold(slack, Duration::saturating_add)
    }
}
