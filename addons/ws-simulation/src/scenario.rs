//! The properties of a simulation that its seed decides.

use std::time::Duration;

use ws_proto::{Config, Keepalive, ValidConfig, memory::MemoryBudget};

use crate::{
    dice::Dice,
    faults::{Fault, Faults},
    network::{Chunking, Nature},
    random_app::Manners,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The properties that the user of a simulation has fixed; the seed decides the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) faults: Option<Faults>,
    pub(crate) config: Option<ValidConfig>,
    pub(crate) shared_buffer: Option<bool>,
    pub(crate) compressed: Option<bool>,
    pub(crate) own_apps: bool,
}

pub(crate) struct Scenario {
    pub(crate) faults: Faults,
    /// The client's and the server's.
    pub(crate) configs: [ValidConfig; 2],
    pub(crate) pairs: usize,
    pub(crate) shared_buffer: bool,
    pub(crate) window: usize,
    pub(crate) steps: usize,
    pub(crate) natures: [Nature; 2],
    pub(crate) manners: [Manners; 2],
    /// Whether connections on a silent network are ended by their deadlines alone.
    pub(crate) left_alone: bool,
}

impl Scenario {
    pub(crate) fn roll(dice: &mut Dice, wishes: &Wishes) -> Result<Self, String> {
        let faults = wishes.faults.unwrap_or_else(|| roll_faults(dice));
        let compressed = wishes.compressed.unwrap_or_else(|| dice.percent(30)) && cfg!(feature = "deflate");
        let shared_buffer = wishes.shared_buffer.unwrap_or_else(|| dice.percent(30));
        let pairs = if shared_buffer && !wishes.own_apps { dice.between(1, 3) } else { 1 };
        let natures = [roll_nature(dice), roll_nature(dice)];
        let mut configs = [roll_config(dice, faults), roll_config(dice, faults)];
        if wishes.config.is_none() && compressed {
            configs.iter_mut().for_each(|config| compress(config, dice));
        }
        let configs = match (&wishes.config, configs) {
            (Some(config), _) => [config.clone(), config.clone()],
            (None, [client, server]) => [validate(client, faults)?, validate(server, faults)?],
        };
        let largest = largest(&natures);
        let manners = configs.each_ref().map(|config| Manners {
            largest,
            sends_huge: compressed && largest > 5000,
            closes: dice.pick([0, 0, 5, 30]),
            echoes: dice.pick([0, 10, 40]),
            pongs: dice.percent(50),
            pauses: dice.percent(70),
            holds_control: dice.percent(50),
            answers: !config.auto_pong,
        });
        let left_alone = configs.iter().all(|config| config.keepalive.is_some()) && dice.percent(70);
        Ok(Self {
            faults,
            configs,
            pairs,
            shared_buffer,
            window: dice.pick([256, 256, 300, 1024, 4096, 65_536]),
            steps: dice.between(20, 160),
            natures,
            manners,
            left_alone,
        })
    }
}

fn roll_faults(dice: &mut Dice) -> Faults {
    if dice.percent(25) {
        return Faults::NONE;
    }
    Fault::ALL
        .into_iter()
        .fold(Faults::NONE, |faults, fault| if dice.percent(25) { faults.with(fault) } else { faults })
}

fn roll_nature(dice: &mut Dice) -> Nature {
    let chunking = |dice: &mut Dice| match dice.below(10) {
        0 => Chunking::One,
        1 => Chunking::Few,
        2..6 => Chunking::Whole,
        _ => Chunking::Any,
    };
    Nature {
        capacity: dice.pick([1, 50, 1000, 10_000, 100_000, 1_000_000]),
        delay: Duration::from_millis(dice.pick([0, 0, 1, 30, 300])),
        reads: chunking(dice),
        writes: chunking(dice),
        buffer: dice.pick([0, 0, 0, 0, 0, 1, 300, 20_000]),
    }
}

/// The largest message. Larger ones than a slow network can carry within the run would make all such runs alike.
fn largest(natures: &[Nature; 2]) -> usize {
    let narrow = |nature: &Nature| match nature.buffer {
        0 => nature.capacity,
        buffer => nature.capacity.min(buffer),
    };
    let of = |nature: &Nature| match (narrow(nature), nature.reads, nature.writes) {
        (1, ..) | (_, Chunking::One, _) | (_, _, Chunking::One) => 200,
        (50, ..) | (_, Chunking::Few, _) | (_, _, Chunking::Few) => 2000,
        (300 | 1000, ..) => 5000,
        _ => usize::MAX,
    };
    natures.iter().map(of).min().unwrap_or(usize::MAX)
}

fn roll_config(dice: &mut Dice, faults: Faults) -> Config {
    let mut config = Config::default();
    config.limits.max_held_bytes = dice.pick([1, 500, 3000, 65_536]);
    config.write_queue_bytes = dice.pick([1000, 20_000, 100_000, 1 << 20]);
    config.write_queue_messages = dice.pick([1, 4, 40, 65_536]);
    config.auto_pong = dice.percent(90);
    config.validate_utf8 = dice.percent(90);
    let interval = dice.pick([1, 10, 30]) * SECOND;
    config.keepalive = dice.percent(80).then_some(Keepalive::new(interval, HOUR));
    if faults.is_empty() {
        // An orderly run has no short deadline.
        config.close_timeout = HOUR;
        config.write_timeout = None;
        config.message_timeout = None;
        return config;
    }
    config.close_timeout = dice.pick([1, 5, 30]) * SECOND;
    config.write_timeout = dice.pick([None, Some(2 * SECOND), Some(60 * SECOND)]);
    config.message_timeout = dice.pick([None, Some(2 * SECOND), Some(120 * SECOND)]);
    config.idle_timeout = dice.pick([None, None, Some(2 * SECOND), Some(60 * SECOND)]);
    if let Some(keepalive) = &mut config.keepalive {
        keepalive.timeout = dice.pick([1, 10, 30]) * SECOND;
    }
    if faults.has(Fault::Limits) {
        config.limits.max_message_size = dice.pick([100, 1000, 10_000]);
        config.limits.max_control_frames_per_read = dice.pick([3, 2048]);
        config.limits.max_control_frames_per_second = dice.pick([5, 10_000]);
    }
    if faults.has(Fault::Budget) {
        let largest = config.limits.max_message_size.min(60_000);
        config.limits.max_message_size = largest;
    }
    config
}

fn validate(config: Config, faults: Faults) -> Result<ValidConfig, String> {
    let config = config.validate().map_err(|error| error.to_string())?;
    if !faults.has(Fault::Budget) {
        return Ok(config);
    }
    let budget = MemoryBudget::new(8 * config.limits.max_message_size);
    config.with_memory_budget(budget).map_err(|error| error.to_string())
}

#[cfg(feature = "deflate")]
fn compress(config: &mut Config, dice: &mut Dice) {
    let mut deflate = ws_proto::deflate::DeflateConfig::server();
    deflate.threshold = dice.pick([0, 100, 256]);
    deflate.send_takeover = dice.percent(50);
    deflate.receive_takeover = dice.percent(50);
    deflate.send_window_bits = dice.pick([9, 12, 15]);
    deflate.receive_window_bits = dice.pick([9, 12, 15]);
    deflate.level = dice.pick([1, 1, 6]);
    config.deflate = Some(deflate);
}

#[cfg(not(feature = "deflate"))]
const fn compress(_config: &mut Config, _dice: &mut Dice) {}
