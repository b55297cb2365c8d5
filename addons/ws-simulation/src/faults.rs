use std::{fmt, str::FromStr};

/// What may go wrong in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A direction stands still, for a while or until the end begins.
    Stall,
    /// The end of the stream comes where nobody sent it; what is written behind it is lost.
    HalfClose,
    /// The connection is reset: what is under way is lost, and both sides get an error.
    Reset,
    /// Writes of one side fail from now on, while it still reads what the other has sent.
    FailedWrites,
    /// A direction falls silent for ever, without an error: a peer that vanished.
    Silence,
    /// An application aborts its connection, or fails.
    Abort,
    /// Time jumps, by seconds or by hours, and the timers are served late.
    TimeJump,
    /// A peer's limits are so narrow that messages go over them.
    Limits,
    /// The memory budget is narrow, and others have much of it.
    Budget,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Stall,
        Self::HalfClose,
        Self::Reset,
        Self::FailedWrites,
        Self::Silence,
        Self::Abort,
        Self::TimeJump,
        Self::Limits,
        Self::Budget,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::HalfClose => "half-close",
            Self::Reset => "reset",
            Self::FailedWrites => "failed-writes",
            Self::Silence => "silence",
            Self::Abort => "abort",
            Self::TimeJump => "time-jump",
            Self::Limits => "limits",
            Self::Budget => "budget",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name, as [`Display`](fmt::Display) writes it.
impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|fault| fault.name() == name);
        known.ok_or_else(|| format!("no fault is called {name:?}"))
    }
}

/// Which faults a simulation has. Without any it is orderly: then every connection must end cleanly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    /// An orderly network. It still delays, cuts and blocks.
    pub const NONE: Self = Self(0);

    /// This one too.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | fault.bit())
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The names, with commas; `none` if there are none.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<_> =
            Fault::ALL.into_iter().filter(|fault| self.has(*fault)).map(Fault::name).collect();
        f.write_str(&names.join(","))
    }
}

/// As [`Display`](fmt::Display) writes them.
impl FromStr for Faults {
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        if names == "none" {
            return Ok(Self::NONE);
        }
        names.split(',').try_fold(Self::NONE, |faults, name| Ok(faults.with(name.parse()?)))
    }
}
