//! Values of options.

use std::time::Duration;

/// A duration, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

/// Parses `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 500ms, 10s, 1.5s or 2m".to_owned();
    let unit_at = text.find(|at: char| at.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

/// Parses a duration or `inf`.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    if text == "inf" {
        return Ok(Limit(None));
    }
    duration(text).map(|duration| Limit(Some(duration)))
}

/// Parses a number of bytes, such as `64`, `16k` or `1M`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let expected = || "expected a number of bytes such as 64, 16k or 1M".to_owned();
    let unit_at = text.find(|at: char| at.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: usize = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(expected()),
    };
    number.parse().ok().and_then(|number: usize| number.checked_mul(factor)).ok_or_else(expected)
}

/// Parses a number above zero.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above zero".to_owned())
}

/// Parses `2x` or `0.5x`; `max` is infinite.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(f64::INFINITY);
    }
    positive(text.strip_suffix('x').unwrap_or(text))
        .map_err(|_| "expected a speed such as 2x or max".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_seconds_are_the_default() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("1.5", 1_500), ("2m", 120_000), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1 s", "-1s", "nan", "inf", "1d", "1e300h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(limit("inf"), Ok(Limit(None)));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("64", 64), ("16k", 16_384), ("1M", 1 << 20), ("0", 0)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1.5k", "-1", "99999999999999999999", "1x"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_speed_is_a_factor_or_max() {
        assert_eq!(speed("2x"), Ok(2.0));
        assert_eq!(speed("max"), Ok(f64::INFINITY));
        assert!(speed("0x").is_err() && speed("fast").is_err());
    }
}
