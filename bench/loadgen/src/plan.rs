//! The messages to send and the echoes to expect. Both follow from a connection's seed and a message's number, so no
//! message is stored and each byte can be computed again.

/// Consecutive messages start at different positions of the template, so that an echo of the wrong one is detected.
const SHIFTS: u64 = 64;
const MAX_HEADER: usize = 14;

/// The opcode of all messages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Binary,
}

/// All messages of a run have this size and this opcode.
#[derive(Debug)]
pub(crate) struct Plan {
    size: usize,
    client_header: Vec<u8>,
    server_header: Vec<u8>,
    template: Vec<u8>,
}

impl Plan {
    pub(crate) fn new(size: usize, opcode: Opcode) -> Self {
        let first = if opcode == Opcode::Text { 0x81 } else { 0x82 };
        let mut server_header = vec![first];
        match size {
            0..126 => server_header.push(size as u8),
            126..65536 => {
                server_header.push(126);
                server_header.extend_from_slice(&(size as u16).to_be_bytes());
            }
            _ => {
                server_header.push(127);
                server_header.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        let mut client_header = server_header.clone();
        client_header[1] |= 0x80;
        let byte = |index| {
            let random = mix(index) as u8;
            // Text is ASCII without control characters, as most JSON is.
            if opcode == Opcode::Text { b' ' + random % 95 } else { random }
        };
        let template = (0..size as u64 + SHIFTS).map(byte).collect();
        Self { size, client_header, server_header, template }
    }

    /// The bytes of one message to the server.
    pub(crate) fn request_len(&self) -> u64 {
        (self.client_header.len() + 4 + self.size) as u64
    }

    /// The bytes of one echo.
    pub(crate) fn reply_len(&self) -> u64 {
        (self.server_header.len() + self.size) as u64
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Writes the bytes `position..end` of a connection's stream of messages, as many as fit.
    pub(crate) fn fill(&self, seed: u64, position: u64, end: u64, out: &mut [u8]) -> usize {
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(out.len());
        let mut message = position / self.request_len();
        let mut offset = (position % self.request_len()) as usize;
        let mut done = 0;
        while done < wanted {
            done += self.fill_one(seed, message, offset, &mut out[done..wanted]);
            message += 1;
            offset = 0;
        }
        done
    }

    fn fill_one(&self, seed: u64, message: u64, offset: usize, out: &mut [u8]) -> usize {
        let key = mix(seed << 40 ^ message) as u32;
        let header_len = self.client_header.len() + 4;
        let mut header = [0; MAX_HEADER];
        header[..header_len - 4].copy_from_slice(&self.client_header);
        header[header_len - 4..header_len].copy_from_slice(&key.to_le_bytes());
        let mut done = 0;
        if offset < header_len {
            done = (header_len - offset).min(out.len());
            out[..done].copy_from_slice(&header[offset..offset + done]);
        }
        let start = (offset + done).saturating_sub(header_len);
        let length = (self.size - start).min(out.len() - done);
        let payload = &self.payload(seed, message)[start..start + length];
        copy_masked(payload, key.rotate_right(8 * (start % 4) as u32), &mut out[done..done + length]);
        done + length
    }

    /// Checks bytes at `position` of a connection's stream of echoes: headers always, payloads on demand. Returns the
    /// number of messages that end in them.
    pub(crate) fn check(&self, seed: u64, position: u64, data: &[u8], payloads: bool) -> Result<u64, String> {
        let mut message = position / self.reply_len();
        let mut offset = (position % self.reply_len()) as usize;
        let (mut at, mut completed) = (0, 0);
        while at < data.len() {
            let header = &self.server_header[offset.min(self.server_header.len())..];
            let length = header.len().min(data.len() - at);
            if data[at..at + length] != header[..length] {
                return Err(self.explain(message, &data[at..], offset));
            }
            (at, offset) = (at + length, offset + length);
            if offset < self.server_header.len() {
                break;
            }
            let start = offset - self.server_header.len();
            let length = (self.size - start).min(data.len() - at);
            if payloads && data[at..at + length] != self.payload(seed, message)[start..start + length] {
                return Err(format!("message {message}: payload differs in {start}..{}", start + length));
            }
            (at, offset) = (at + length, offset + length);
            if offset as u64 == self.reply_len() {
                completed += 1;
                (message, offset) = (message + 1, 0);
            }
        }
        Ok(completed)
    }

    fn payload(&self, seed: u64, message: u64) -> &[u8] {
        let shift = (seed.wrapping_add(message) % SHIFTS) as usize;
        &self.template[shift..shift + self.size]
    }

    fn explain(&self, message: u64, data: &[u8], offset: usize) -> String {
        let seen = &data[..data.len().min(MAX_HEADER)];
        let expected = &self.server_header[offset..];
        let what = match *seen {
            _ if offset > 0 => "the length",
            [first, ..] if first & 0x80 == 0 => "FIN is not set",
            [0x88, ..] => "the server sent a Close",
            [first, ..] if first != self.server_header[0] => "the opcode or a reserved bit",
            [_, second, ..] if second & 0x80 != 0 => "a server must not mask",
            _ => "the length",
        };
        format!("message {message}: {what}: expected {expected:02x?}, got {seen:02x?}")
    }
}

/// SplitMix64: a random number for each counter value.
fn mix(counter: u64) -> u64 {
    let mut value = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn copy_masked(from: &[u8], key: u32, to: &mut [u8]) {
    let wide = (u64::from(key) << 32 | u64::from(key)).to_le_bytes();
    let (from_words, from_rest) = from.as_chunks::<8>();
    let (to_words, to_rest) = to.as_chunks_mut::<8>();
    for (from, to) in from_words.iter().zip(to_words) {
        *to = (u64::from_le_bytes(*from) ^ u64::from_le_bytes(wide)).to_le_bytes();
    }
    for ((from, to), key) in from_rest.iter().zip(to_rest).zip(wide) {
        *to = from ^ key;
    }
}

#[cfg(test)]
mod tests {
    use super::{Opcode, Plan};

    fn unmask(mut wire: &[u8], header_len: usize, size: usize) -> Vec<u8> {
        let mut echo = Vec::new();
        while let Some((head, rest)) = wire.split_at_checked(header_len + 4) {
            let (header, key) = head.split_at(header_len);
            echo.extend_from_slice(&[header[0], header[1] & 0x7f]);
            echo.extend_from_slice(&header[2..]);
            echo.extend(rest[..size].iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]));
            wire = &rest[size..];
        }
        echo
    }

    #[test]
    fn an_honest_echo_passes_in_any_pieces_and_a_wrong_byte_does_not() {
        for (size, header_len) in [(0, 2), (20, 2), (125, 2), (126, 4), (70_000, 10)] {
            let plan = Plan::new(size, Opcode::Text);
            let end = 3 * plan.request_len();
            for step in [1, 3, 64, 1_000_000] {
                let (mut wire, mut piece) = (Vec::new(), vec![0; step]);
                while (wire.len() as u64) < end {
                    let count = plan.fill(7, wire.len() as u64, end, &mut piece);
                    wire.extend_from_slice(&piece[..count]);
                }
                let mut echo = unmask(&wire, header_len, size);
                let (mut position, mut completed) = (0, 0);
                for piece in echo.chunks(step) {
                    completed += plan.check(7, position, piece, true).expect("honest");
                    position += piece.len() as u64;
                }
                assert_eq!(completed, 3);
                let last = echo.len() - 1;
                echo[last] ^= 1;
                assert!(plan.check(7, 0, &echo, true).is_err(), "{size}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_header() {
        let plan = Plan::new(20, Opcode::Binary);
        for (header, word) in
            [([0x02, 20], "FIN"), ([0x81, 20], "opcode"), ([0x82, 0x94], "mask"), ([0x82, 21], "length")]
        {
            let complaint = plan.check(0, 0, &header, false).expect_err("wrong");
            assert!(complaint.contains(word), "{complaint}");
        }
    }
}
