//! A decoder that follows the text of RFC 6455 section 5: byte by byte, with a fresh allocation for each value,
//! without regard to speed. It shares no code with the crate.

/// The items of a stream, in order; the last one is its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The payload of a Close frame.
    Close(Vec<u8>),
    /// The first violation, as the close code that answers it.
    Violation(u16),
    /// The end of the bytes.
    Eof,
}

/// Decodes what a client or a server sent, with a limit on the payload of a message.
pub(super) fn decode(bytes: &[u8], by_client: bool, limit: u64) -> Vec<Item> {
    let mut decoder = Decoder { bytes: bytes.iter(), by_client, limit, message: None, items: Vec::new() };
    loop {
        if let Err(last) = decoder.frame() {
            decoder.items.push(last);
            return decoder.items;
        }
    }
}

struct Decoder<'a> {
    bytes: std::slice::Iter<'a, u8>,
    by_client: bool,
    limit: u64,
    /// The message in progress: whether it is text, and its payload so far.
    message: Option<(bool, Vec<u8>)>,
    items: Vec<Item>,
}

fn fail_if(violated: bool, code: u16) -> Result<(), Item> {
    if violated { Err(Item::Violation(code)) } else { Ok(()) }
}

impl Decoder<'_> {
    fn byte(&mut self) -> Result<u8, Item> {
        self.bytes.next().copied().ok_or(Item::Eof)
    }

    fn frame(&mut self) -> Result<(), Item> {
        // 5.2: reserved bits and opcodes.
        let first = self.byte()?;
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        fail_if(first & 0x70 != 0, 1002)?;
        fail_if(!matches!(opcode, 0..=2 | 8..=10), 1002)?;
        // 5.1: only clients mask.
        let second = self.byte()?;
        fail_if((second & 0x80 != 0) != self.by_client, 1002)?;
        // 5.5: control frames.
        let is_control = opcode >= 8;
        fail_if(is_control && (!fin || second & 0x7f > 125), 1002)?;
        let length = self.length(second & 0x7f)?;
        let mut key = [0; 4];
        if self.by_client {
            for byte in &mut key {
                *byte = self.byte()?;
            }
        }
        if is_control {
            let mut payload = Vec::new();
            for at in 0..length as usize {
                payload.push(self.byte()? ^ key[at % 4]);
            }
            return self.control(opcode, payload);
        }
        self.begin_data(opcode, length)?;
        for at in 0..length as usize {
            let byte = self.byte()? ^ key[at % 4];
            self.data(byte)?;
        }
        if fin { self.end_message() } else { Ok(()) }
    }

    /// 5.2: the payload's length, in the shortest form, with the top bit clear.
    fn length(&mut self, short: u8) -> Result<u64, Item> {
        let (bytes, least) = match short {
            126 => (2, 126),
            127 => (8, 0x1_0000),
            _ => return Ok(u64::from(short)),
        };
        let mut length = 0;
        for at in 0..bytes {
            let byte = self.byte()?;
            fail_if(bytes == 8 && at == 0 && byte & 0x80 != 0, 1002)?;
            length = length << 8 | u64::from(byte);
        }
        fail_if(length < least, 1002)?;
        Ok(length)
    }

    /// 5.4: fragments; 10.4 and 7.4.1: a message that is too large.
    fn begin_data(&mut self, opcode: u8, length: u64) -> Result<(), Item> {
        fail_if((opcode == 0) != self.message.is_some(), 1002)?;
        let received = self.message.as_ref().map_or(0, |(_, payload)| payload.len() as u64);
        fail_if(received + length > self.limit, 1009)?;
        self.message.get_or_insert((opcode == 1, Vec::new()));
        Ok(())
    }

    /// 8.1: text is UTF-8, and is refused as soon as it cannot be.
    fn data(&mut self, byte: u8) -> Result<(), Item> {
        let Some((is_text, payload)) = &mut self.message else { return Ok(()) };
        payload.push(byte);
        let is_hopeless =
            |text: &[u8]| std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some());
        fail_if(*is_text && is_hopeless(payload), 1007)
    }

    fn end_message(&mut self) -> Result<(), Item> {
        let Some((is_text, payload)) = self.message.take() else { return Ok(()) };
        fail_if(is_text && std::str::from_utf8(&payload).is_err(), 1007)?;
        self.items.push(if is_text { Item::Text(payload) } else { Item::Binary(payload) });
        Ok(())
    }

    /// 5.5.1 to 5.5.3, and 7.4 for the codes.
    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), Item> {
        match opcode {
            9 => self.items.push(Item::Ping(payload)),
            10 => self.items.push(Item::Pong(payload)),
            _ => {
                fail_if(payload.len() == 1, 1002)?;
                if let [high, low, reason @ ..] = &payload[..] {
                    let code = u16::from_be_bytes([*high, *low]);
                    fail_if(!matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), 1002)?;
                    fail_if(std::str::from_utf8(reason).is_err(), 1007)?;
                }
                return Err(Item::Close(payload));
            }
        }
        Ok(())
    }
}
