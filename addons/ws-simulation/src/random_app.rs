use std::sync::OnceLock;

use bytes::Bytes;

use ws_proto::{
    CloseCode, Completion, Event, HeldEvent, Message, MessageKind, Notify, PreparedMessage, Utf8Bytes,
};

use crate::{app::App, dice::Dice, link::Link};

/// The length of the material for payloads: long enough for all of them. It is compressible to some degree.
const MATERIAL: usize = 700_000;
/// The pattern of text payloads; it has characters of one to four bytes.
const TEXT: &str = "abcdé fghi€ jkl😀 mnopqrstuvwxyz ";

/// An application that uses every operation: it sends in every way, pings, pauses, keeps messages, and closes.
#[derive(Debug, Clone)]
pub struct RandomApp {
    manners: Manners,
    /// Numbers pings and messages, to make each one distinct.
    count: u32,
    kept: Vec<Bytes>,
}

/// The behavior of a [`RandomApp`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// The most payload bytes of a message.
    pub(crate) largest: usize,
    /// Whether it sometimes sends a message over 256 KiB, which is compressed in pieces.
    pub(crate) sends_huge: bool,
    /// The percentage of turns in which it may close.
    pub(crate) closes: usize,
    /// The percentage of messages that it echoes.
    pub(crate) echoes: usize,
    /// Whether it sends unsolicited pongs.
    pub(crate) pongs: bool,
    /// Whether it pauses.
    pub(crate) pauses: bool,
    /// Whether it holds control frames among the messages while it is paused.
    pub(crate) holds_control: bool,
    /// Whether the application answers pings.
    pub(crate) answers: bool,
}

impl RandomApp {
    pub(crate) const fn new(manners: Manners) -> Self {
        Self { manners, count: 0, kept: Vec::new() }
    }

    fn number(&mut self) -> [u8; 4] {
        self.count += 1;
        let mut digits = [b'0'; 4];
        let mut rest = self.count;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 64) as u8;
            rest /= 64;
        }
        digits
    }

    fn len(&self, dice: &mut Dice) -> usize {
        if self.manners.sends_huge && dice.percent(2) {
            return dice.between(262_145, 600_000);
        }
        let most = match dice.below(100) {
            0..8 => 0,
            8..70 => 200,
            70..80 => 127,
            80..97 => 5000,
            _ => 100 * 1024,
        };
        dice.between(0, most.min(self.manners.largest))
    }

    fn payload(&mut self, kind: MessageKind, dice: &mut Dice) -> Bytes {
        let len = self.len(dice);
        let number = self.number();
        if len < 4 {
            return Bytes::copy_from_slice(&number[..len]);
        }
        let rest = match kind {
            MessageKind::Text => prefix(text(), len - 4).as_bytes(),
            MessageKind::Binary => &binary()[dice.below(256)..][..len - 4],
        };
        [&number, rest].concat().into()
    }

    fn send(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        let kind = dice.pick([MessageKind::Text, MessageKind::Binary]);
        let payload = self.payload(kind, dice);
        let notify = notify(dice);
        match dice.below(6) {
            0 | 1 => drop(link.send(kind, &payload)),
            2 => drop(link.send_bytes(kind, payload, notify)),
            3 => drop(link.send_through(kind, &payload)),
            4 => drop(link.send_message(message(kind, payload), notify)),
            _ => {
                let prepared = match dice.below(2) {
                    0 => PreparedMessage::new(message(kind, payload)),
                    _ => PreparedMessage::uncompressed(message(kind, payload)),
                };
                let _ = link.send_prepared(&prepared, notify);
            }
        }
    }

    fn control_payload(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut payload = self.number().to_vec();
        payload.resize(dice.pick([4, 5, 30, 125]), b'.');
        payload
    }

    fn close(link: &mut Link<'_>, dice: &mut Dice) {
        let code = dice.pick([CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::UNSUPPORTED_DATA]);
        let reason = dice.pick(["", "done", "a reason of some length: é€😀"]);
        if dice.percent(50) { link.close_and_receive(code, reason) } else { link.close(code, reason) }
    }

    fn pause(link: &mut Link<'_>, dice: &mut Dice) {
        if dice.percent(70) { link.pause() } else { link.hold() }
    }

    /// Takes one item that is held.
    fn take(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        match link.take_held_event() {
            Some(HeldEvent::Message(message)) => {
                self.on_message(message.as_bytes().to_vec().into(), message.kind(), link, dice);
            }
            Some(HeldEvent::Ping(payload)) if self.manners.answers => link.answer_ping(&payload),
            _ => {}
        }
    }

    /// Receives messages of a run. The rest may stay out while the connection continues. A run has no control frames,
    /// so it is not for an application that holds them.
    fn borrow(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        if !link.is_lending() && !link.take_run() {
            return;
        }
        for _ in 0..dice.between(0, 4) {
            let Some((kind, message)) = link.next_of_run(dice.percent(50)) else { break };
            self.on_message(message, kind, link, dice);
        }
        if dice.percent(30) {
            link.put_back_run();
        }
    }

    fn on_message(&mut self, message: Bytes, kind: MessageKind, link: &mut Link<'_>, dice: &mut Dice) {
        if dice.percent(self.manners.echoes) {
            let _ = link.send_bytes(kind, message.clone(), notify(dice));
        }
        if dice.percent(10) {
            // Keeps some buffers out of their pool for a while.
            self.kept.push(message);
            self.kept.truncate(4);
        }
    }
}

