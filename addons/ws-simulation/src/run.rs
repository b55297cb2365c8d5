//! One simulation: a phase with traffic and faults, then the end.

mod ending;

use std::time::{Duration, Instant};

use ws_proto::{
    Connection, ReceiveBuffer, Role,
    mask::MaskSource,
    memory::{BufferPool, BufferPoolConfig, MemoryAccount, MemoryBudget},
};

use crate::{
    agreement::agree,
    app::App,
    dice::Dice,
    endpoint::Endpoint,
    faults::Fault,
    network::Network,
    oracle::Oracle,
    random_app::RandomApp,
    report::Report,
    scenario::Scenario,
    side::Terms,
    trace::{At, Step, Trace},
    world::{Between, World},
};

/// The roles of the two sides.
const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// Distinct mask keys.
struct Keys(u32);

impl MaskSource for Keys {
    fn mask_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        self.0.to_be_bytes()
    }
}

pub(crate) struct Run<'a> {
    scenario: Scenario,
    pub(crate) world: World,
    ends: Vec<[Endpoint<'a>; 2]>,
    /// One buffer for all ends, or one for each end.
    buffers: Vec<ReceiveBuffer>,
    pools: Vec<BufferPool>,
    /// Memory of the budgets that is held outside of the connections.
    others: Vec<MemoryAccount>,
    own_apps: bool,
    dice: Dice,
    start: Instant,
}

type Apps<'a> = [Option<Box<dyn App + 'a>>; 2];

impl<'a> Run<'a> {
    pub(crate) fn new(
        scenario: Scenario,
        mut apps: Apps<'a>,
        mut dice: Dice,
        trace: Trace,
        start: Instant,
    ) -> Result<Self, String> {
        let own_apps = apps.iter().any(Option::is_some);
        let (mut ends, mut between) = (Vec::new(), Vec::new());
        for pair in 0..scenario.pairs {
            let [client, server] = &scenario.configs;
            let extensions = agree(client, server)?;
            let terms =
                Terms { compressed: is_compressed(&extensions[0]), orderly: scenario.faults.is_empty() };
            between.push(Between { network: Network::new(scenario.natures), oracle: Oracle::new(terms) });
            let [for_client, for_server] = extensions;
            let mut end = |side: usize, extensions| {
                let config = scenario.configs[side].clone();
                let connection = match ROLES[side] {
                    Role::Client => Connection::client(config, Box::new(Keys(dice.number() as u32)), start),
                    Role::Server => Connection::server(config, start),
                };
                let app =
                    apps[side].take().unwrap_or_else(|| Box::new(RandomApp::new(scenario.manners[side])));
                Endpoint::new(At { pair, side }, connection.with_extensions(extensions), app, dice.split())
            };
            ends.push([end(0, for_client), end(1, for_server)]);
        }
        let count = if scenario.shared_buffer { 1 } else { 2 * scenario.pairs };
        let pools: Vec<_> = (0..count)
            .map(|_| {
                let mut pool = BufferPoolConfig::default();
                (pool.preheat, pool.buffer_size) = (0, 4096);
                BufferPool::new(pool)
            })
            .collect();
        let buffers = pools.iter().map(|pool| ReceiveBuffer::new(scenario.window, pool.clone())).collect();
        let others = scenario.configs.iter().filter_map(|config| config.memory_budget());
        let others = others.map(|budget| occupy(budget, &mut dice)).collect();
        let own_end = [Fault::Abort, Fault::Limits, Fault::Budget];
        let may_give_up = own_apps || own_end.into_iter().any(|fault| scenario.faults.has(fault));
        let report = Report::default();
        let world = World { now: start, trace, dice: dice.split(), between, report, may_give_up };
        Ok(Self { scenario, world, ends, buffers, pools, others, own_apps, dice, start })
    }

    pub(crate) fn finish(mut self) -> (Result<Report, String>, Trace) {
        let result = self.run();
        (result, self.world.trace)
    }

    pub(crate) fn run(&mut self) -> Result<Report, String> {
        for _ in 0..self.scenario.steps {
            self.step();
            self.verdict()?;
        }
        self.end()?;
        for between in &mut self.world.between {
            self.world.report.add(between.oracle.finish());
        }
        self.verdict()?;
        self.check_memory()?;
        let World { report, trace, now, .. } = &mut self.world;
        report.runs = 1;
        report.shared_buffers = u64::from(self.scenario.shared_buffer);
        report.steps = trace.steps();
        report.time = now.duration_since(self.start);
        Ok(*report)
    }

    fn verdict(&mut self) -> Result<(), String> {
        let broken = self.world.between.iter_mut().find_map(|between| between.oracle.violation.take());
        broken.map_or(Ok(()), Err)
    }

    /// Checks that every large buffer has returned to its pool, and that nothing stays charged.
    fn check_memory(&mut self) -> Result<(), String> {
        self.ends.clear();
        self.buffers.clear();
        self.others.clear();
        let is_lent = !self.own_apps && self.pools.iter().any(|pool| !pool.is_unshared());
        let budgets = self.scenario.configs.iter().filter_map(|config| config.memory_budget());
        let charged: usize = budgets.map(MemoryBudget::used).sum();
        if !self.own_apps && charged > 0 {
            return Err(format!("{charged} bytes are still charged"));
        }
        if is_lent { Err("a buffer did not return to its pool".into()) } else { Ok(()) }
    }

