use std::{fmt, str::FromStr};

/// A kind of fault in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A direction stalls, for a while or until the end of the run begins.
    Stall,
    /// The stream ends although the writer did not end it; bytes written later are lost.
    HalfClose,
    /// The connection is reset: bytes in transit are lost, and both sides get an error.
    Reset,
    /// Writes of one side fail from some time on, while it still reads what the other side has sent.
    FailedWrites,
    /// A direction becomes silent without an error, as with a vanished peer.
    Silence,
    /// An application aborts or fails its connection.
    Abort,
    /// The clock jumps by seconds to hours, and the timers are served late.
    TimeJump,
    /// A peer's limits are so low that messages exceed them.
    Limits,
    /// The memory budget is small, and much of it is in use elsewhere.
    Budget,
}

impl Fault {
    /// All kinds.
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

/// Parses the name that [`Display`](fmt::Display) writes.
impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|fault| fault.name() == name);
        known.ok_or_else(|| format!("unknown fault {name:?}"))
    }
}

/// A set of faults. A simulation with an empty set is orderly: every connection must end cleanly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    /// No fault. The network still delays, splits and blocks.
    pub const NONE: Self = Self(0);

    /// Adds a fault.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | fault.bit())
    }

    /// Whether the set has this fault.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Writes the names, separated by commas, or `none`.
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

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for Faults {
    type Err = String;

    fn from_str(names: &str) -> Result<Self, String> {
        if names == "none" {
            return Ok(Self::NONE);
        }
        names.split(',').try_fold(Self::NONE, |faults, name| Ok(faults.with(name.parse()?)))
    }
}
