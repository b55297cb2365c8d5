//! Places in the sequence of a topic's publications.

use std::{fmt, num::ParseIntError, str::FromStr};

/// The place of a publication in its topic. Only topics with history have positions.
///
/// Offsets of one epoch grow. Positions of different epochs cannot be compared, so there is no order on positions. A
/// topic gets a new epoch when it is created, and when a broker that numbers its publications has lost them.
///
/// As text, it is `epoch-offset` in decimal, for example `5-17`. Use the text in web pages: JavaScript's numbers hold
/// only 53 bits.
///
/// ```
/// use ws_server::topics::Position;
///
/// let position = Position { epoch: 5, offset: 17 };
/// assert_eq!(position.to_string(), "5-17");
/// assert_eq!("5-17".parse(), Ok(position));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch. It is drawn at random, unless a broker numbers the publications.
    pub epoch: u64,
    /// The offset within the epoch, from 1 on. 0 is the place in front of the first publication.
    pub offset: u64,
}

impl Position {
    /// Epoch and offset, big-endian: what stands in front of binary messages with a [`Stamp`](super::Stamp).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.epoch) << 64) | u128::from(self.offset)).to_be_bytes()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let (epoch, offset) = text.split_once('-').ok_or(ParsePositionError { source: None })?;
        Ok(Self { epoch: number(epoch)?, offset: number(offset)? })
    }
}

/// A number of decimal digits only: no sign.
fn number(digits: &str) -> Result<u64, ParsePositionError> {
    if digits.starts_with('+') {
        return Err(ParsePositionError { source: None });
    }
    digits.parse().map_err(|error| ParsePositionError { source: Some(error) })
}

/// A text is not a [`Position`]. The text is not part of the error, because it comes from the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position is two decimal numbers of at most 64 bits with a hyphen between them")]
pub struct ParsePositionError {
    source: Option<ParseIntError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_position_reads_back() {
        for position in [
            Position { epoch: 0, offset: 0 },
            Position { epoch: 5, offset: 17 },
            Position { epoch: u64::MAX, offset: u64::MAX },
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "-",
            "5",
            "5-",
            "-5",
            "5-17-1",
            "+5-1",
            "5-+1",
            " 5-1",
            "5-1 ",
            "5-18446744073709551616",
            "a-b",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_of_a_position_are_big_endian() {
        let bytes = Position { epoch: 0x0102, offset: 3 }.to_bytes();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    }
}
