//! Messages that decompress to a thousand times their size, and answers that are expensive to compress.

use crate::machine::{Machine, Seen};
use crate::measure::{Cpu, Memory, micros};
use crate::probe_client::ProbeClient;
use crate::scale::{optimized, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;
use ws_proto::handshake::{
    ClientHandshake, ClientRequest, Extensions, RequestReader, ResponseReader, ServerHandshake,
};
use ws_proto::{
    Config, Connection, Limits, MessageKind, ValidConfig, deflate::DeflateConfig, mask::ChaChaMaskSource,
};
use ws_server::{Server, ServerBuilder};

const BOMB: Row = Row::new(15, "compression bombs");
const EXPENSIVE: Row = Row::new(16, "answers that are expensive to compress");

fn config(limit: usize) -> ValidConfig {
    let mut deflate = DeflateConfig::client();
    (deflate.level, deflate.threshold) = (9, 0);
    let mut config = Config::default();
    (config.deflate, config.limits.max_message_size) = (Some(deflate), limit);
    config.write_queue_bytes = usize::MAX;
    config.validate().unwrap()
}

/// The negotiated extension. The server has the settings of [`compressing`].
fn agreed(client: &ValidConfig, limit: usize) -> (Extensions, ValidConfig, Extensions) {
    let request = ClientRequest::new("a", "/").with_extensions(client);
    let (handshake, head) = ClientHandshake::new(&request, [1; 16]).unwrap();
    let (request, _) = RequestReader::new(&Limits::default()).read(&head).unwrap().unwrap();
    let mut server = Config::default();
    (server.deflate, server.limits.max_message_size) = (Some(DeflateConfig::server()), limit);
    let server = server.validate().unwrap();
    let mut answer = ServerHandshake::new(&request).unwrap();
    let extensions = answer.negotiate(&server);
    let head = answer.accept(&ws_proto::handshake::ResponseParts::default()).unwrap();
    let (response, _) = ResponseReader::new(&Limits::default()).read(&head).unwrap().unwrap();
    (handshake.finish(&response).unwrap().extensions, server, extensions)
}

/// A client's message with the best possible compression.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let config = config(usize::MAX);
    let (extensions, ..) = agreed(&config, usize::MAX);
    let (now, masks) = (Instant::now(), Box::new(ChaChaMaskSource::from_seed([3; 32])));
    let client = Connection::client(config, masks, now).with_extensions(extensions);
    Machine::new(client, now).send(MessageKind::Binary, payload)
}

fn compressing(limit: usize) -> ServerBuilder {
    Server::builder().max_message_size(limit).deflate(Some(DeflateConfig::server()))
}

/// A peer that has negotiated compression.
async fn open(server: &TargetServer) -> RawClient {
    let mut peer = server.connect().await;
    let offer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
    let request = peer.request("/").with("Sec-WebSocket-Extensions", offer);
    let head = peer.upgrade_with(request.to_bytes()).await;
    assert_eq!(head.status(), 101);
    assert!(head.header("Sec-WebSocket-Extensions").is_some());
    peer.reader.allow_compression();
    peer
}

#[test]
fn a_bomb_takes_what_its_message_may_and_not_more() {
    attack(async || {
        let limit = scaled(16 << 20, 2 << 20);
        let (allowed, beyond, huge) =
            (compressed(&vec![0; limit]), compressed(&vec![0; limit + 1]), compressed(&vec![0; 4 * limit]));
        let ratio = limit / allowed.len();
        let (mut wrong, mut peak) = (0, 0);
        for kind in Kind::ALL {
            let server = kind.sink(compressing(limit));
            for (bomb, is_allowed) in [(&allowed, true), (&beyond, false), (&huge, false)] {
                let mut peer = open(&server).await;
                server.quiet().await;
                let (memory, before) = (Memory::start(), server.counts.messages.load(SeqCst));
                peer.send_bytes(bomb).await;
                if is_allowed {
                    peer.send(RawFrame::ping("")).await;
                    peer.expect_pong(b"").await;
                } else {
                    wrong +=
                        usize::from(peer.recv_frame().await.close_code().map(|(code, _)| code) != Some(1009));
                }
                peak = peak.max(memory.peak());
                let delivered = server.counts.messages.load(SeqCst) - before;
                wrong += usize::from(delivered != usize::from(is_allowed));
            }
            server.stop().await;
        }
        let part = format!("{ratio}:1, of the limit's size, one byte more, and four times as large");
        BOMB.exactly(&format!("{part}: not delivered, or not answered with 1009"), wrong, 0, "");
        BOMB.at_most(&format!("{part}: peak memory"), peak / 1024, (limit + 64 * 1024) / 1024, "KiB");
    });
}

/// The longest turn of a server's state machine for these bytes; the shortest of several measurements.
fn longest_turn(limit: usize, bytes: &[u8]) -> (f64, usize) {
    let once = |_| longest_turn_once(limit, bytes);
    (0..5).map(once).min_by(|one, other| one.0.total_cmp(&other.0)).unwrap()
}

