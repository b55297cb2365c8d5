//! Invalid closing handshakes.

use crate::machine::{Machine, Seen};
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use ws_proto::Config;
use ws_server::Server;

const CLOSES: Row = Row::new(23, "abuse of the closing handshake");

#[test]
fn of_all_codes_those_that_may_be_sent_are_echoed() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let mut machine = Machine::server(&config);
        let mut wrong = 0;
        for code in 0..=u16::MAX {
            machine.renew(&config);
            machine.receive(&RawFrame::close(code, "why").encode(Side::Client));
            // RFC 6455 section 7.4, and the codes that IANA has registered since.
            let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let expected = if may_be_sent { code } else { 1002 };
            wrong += usize::from(machine.close_code() != Some(expected));
        }
        CLOSES.exactly("codes 0 to 65,535: not answered as RFC 6455 says", wrong, 0, "");
    });
}

#[test]
fn what_comes_behind_a_close_is_not_looked_at() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let mut machine = Machine::server(&config);
        machine.receive(&RawFrame::close(1000, "").encode(Side::Client));
        let answer = machine.written.clone();
        let flood =
            [RawFrame::close(1001, ""), RawFrame::text("late"), RawFrame::ping("late"), RawFrame::new(3, "")];
        for _ in 0..scaled(100_000, 5000) / flood.len() {
            flood.iter().for_each(|frame| machine.receive(&frame.encode(Side::Client)));
        }
        let events = machine.seen.iter().filter(|seen| !matches!(seen, Seen::Closed(_))).count();
        let said = machine.written.len() - answer.len();
        let part = format!("{} frames behind a Close: events and bytes sent", scaled("100,000", "5,000"));
        CLOSES.exactly(&part, events + said, 0, "");
    });
}

#[test]
fn broken_closes_have_their_answers_and_silence_its_end() {
    attack(async || {
        let timeout = scaled(Duration::from_secs(5), Duration::from_millis(500));
        let (mut wrong, mut longest) = (0, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().close_timeout(timeout));
            let table = [
                (RawFrame::new(opcode::CLOSE, [3]), 1002),
                (RawFrame::close(1000, b"\xFF"), 1007),
                (RawFrame::close(1000, b"\xED\xA0\x80"), 1007),
                (RawFrame::close(1000, [b'x'; 124]), 1002),
                (RawFrame::close(1000, "").not_final(), 1002),
                (RawFrame::close(1000, "").rsv(1), 1002),
                (RawFrame::close(1005, ""), 1002),
                (RawFrame::close(1006, ""), 1002),
                (RawFrame::close(1015, ""), 1002),
            ];
            let mut peers = Vec::new();
            for (frame, code) in table {
                let mut peer = server.open().await;
                peer.send(frame).await;
                wrong +=
                    usize::from(peer.recv_frame().await.close_code().map(|(code, _)| code) != Some(code));
                // This peer neither answers nor closes its side.
                peers.push(peer);
            }
            let start = Instant::now();
            server.settled(0).await;
            longest = longest.max(start.elapsed());
            assert_eq!(server.counts.messages.load(SeqCst), 0);
            drop(peers);
            server.stop().await;
        }
        CLOSES.exactly("9 invalid Close frames: not answered with the right code", wrong, 0, "");
        let bound = timeout + Duration::from_millis(scaled(500, 3000));
        CLOSES.line(
            &format!("Close never answered, close timeout {} s: descriptor closed", timeout.as_secs_f64()),
            format!("after {:.2} s", longest.as_secs_f64()),
            format!("≤ {:.2} s", bound.as_secs_f64()),
            longest <= bound,
        );
    });
}
