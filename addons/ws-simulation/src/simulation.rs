use std::time::Instant;

use ws_proto::ValidConfig;

use crate::{
    app::App,
    dice::Dice,
    faults::Faults,
    report::{Broken, Failure, Report},
    run::Run,
    scenario::{Scenario, Wishes},
    trace::Trace,
};

/// The default number of steps that a [`Failure`] shows.
const LAST_STEPS: usize = 60;

/// One or more pairs of a client and a server on a virtual network with a virtual clock. Everything follows from a
/// seed.
///
/// The seed decides the limits and timeouts, the network's capacity, delay and pieces, the faults and their times,
/// and what the applications do. The methods fix some of these; the seed decides the others.
#[derive(Default)]
pub struct Simulation<'a> {
    seed: u64,
    wishes: Wishes,
    apps: [Option<Box<dyn App + 'a>>; 2],
    last_steps: Option<usize>,
}

impl<'a> Simulation<'a> {
    /// Creates the simulation of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Sets the application on the client's side. Default: a [`RandomApp`](super::RandomApp).
    #[must_use]
    pub fn client(self, app: impl App + 'a) -> Self {
        self.with_app(0, Box::new(app))
    }

    /// Sets the application on the server's side. Default: a [`RandomApp`](super::RandomApp).
    #[must_use]
    pub fn server(self, app: impl App + 'a) -> Self {
        self.with_app(1, Box::new(app))
    }

    /// Sets the configuration of both sides.
    #[must_use]
    pub fn config(mut self, config: ValidConfig) -> Self {
        self.wishes.config = Some(config);
        self
    }

    /// Sets the faults; no others occur.
    #[must_use]
    pub const fn faults(mut self, faults: Faults) -> Self {
        self.wishes.faults = Some(faults);
        self
    }

    /// Sets whether all connections share one receive buffer, as on a thread of a server, or each side of each
    /// connection has its own.
    #[must_use]
    pub const fn shared_buffer(mut self, shared: bool) -> Self {
        self.wishes.shared_buffer = Some(shared);
        self
    }

    /// Sets whether permessage-deflate is used. [`config`](Self::config) takes precedence.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn compressed(mut self, compressed: bool) -> Self {
        self.wishes.compressed = Some(compressed);
        self
    }

    /// Sets how many of the last steps a [`Failure`] shows. Default 60.
    #[must_use]
    pub const fn last_steps(mut self, steps: usize) -> Self {
        self.last_steps = Some(steps);
        self
    }

    /// Runs until every connection is over. The virtual clock starts at `start`; nothing else depends on it.
    ///
    /// # Errors
    /// A [`Failure`] with the first violated rule, including those of the application:
    /// [`Link::object`](super::Link::object).
    pub fn run(self, start: Instant) -> Result<Report, Failure> {
        self.run_and_trace(start).0
    }

    /// As [`run`](Self::run), and returns the last steps too.
    pub fn run_and_trace(self, start: Instant) -> (Result<Report, Failure>, Trace) {
        let replay = self.replay();
        let seed = self.seed;
        let (result, trace) = match self.begin(start) {
            Ok(run) => run.finish(),
            Err(law) => (Err(law), Trace::new(start, 0)),
        };
        let fail = |law| Failure(Box::new(Broken { seed, law, trace: trace.clone(), replay }));
        (result.map_err(fail), trace)
    }

    pub(crate) fn begin(self, start: Instant) -> Result<Run<'a>, String> {
        let mut dice = Dice::new(self.seed);
        let scenario = Scenario::roll(&mut dice, &self.wishes)?;
        let trace = Trace::new(start, self.last_steps.unwrap_or(LAST_STEPS));
        Run::new(scenario, self.apps, dice, trace, start)
    }

    fn with_app(mut self, side: usize, app: Box<dyn App + 'a>) -> Self {
        self.apps[side] = Some(app);
        self.wishes.own_apps = true;
        self
    }

    /// How to repeat the run.
    fn replay(&self) -> String {
        let Wishes { faults, config, shared_buffer, compressed, own_apps } = &self.wishes;
        if *own_apps || config.is_some() {
            return format!("Simulation::new({}), and the same application and configuration", self.seed);
        }
        let mut command = format!("just simulate-seed {}", self.seed);
        if let Some(faults) = faults {
            command += &format!(" --faults {faults}");
        }
        if let Some(shared) = shared_buffer {
            command += &format!(" --shared-buffer {shared}");
        }
        if let Some(compressed) = compressed {
            command += &format!(" --compressed {compressed}");
        }
        command
    }
}

impl std::fmt::Debug for Simulation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("wishes", &self.wishes)
            .finish_non_exhaustive()
    }
}