    fn pick(&mut self) -> At {
        At { pair: self.dice.below(self.scenario.pairs), side: self.dice.below(2) }
    }

    /// Calls `act` with one end and its buffer.
    fn with<R>(
        &mut self,
        at: At,
        act: impl FnOnce(&mut Endpoint<'a>, &mut ReceiveBuffer, &mut World) -> R,
    ) -> R {
        let buffer = if self.scenario.shared_buffer { 0 } else { 2 * at.pair + at.side };
        act(&mut self.ends[at.pair][at.side], &mut self.buffers[buffer], &mut self.world)
    }

    fn step(&mut self) {
        let at = self.pick();
        match self.dice.below(100) {
            0..40 => self.with(at, Endpoint::act),
            40..78 => {
                self.with(at, Endpoint::turn);
            }
            78..92 => self.let_time_pass(),
            92..95 => self.with(at, Endpoint::serve_timers),
            _ => self.strike(at),
        }
    }

    fn let_time_pass(&mut self) {
        let millis = match self.dice.below(100) {
            0..70 => self.dice.below(50),
            70..90 => self.dice.below(500),
            // Orderly runs have no long delays.
            _ if self.scenario.faults.is_empty() => 500,
            _ => self.dice.below(10_000),
        };
        let time = Duration::from_millis(millis as u64);
        self.world.trace_network(Step::TimePasses(time));
        let until = self.world.now + time;
        while let Some((due, at)) = self.next_timer().filter(|(due, _)| *due <= until) {
            self.world.now = self.world.now.max(due);
            self.with(at, Endpoint::serve_timers);
            if self.next_timer().is_some_and(|(due, _)| due <= self.world.now) {
                // The timer fires repeatedly, which is already recorded as a violation.
                break;
            }
        }
        self.world.now = until;
        self.settle_networks();
    }

    fn next_timer(&self) -> Option<(Instant, At)> {
        let due = |end: &Endpoint<'_>| end.due().map(|due| (due, end.at));
        self.ends.iter().flatten().filter_map(due).min_by_key(|(due, _)| *due)
    }

    fn settle_networks(&mut self) {
        let now = self.world.now;
        self.world.between.iter_mut().for_each(|between| between.network.settle(now));
    }

    /// Applies a random fault, if it is enabled.
    fn strike(&mut self, at: At) {
        let fault = self.dice.pick(Fault::ALL);
        let is_rare = !matches!(fault, Fault::Stall | Fault::TimeJump);
        if !self.scenario.faults.has(fault) || (is_rare && self.dice.percent(50)) {
            return;
        }
        let now = self.world.now;
        let network = &mut self.world.between[at.pair].network;
        let report = &mut self.world.report;
        match fault {
            Fault::Stall => {
                let time = Duration::from_millis(self.dice.below(100_000) as u64);
                network.stall(at.side, self.dice.percent(70).then_some(now + time));
                report.stalls += 1;
                self.world.trace(at, Step::Stalls);
            }
            Fault::HalfClose => {
                network.half_close(at.side, now);
                report.half_closes += 1;
                self.world.trace(at, Step::HalfCloses);
            }
            Fault::Reset => {
                network.reset();
                report.resets += 1;
                self.world.trace_network(Step::Resets);
            }
            Fault::FailedWrites => {
                network.refuse(at.side);
                report.failed_writes += 1;
                self.world.trace(at, Step::WritesFail);
            }
            Fault::Silence => {
                network.silence(at.side, self.dice.percent(50));
                report.silences += 1;
                self.world.trace(at, Step::FallsSilent);
            }
            Fault::Abort => self.give_up(at),
            Fault::TimeJump => self.jump(),
            // These faults are part of the configuration.
            Fault::Limits | Fault::Budget => {}
        }
    }

    fn give_up(&mut self, at: At) {
        self.world.report.aborts += 1;
        let fails = self.dice.percent(40);
        self.with(at, |end, rx, world| {
            if end.closed.is_none() {
                end.command(world, |_, link, _| if fails { link.fail() } else { link.abort() });
                end.settle(rx, world);
            }
        });
    }

    /// Advances the clock without serving timers, as a suspension does.
    fn jump(&mut self) {
        let millis = self.dice.pick([1_000, 20_000, 100_000, 10_000_000]);
        let time = Duration::from_millis(self.dice.below(millis) as u64);
        self.world.report.jumps += 1;
        self.world.trace_network(Step::TimeJumps(time));
        self.world.now += time;
        self.settle_networks();
        for pair in 0..self.scenario.pairs {
            for side in 0..2 {
                if self.dice.percent(70) {
                    self.with(At { pair, side }, Endpoint::serve_timers);
                }
            }
        }
    }
}

/// Charges some of the budget, mostly all of it.
fn occupy(budget: &MemoryBudget, dice: &mut Dice) -> MemoryAccount {
    let mut account = budget.account();
    let all = dice.percent(80);
    account.set(if all { budget.limit() } else { dice.below(budget.limit()) });
    account
}

#[cfg(feature = "deflate")]
fn is_compressed(extensions: &ws_proto::handshake::Extensions) -> bool {
    extensions.deflate().is_some()
}

#[cfg(not(feature = "deflate"))]
const fn is_compressed(_extensions: &ws_proto::handshake::Extensions) -> bool {
    false
}
