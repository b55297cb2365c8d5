//! Text messages as services exchange them, compressed in advance.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// The number of different messages.
const COUNT: u64 = 64;
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
const KEY: [u8; 4] = [0x5a, 0x17, 0xc3, 0x84];

#[derive(Debug)]
struct Message {
    text: Vec<u8>,
    /// The complete frame of a client.
    request: Vec<u8>,
}

/// All messages of a run, each with this size.
#[derive(Debug)]
pub(crate) struct Messages(Vec<Message>);

impl Messages {
    pub(crate) fn new(size: usize) -> Self {
        Self((0..COUNT).map(|number| Message::new(number, size)).collect())
    }

    /// The frame to send.
    pub(crate) fn request(&self, number: u64) -> &[u8] {
        &self.0[(number % COUNT) as usize].request
    }

    /// Whether a compressed payload contains this message.
    pub(crate) fn is_echo(&self, number: u64, payload: &[u8]) -> bool {
        let text = &self.0[(number % COUNT) as usize].text;
        let mut out = Vec::with_capacity(text.len() + 64);
        let input = [payload, &TAIL].concat();
        let mut raw = Decompress::new(false);
        raw.decompress_vec(&input, &mut out, FlushDecompress::Sync).is_ok() && out == *text
    }

    /// The compressed size divided by the size.
    pub(crate) fn ratio(&self) -> f64 {
        let sum = |size: fn(&Message) -> usize| self.0.iter().map(size).sum::<usize>() as f64;
        sum(|message| message.request.len()) / sum(|message| message.text.len())
    }
}

impl Message {
    fn new(number: u64, size: usize) -> Self {
        let text = text(number, size);
        let request = frame(&compress(&text));
        Self { text, request }
    }
}

/// Records of a market's ticker. Names repeat, numbers do not.
fn text(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut out = String::from("[");
    while out.len() < size {
        let symbol = ["BTC-EUR", "ETH-EUR", "SOL-USD", "ADA-USD", "XRP-GBP"][random(5) as usize];
        let (side, venue) =
            (["buy", "sell"][random(2) as usize], ["north", "south", "west"][random(3) as usize]);
        out += &format!(
            "{{\"symbol\":\"{symbol}\",\"side\":\"{side}\",\"price\":{}.{:02},\"amount\":0.{:05},\"time\":17640{:08},\"venue\":\"{venue}\"}},",
            random(90_000),
            random(100),
            random(100_000),
            random(100_000_000),
        );
    }
    let mut bytes = out.into_bytes();
    bytes.truncate(size);
    bytes
}

fn compress(text: &[u8]) -> Vec<u8> {
    let mut raw = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(text.len() + 1024);
    let status = raw.compress_vec(text, &mut out, FlushCompress::Sync);
    assert!(status.is_ok() && out.ends_with(&TAIL), "the whole message in one go");
    out.truncate(out.len() - TAIL.len());
    out
}

/// A masked text frame with RSV1.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc1];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

#[cfg(test)]
mod tests {
    use super::{KEY, Messages};

    #[test]
    fn a_message_is_its_own_echo_and_no_other() {
        let messages = Messages::new(1000);
        let request = messages.request(3);
        assert_eq!(request[0], 0xc1);
        let payload: Vec<u8> =
            request[8..].iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert!(messages.is_echo(3, &payload));
        assert!(messages.is_echo(67, &payload));
        assert!(!messages.is_echo(4, &payload));
        assert!((0.1..0.7).contains(&messages.ratio()));
    }
}
