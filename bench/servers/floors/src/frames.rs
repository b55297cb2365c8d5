//! Turns a client's frames into a server's echoes, in place.

use std::ops::Range;

/// The free bytes before the data that was read: the longest header without its last byte.
pub const PAD: usize = 14;

/// The position of a connection in its stream of frames.
#[derive(Debug, Default)]
pub struct Echo {
    remaining: u64,
    key: u32,
    spill: [u8; PAD],
    spilt: u8,
}

impl Echo {
    /// Whether the last byte seen was the last of a frame.
    pub fn between_frames(&self) -> bool {
        self.remaining == 0 && self.spilt == 0
    }

    /// Rewrites `buffer[PAD..PAD + read]` into the echo and returns its range.
    ///
    /// A server's header is four bytes shorter than a client's, so the output never overtakes the input. The first
    /// payload stays in place, and only later ones move.
    pub fn turn(&mut self, buffer: &mut [u8], read: usize) -> Range<usize> {
        let end = PAD + read;
        let mut input = self.unspill(buffer);
        let mut output = input;
        let mut start = None;
        while input < end {
            if self.remaining == 0 {
                let Some(header) = Header::parse(&buffer[input..end]) else {
                    self.spill(&buffer[input..end]);
                    break;
                };
                if start.is_none() {
                    output = input + 4;
                }
                start.get_or_insert(output);
                buffer.copy_within(input..input + header.size - 4, output);
                buffer[output] = header.first;
                buffer[output + 1] &= 0x7f;
                output += header.size - 4;
                input += header.size;
                (self.remaining, self.key) = (header.length, header.key);
            }
            start.get_or_insert(output);
            let length = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(end - input);
            if input != output {
                buffer.copy_within(input..input + length, output);
            }
            self.unmask(&mut buffer[output..output + length]);
            input += length;
            output += length;
        }
        start.unwrap_or(output)..output
    }

    fn unmask(&mut self, payload: &mut [u8]) {
        let wide = u64::from(self.key) << 32 | u64::from(self.key);
        let mut words = payload.chunks_exact_mut(8);
        for word in &mut words {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            word.copy_from_slice(&(u64::from_le_bytes(bytes) ^ wide).to_le_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(wide.to_le_bytes()) {
            *byte ^= key;
        }
        self.remaining -= payload.len() as u64;
        self.key = self.key.rotate_right(8 * (payload.len() % 4) as u32);
    }

    fn unspill(&mut self, buffer: &mut [u8]) -> usize {
        let spilt = usize::from(self.spilt);
        buffer[PAD - spilt..PAD].copy_from_slice(&self.spill[..spilt]);
        self.spilt = 0;
        PAD - spilt
    }

    fn spill(&mut self, rest: &[u8]) {
        self.spill[..rest.len()].copy_from_slice(rest);
        self.spilt = rest.len() as u8;
    }
}

/// Splits echoes that follow one another into single frames.
pub fn split(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let short = usize::from(*frames.get(1)?);
        let length = match short {
            126 => 4 + usize::from(u16::from_be_bytes([*frames.get(2)?, *frames.get(3)?])),
            127 => frames.len(),
            short => 2 + short,
        };
        let (frame, rest) = frames.split_at_checked(length)?;
        frames = rest;
        Some(frame)
    })
}

struct Header {
    first: u8,
    size: usize,
    length: u64,
    key: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = bytes[2..].split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = bytes[2..].split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), &bytes[2..]),
        };
        let (key, rest) = rest.split_first_chunk()?;
        // A ping is answered by a pong. All other frames, including a Close, are echoed.
        let first = if first == 0x89 { 0x8a } else { first };
        Some(Self { first, size: bytes.len() - rest.len(), length, key: u32::from_le_bytes(*key) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Echo, PAD};

    fn frame(payload: &[u8], key: [u8; 4], out: &mut Vec<u8>, echo: &mut Vec<u8>) {
        let length: Vec<u8> = match payload.len() {
            short @ 0..126 => vec![short as u8],
            middle @ 126..65536 => [&[126], &(middle as u16).to_be_bytes()[..]].concat(),
            long => [&[127], &(long as u64).to_be_bytes()[..]].concat(),
        };
        echo.push(0x82);
        echo.extend_from_slice(&length);
        echo.extend_from_slice(payload);
        out.push(0x82);
        out.push(length[0] | 0x80);
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&key);
        out.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]));
    }

    #[test]
    fn every_cut_gives_the_same_echo() {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (index, size) in [0, 1, 7, 125, 126, 300, 0, 65_536, 20].into_iter().enumerate() {
            let payload: Vec<u8> = (0..size).map(|byte| (byte * 7) as u8).collect();
            frame(&payload, [1, 2, 3, index as u8], &mut sent, &mut expected);
        }
        for cut in [1, 2, 3, 5, 13, 14, 15, 64, 1000, 70_000] {
            let mut echo = Echo::default();
            let mut buffer = vec![0; PAD + cut];
            let mut got = Vec::new();
            for piece in sent.chunks(cut) {
                buffer[PAD..PAD + piece.len()].copy_from_slice(piece);
                let range = echo.turn(&mut buffer, piece.len());
                got.extend_from_slice(&buffer[range]);
            }
            assert!(got == expected, "pieces of {cut}");
            assert!(echo.between_frames());
        }
    }

    #[test]
    fn frames_are_split() {
        let (mut sent, mut echoes) = (Vec::new(), Vec::new());
        for size in [0, 5, 125, 126, 1000] {
            frame(&vec![1; size], [0; 4], &mut sent, &mut echoes);
        }
        let sizes: Vec<_> = super::split(&echoes).map(<[u8]>::len).collect();
        assert_eq!(sizes, [2, 7, 127, 130, 1004]);
    }
}