fn longest_turn_once(limit: usize, bytes: &[u8]) -> (f64, usize) {
    let (_, config, extensions) = agreed(&config(limit), limit);
    let now = Instant::now();
    let mut machine = Machine::new(Connection::server(config, now).with_extensions(extensions), now);
    machine.forgets = true;
    machine.receive(bytes);
    let messages = machine.seen.iter().filter(|seen| matches!(seen, Seen::Message(..))).count();
    (micros(machine.longest_turn), messages)
}

#[test]
fn a_bomb_never_keeps_the_thread_for_long() {
    attack(async || {
        let limit = 16 << 20;
        let large = compressed(&vec![0; limit]);
        // As many as fit into one read.
        let small = compressed(&vec![0; 60_000]);
        let many = small.repeat(128 * 1024 / small.len());
        let (one, messages) = longest_turn(limit, &large);
        assert_eq!(messages, 1);
        let (other, messages) = longest_turn(limit, &many);
        assert_eq!(messages, 128 * 1024 / small.len());
        let bound = optimized(10_000.0);
        BOMB.micros("processor time of the longest turn, one message of 16 MiB", one, bound);
        BOMB.micros(
            &format!("processor time of the longest turn, {messages} messages of 60 KB in one read"),
            other,
            bound,
        );
    });
}

#[test]
fn bombs_do_not_delay_other_connections() {
    attack(async || {
        let limit = scaled(16 << 20, 4 << 20);
        let bomb = compressed(&vec![0; limit]);
        for kind in Kind::ALL {
            let (server, other) = (kind.echo_small(compressing(limit)), kind.echo_small(compressing(limit)));
            let probe = ProbeClient::start(server.addr);
            probe.echoes(20).await;
            let bombing = async |server: &TargetServer| {
                let mut peer = open(server).await;
                for _ in 0..scaled(4, 1) {
                    peer.send_bytes(&bomb).await;
                    peer.send(RawFrame::ping("")).await;
                    peer.expect_pong(b"").await;
                }
                probe.echoes(5).await;
            };
            probe.beside(scaled(8, 5), &other, &server, bombing).await;
            probe
                .stop()
                .check(&BOMB, &format!("messages of {} MiB, p99 of others' echoes ({kind:?})", limit >> 20));
            other.stop().await;
            server.stop().await;
        }
    });
}

#[test]
fn large_answers_that_compress_well_do_not_delay_other_connections() {
    attack(async || {
        let limit = scaled(16 << 20, 4 << 20);
        let bomb = compressed(&vec![0; limit]);
        for kind in Kind::ALL {
            let (server, other) = (kind.echo(compressing(limit)), kind.echo(compressing(limit)));
            let probe = ProbeClient::start(server.addr);
            probe.echoes(20).await;
            let echoing = async |server: &TargetServer| {
                let mut peer = open(server).await;
                for _ in 0..scaled(4, 1) {
                    peer.send_bytes(&bomb).await;
                    while !peer.recv_frame().await.fin {}
                }
                probe.echoes(5).await;
            };
            probe.beside(scaled(8, 5), &other, &server, echoing).await;
            probe.stop().check(
                &EXPENSIVE,
                &format!("answers of {} MiB, p99 of others' echoes ({kind:?})", limit >> 20),
            );
            other.stop().await;
            server.stop().await;
        }
    });
}

/// Processor time of the echo of a message that was sent uncompressed.
async fn cost(server: &TargetServer, payload: &[u8], rounds: usize, deflate: bool) -> f64 {
    let mut peer = if deflate { open(server).await } else { server.open().await };
    let frame = RawFrame::text(payload).encode(Side::Client);
    let mut best = f64::MAX;
    for _ in 0..5 {
        let cpu = Cpu::start();
        for _ in 0..rounds {
            peer.send_bytes(&frame).await;
            peer.recv_frame().await;
        }
        best = best.min(micros(cpu.elapsed()) / rounds as f64);
    }
    best
}

#[test]
fn compressing_an_answer_costs_three_times_as_much_at_most() {
    attack(async || {
        let json: String = (0..100)
            .map(|n| format!("{{\"id\":{},\"name\":\"user {}\",\"ok\":true}},", n * 7919, n * 31))
            .collect();
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from((state >> 33) % 95).unwrap())
        };
        let noise: String = (0..64 * 1024).map(|_| random()).collect();
        let cases = [("JSON", &json[..1000]), ("random text", &noise[..1000])];
        let rounds = scaled(3000, 100);
        for (name, payload) in cases {
            let mut worst = 0_f64;
            for kind in Kind::ALL {
                let (plain, deflating) = (kind.echo(Server::builder()), kind.echo(compressing(16 << 20)));
                let one = cost(&plain, payload.as_bytes(), rounds, false).await;
                let other = cost(&deflating, payload.as_bytes(), rounds, true).await;
                worst = worst.max(other / one);
                plain.stop().await;
                deflating.stop().await;
            }
            EXPENSIVE.ratio(
                &format!(
                    "echo of {} bytes of {name}: processor time, relative to one without compression",
                    payload.len()
                ),
                worst,
                scaled(3.0, 12.0),
            );
        }
    });
}
