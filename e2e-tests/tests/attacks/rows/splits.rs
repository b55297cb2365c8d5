//! The same bytes, cut at every position.

use crate::machine::Machine;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{RawFrame, RequestHead, Side};
use ws_proto::Config;
use ws_server::Server;

const BEHIND: Row = Row::new(4, "frames right behind the request");
const SPLITS: Row = Row::new(21, "cuts at every byte");

#[test]
fn frames_behind_a_request_are_answered_however_both_are_cut() {
    attack(async || {
        let texts = ["one", "two, longer", "three"];
        let frames: Vec<u8> =
            texts.iter().flat_map(|text| RawFrame::text(*text).encode(Side::Client)).collect();
        let expected: Vec<u8> =
            texts.iter().flat_map(|text| RawFrame::text(*text).encode(Side::Server)).collect();
        let (mut splits, mut different) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let all = [RequestHead::new(server.addr, "/").to_bytes(), frames.clone()].concat();
            // The cut at the end sends all at once. The last case sends byte by byte.
            let pieces = (1..=all.len()).map(|at| vec![&all[..at], &all[at..]]);
            for pieces in pieces.chain([all.chunks(1).collect()]) {
                let mut peer = server.connect().await;
                for piece in pieces {
                    peer.send_bytes(piece).await;
                    tokio::task::yield_now().await;
                }
                peer.recv_head().await;
                splits += 1;
                different += usize::from(peer.reader.recv_bytes(expected.len()).await != expected);
            }
            server.stop().await;
        }
        BEHIND.exactly(
            &format!("{} ways to cut a request and 3 frames: different answers", number(splits)),
            different,
            0,
            "",
        );
    });
}

/// Frames of all kinds: long, short and fragmented, with control frames between fragments, and a Close at the end.
fn corpus(count: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let number = frames.len();
        frames.push(RawFrame::text(format!("message {number} äöü €")));
        frames.push(RawFrame::ping(format!("{number}")));
        frames.push(RawFrame::text("fragme").not_final());
        frames.push(RawFrame::pong(""));
        frames.push(RawFrame::continuation("").not_final());
        frames.push(RawFrame::continuation("nted €"));
        frames.push(RawFrame::binary(vec![number as u8; number % 20]));
    }
    frames.push(RawFrame::binary([7; 130]));
    frames.push(RawFrame::close(1000, "bye"));
    frames.iter().flat_map(|frame| frame.encode(Side::Client)).collect()
}

/// The events and the answers to the bytes in these pieces.
fn outcome<'a>(machine: &mut Machine, pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<u8>) {
    machine.renew(&Config::default().validate().unwrap());
    pieces.into_iter().for_each(|piece| machine.receive(piece));
    (format!("{:?}", machine.seen), machine.written.clone())
}

#[test]
fn how_frames_are_cut_makes_no_difference() {
    attack(async || {
        let mut machine = Machine::server(&Config::default().validate().unwrap());
        let (mut tried, mut different) = (0, 0);
        let mut check = |pieces: Vec<&[u8]>, whole: &(String, Vec<u8>)| {
            tried += 1;
            different += usize::from(outcome(&mut machine, pieces) != *whole);
        };
        let long = corpus(210);
        let whole = outcome(&mut Machine::server(&Config::default().validate().unwrap()), [&long[..]]);
        assert!(whole.0.matches("Message").count() >= 60 && whole.0.matches("Ping").count() >= 30);
        for at in (1..long.len()).step_by(scaled(1, 5)) {
            check(vec![&long[..at], &long[at..]], &whole);
        }
        for size in 1..10 {
            check(long.chunks(size).collect(), &whole);
        }
        let short = corpus(7);
        let whole = outcome(&mut Machine::server(&Config::default().validate().unwrap()), [&short[..]]);
        for first in (1..short.len()).step_by(scaled(1, 3)) {
            for second in (first + 1..short.len()).step_by(scaled(1, 3)) {
                check(vec![&short[..first], &short[first..second], &short[second..]], &whole);
            }
        }
        SPLITS.exactly(
            &format!("{} ways to cut frames: different events or answers", number(tried)),
            different,
            0,
            "",
        );
    });
}
