//! Limits for log lines that peers can cause, so that they cannot fill a disk.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ws_tokio::internal::now;

/// Lines of one kind within [`WINDOW`]. Further lines are left out.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Kinds of log lines that peers can cause.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogKind {
    /// A handshake failed.
    Handshake,
    /// A connection could not be accepted, or its socket not be registered or deregistered.
    Socket,
    /// The application or a transport panicked.
    Panic,
    /// What the application answered cannot be used.
    Answer,
    /// A connection ended, with its recording.
    End,
}

impl LogKind {
    const ALL: usize = Self::End as usize + 1;
}

/// Counts the lines of each kind.
pub(crate) struct LogLimits([Mutex<Window>; LogKind::ALL]);

struct Window {
    /// `None` before the first line.
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimits {
    pub(crate) const fn new() -> Self {
        Self([const { Mutex::new(Window { began: None, lines: 0, left_out: 0 }) }; LogKind::ALL])
    }

    /// Whether a line may be logged now. Returns how many lines of its kind were left out since the last one.
    pub(crate) fn admit(&self, kind: LogKind) -> Option<u64> {
        self.admit_at(kind, now())
    }

    fn admit_at(&self, kind: LogKind, now: Instant) -> Option<u64> {
        let mut window = self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (window.began, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// Logs a line, unless too many of its kind were logged within the last second. The next line that is logged is
/// preceded by one that says how many were left out.
macro_rules! log_limited {
    ($limits:expr, $kind:ident, $level:ident, $($line:tt)*) => {
        if tracing::enabled!($crate::log_limit::log_level!($level))
            && let Some(left_out) = $limits.admit($crate::log_limit::LogKind::$kind)
        {
            if left_out > 0 {
                tracing::$level!(left_out, "log lines of the following kind were left out");
            }
            tracing::$level!($($line)*);
        }
    };
}
macro_rules! log_level {
    (debug) => {
        tracing::Level::DEBUG
    };
    (warn) => {
        tracing::Level::WARN
    };
    (error) => {
        tracing::Level::ERROR
    };
}
pub(crate) use {log_level, log_limited};

impl Default for LogLimits {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_of_a_kind_are_logged_per_second_and_the_rest_is_counted() {
        let limits = LogLimits::new();
        let start = Instant::now();
        let admitted = (0..25).filter(|_| limits.admit_at(LogKind::Handshake, start) == Some(0)).count();
        assert_eq!(admitted, 10);
        // Other kinds are not affected.
        assert_eq!(limits.admit_at(LogKind::Panic, start), Some(0));
        let almost = start + WINDOW - Duration::from_nanos(1);
        assert_eq!(limits.admit_at(LogKind::Handshake, almost), None);
        assert_eq!(limits.admit_at(LogKind::Handshake, start + WINDOW), Some(16));
        assert_eq!(limits.admit_at(LogKind::Handshake, start + WINDOW), Some(0));
    }
}