impl App for RandomApp {
    fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, dice: &mut Dice) {
        match event {
            Event::Message(message) if dice.percent(30) => {
                let kind = message.kind();
                self.on_message(message.into_bytes(), kind, link, dice);
            }
            Event::Message(message) if dice.percent(self.manners.echoes) => {
                let _ = link.send(message.kind(), message.as_bytes());
            }
            Event::Ping(payload) if self.manners.answers => link.answer_ping(payload),
            _ => {}
        }
        if self.manners.pauses && dice.percent(4) {
            Self::pause(link, dice);
        }
        if self.manners.closes > 0 && dice.percent(1) {
            Self::close(link, dice);
        }
    }

    fn holds_control(&self) -> bool {
        self.manners.holds_control
    }

    fn takes_runs(&self) -> bool {
        self.manners.pauses && !self.manners.holds_control
    }

    fn on_turn(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        if link.is_paused() {
            match dice.below(100) {
                0..40 => return link.resume(),
                40..50 if self.manners.holds_control => return self.take(link, dice),
                40..60 if !self.manners.holds_control => return self.borrow(link, dice),
                60..65 => return self.take(link, dice),
                _ => {}
            }
        }
        match dice.below(100) {
            0..60 => self.send(link, dice),
            60..68 => {
                let payload = self.control_payload(dice);
                let _ = link.ping(&payload);
            }
            68..72 if self.manners.pongs => {
                let payload = self.control_payload(dice);
                let _ = link.pong(&payload);
            }
            72..79 if self.manners.pauses => Self::pause(link, dice),
            83..87 => drop(self.kept.pop()),
            #[cfg(feature = "deflate")]
            87..90 => link.set_compression(dice.percent(70)),
            95.. if dice.percent(self.manners.closes) => Self::close(link, dice),
            _ => {}
        }
    }

    fn on_completion(&mut self, completion: Completion, link: &mut Link<'_>, dice: &mut Dice) {
        if completion == Completion::Written && dice.percent(10) {
            self.send(link, dice);
        }
    }
}

fn notify(dice: &mut Dice) -> Notify {
    if dice.percent(50) { Notify::Yes } else { Notify::No }
}

fn message(kind: MessageKind, payload: Bytes) -> Message {
    match kind {
        MessageKind::Binary => Message::Binary(payload),
        MessageKind::Text => Utf8Bytes::try_from(payload).map_or_else(|_| Message::text(""), Message::Text),
    }
}

/// The longest prefix of `text` with at most `len` bytes that ends at a character boundary.
fn prefix(text: &str, mut len: usize) -> &str {
    // `str::floor_char_boundary` does this since Rust 1.91. An index past the end is no boundary.
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

fn text() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| TEXT.repeat(MATERIAL / TEXT.len()))
}

fn binary() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut dice = Dice::new(1);
        let random: Vec<u8> = (0..10_000).map(|_| dice.number() as u8 & 0x3f).collect();
        random.repeat(MATERIAL / random.len())
    })
}
