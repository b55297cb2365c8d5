//! The rules for every sent byte (RFC 6455 section 5), checked by a decoder that shares no code with `ws-proto`.

use std::collections::VecDeque;

/// Checks the bytes that one side writes, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Walker {
    by_client: bool,
    /// Messages may have RSV1 and be fragmented.
    may_compress: bool,
    header: Vec<u8>,
    /// Payload bytes of the current frame that are still to come.
    left: u64,
    /// The header is complete and the frame is not.
    in_frame: bool,
    in_message: bool,
    /// The payload of a control frame.
    control: Vec<u8>,
    last_key: Option<[u8; 4]>,
    /// The number of data messages whose last byte was written.
    pub(crate) messages: u64,
    pub(crate) compressed: u64,
    /// For each ping that has a payload: the number of messages before it.
    pub(crate) pings: VecDeque<u64>,
    /// The payload of the Close frame, once its last byte is written.
    pub(crate) close: Option<Vec<u8>>,
}

type Law = Result<(), String>;

fn must(holds: bool, law: &str) -> Law {
    if holds { Ok(()) } else { Err(format!("on the wire: {law}")) }
}

impl Walker {
    pub(crate) const fn new(by_client: bool, may_compress: bool) -> Self {
        Self {
            by_client,
            may_compress,
            header: Vec::new(),
            left: 0,
            in_frame: false,
            in_message: false,
            control: Vec::new(),
            last_key: None,
            messages: 0,
            compressed: 0,
            pings: VecDeque::new(),
            close: None,
        }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Law {
        while !bytes.is_empty() {
            must(self.close.is_none(), "bytes after a Close")?;
            if !self.in_frame {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                if self.header.len() == self.header_len() {
                    self.begin_frame()?;
                }
            }
            if self.in_frame {
                let n = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                if self.opcode() >= 8 {
                    self.control.extend_from_slice(&bytes[..n]);
                }
                self.left -= n as u64;
                bytes = &bytes[n..];
                if self.left == 0 {
                    self.end_frame()?;
                }
            }
        }
        Ok(())
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0f
    }

    /// The length of the header, as far as its first two bytes show it.
    fn header_len(&self) -> usize {
        let [_, second, ..] = self.header[..] else { return 2 };
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn begin_frame(&mut self) -> Law {
        let (first, second, opcode) = (self.header[0], self.header[1], self.opcode());
        let (fin, rsv) = (first & 0x80 != 0, first & 0x70);
        must([0, 1, 2, 8, 9, 10].contains(&opcode), "a reserved opcode")?;
        must(rsv == 0 || (rsv == 0x40 && self.may_compress && [1, 2].contains(&opcode)), "a reserved bit")?;
        must((second & 0x80 != 0) == self.by_client, "masked by clients and only by clients")?;
        let extended = &self.header[2..self.header.len() - if self.by_client { 4 } else { 0 }];
        let number = extended.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (length, least) = match extended.len() {
            0 => (u64::from(second & 0x7f), 0),
            2 => (number, 126),
            _ => (number, 0x1_0000),
        };
        must(length >= least && length >> 63 == 0, "the shortest form of a length")?;
        if opcode >= 8 {
            must(fin && length <= 125, "a control frame of one piece and at most 125 bytes")?;
        } else {
            must(fin || self.may_compress, "a message in one frame")?;
            must((opcode == 0) == self.in_message, "fragments of one message, in order")?;
        }
        if self.by_client {
            let key = self.header[self.header.len() - 4..].first_chunk().copied();
            must(key != self.last_key, "a fresh key for each frame")?;
            self.last_key = key;
        }
        self.compressed += u64::from(rsv != 0);
        (self.left, self.in_frame) = (length, true);
        Ok(())
    }

    fn end_frame(&mut self) -> Law {
        let (opcode, fin) = (self.opcode(), self.header[0] & 0x80 != 0);
        let mut payload = std::mem::take(&mut self.control);
        if self.by_client {
            let key = &self.header[self.header.len() - 4..];
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        if opcode < 8 {
            self.in_message = !fin;
            self.messages += u64::from(fin);
        } else if opcode == 9 && !payload.is_empty() {
            self.pings.push_back(self.messages);
        } else if opcode == 8 {
            must(is_close(&payload), "a code that may be sent, and a reason that is text")?;
            self.close = Some(payload);
        }
        self.header.clear();
        self.in_frame = false;
        Ok(())
    }
}

/// Checks a Close payload (sections 5.5.1 and 7.4).
fn is_close(payload: &[u8]) -> bool {
    let [high, low, reason @ ..] = payload else { return payload.is_empty() };
    let code = u16::from_be_bytes([*high, *low]);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    may_be_sent && std::str::from_utf8(reason).is_ok()
}
