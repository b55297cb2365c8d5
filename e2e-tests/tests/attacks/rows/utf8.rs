//! Text messages that are not valid UTF-8.

use crate::machine::{Machine, Seen};
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{Length, RawFrame, Side};
use ws_proto::{Config, ValidConfig};
use ws_server::Server;

const UTF8: Row = Row::new(22, "text that is not UTF-8");

/// Both ends of each range in RFC 3629, section 4, and the bytes just outside them.
const BYTES: [u8; 25] = [
    0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
    0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
];

/// All sequences of `len` of the bytes.
fn sequences(len: u32, step: usize) -> impl Iterator<Item = Vec<u8>> {
    let count = BYTES.len().pow(len);
    (0..count)
        .step_by(step)
        .map(move |number| (0..len).map(|at| BYTES[number / BYTES.len().pow(at) % BYTES.len()]).collect())
}

/// The number of bytes after which `std` says that this cannot become valid text, or `None` if it can.
fn impossible_after(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len())
        .find(|len| std::str::from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some()))
}

/// Whether the machine and `std` agree about a text in two fragments.
fn agrees(machine: &mut Machine, config: &ValidConfig, text: &[u8], split: usize) -> bool {
    machine.renew(config);
    machine.receive(&RawFrame::text(&text[..split]).not_final().encode(Side::Client));
    machine.receive(&RawFrame::continuation(&text[split..]).encode(Side::Client));
    let delivered = matches!(machine.seen.first(), Some(Seen::Message(_, payload)) if payload == text);
    let valid = std::str::from_utf8(text).is_ok();
    delivered == valid && (valid || machine.close_code() == Some(1007))
}

#[test]
fn text_is_judged_as_by_std_wherever_a_character_is_cut() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let mut machine = Machine::server(&config);
        let (mut tried, mut different) = (0, 0);
        for (len, step) in [(1, 1), (2, 1), (3, scaled(1, 7)), (4, scaled(1, 101))] {
            for text in sequences(len, step) {
                for split in 0..=text.len() {
                    tried += 1;
                    different += usize::from(!agrees(&mut machine, &config, &text, split));
                }
            }
        }
        UTF8.exactly(
            &format!("{} ways to cut 1 to 4 bytes: judged differently from std", number(tried)),
            different,
            0,
            "",
        );
    });
}

#[test]
fn text_is_refused_at_the_first_invalid_byte() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let mut machine = Machine::server(&config);
        let (mut tried, mut late) = (0, 0);
        for text in sequences(3, 1).chain(sequences(4, scaled(3, 97))) {
            let Some(expected) = impossible_after(&text) else { continue };
            machine.renew(&config);
            // The rest of the message is not sent.
            let mut bytes = RawFrame::text(text.clone()).length(Length::Bits16(1000)).encode(Side::Client);
            let payload = bytes.split_off(bytes.len() - text.len());
            machine.receive(&bytes);
            let refused = payload.iter().position(|byte| {
                machine.receive(&[*byte]);
                machine.close_code() == Some(1007)
            });
            tried += 1;
            late += usize::from(refused != Some(expected - 1));
        }
        UTF8.exactly(&format!("{} texts: not refused at the first invalid byte", number(tried)), late, 0, "");
        let mut wrong = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let mut peer = server.open().await;
            // Inside a message that is not complete.
            peer.send(RawFrame::text(*b"good \xED\xA0").length(Length::Bits16(1000))).await;
            wrong += usize::from(peer.recv_frame().await.close_code().map(|(code, _)| code) != Some(1007));
            server.stop().await;
        }
        UTF8.exactly("over the network, inside a message: not answered with 1007", wrong, 0, "");
    });
}
