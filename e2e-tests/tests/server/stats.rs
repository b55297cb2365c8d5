//! What a server counts of messages, closes, panics and round-trip times. Each counter moves by exactly what happened.

use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use e2e_tests::server::{
    Api, ObservedServer, Script, ServerRunner, answer_close, close_normally, echo_test, echo_test_with,
    start_echo, start_sharded_echo,
};
use std::time::Duration;
use tokio::task::JoinSet;
use ws_server::{
    CloseCode, Keepalive, Server, WebSocket,
    close::Initiator,
    stats::{CloseCount, ServerStats, Traffic},
};

fn traffic(messages: u64, payload_bytes: u64, wire_bytes: u64, control_frames: u64) -> Traffic {
    let mut traffic = Traffic::default();
    (traffic.messages, traffic.payload_bytes) = (messages, payload_bytes);
    (traffic.wire_bytes, traffic.control_frames) = (wire_bytes, control_frames);
    traffic
}

fn wire(side: Side, frames: &[RawFrame]) -> u64 {
    frames.iter().map(|frame| frame.encode(side).len() as u64).sum()
}

/// The counts of ends: code, initiator, number.
fn ends(stats: &ServerStats) -> Vec<(u16, Initiator, u64)> {
    let count = |close: &CloseCount| (close.code, close.initiator, close.count);
    stats.closes.by_code.iter().map(count).collect()
}

/// Waits until all connections have ended. From then on all is counted.
async fn after_the_end(server: &ObservedServer) -> ServerStats {
    server.wait_for_connections(0).await;
    server.stats()
}

#[test]
fn messages_bytes_and_control_frames_are_counted_by_direction() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let (hello, long) = (RawFrame::text("hello"), RawFrame::binary([7; 70_000]));
        let sent = [hello.clone(), RawFrame::ping("!"), long.clone(), RawFrame::close(1000, "")];
        client.send(hello.clone()).await;
        client.expect_text("hello").await;
        client.send(RawFrame::ping("!")).await;
        client.expect_pong(b"!").await;
        client.send(long.clone()).await;
        client.expect_binary(&[7; 70_000]).await;
        close_normally(client).await;
        let stats = after_the_end(server).await;
        assert_eq!(stats.received, traffic(2, 70_005, wire(Side::Client, &sent), 2));
        let answers = [hello, RawFrame::pong("!"), long, RawFrame::close(1000, "")];
        assert_eq!(stats.sent, traffic(2, 70_005, wire(Side::Server, &answers), 2));
        assert_eq!(stats.pressure.queued_bytes, 0);
        assert_eq!(stats.handshakes.accepted, 1);
    });
}

#[test]
fn a_message_in_fragments_is_one_message() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let parts = [RawFrame::text("ab").not_final(), RawFrame::ping(""), RawFrame::continuation("cd")];
        client.send_together(&parts).await;
        client.expect_pong(b"").await;
        client.expect_text("abcd").await;
        let stats = server.wait_for_stats(|stats| stats.sent.messages == 1).await;
        assert_eq!(stats.received, traffic(1, 4, wire(Side::Client, &parts), 1));
        assert_eq!((stats.connections, stats.closes.by_code.len()), (1, 0));
        close_normally(client).await;
    });
}

#[test]
fn what_came_with_the_handshake_counts_too() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let frame = RawFrame::text("early");
        let mut bytes = client.request("/").to_bytes();
        bytes.extend(frame.encode(Side::Client));
        let head = client.upgrade_with(bytes).await;
        assert_eq!(head.status(), 101);
        client.expect_text("early").await;
        let stats = server.wait_for_stats(|stats| stats.sent.messages == 1).await;
        assert_eq!(stats.received, traffic(1, 5, wire(Side::Client, &[frame]), 0));
        close_normally(client).await;
    });
}

#[test]
fn ends_are_counted_by_code_and_initiator() {
    echo_test(async |server| {
        for code in [1000, 1001, 3001, 3999, 4000] {
            let mut client = server.open().await;
            client.send(RawFrame::close(code, "")).await;
            client.expect_close(code).await;
            client.expect_eof().await;
        }
        let mut client = server.open().await;
        client.send(RawFrame::new(8, "")).await;
        client.expect_empty_close().await;
        drop(client);
        // A fault, which the peer answers.
        let mut client = server.open().await;
        client.send(RawFrame::text([0xff])).await;
        answer_close(client, 1007).await;
        let stats = after_the_end(server).await;
        let expected = [
            (1000, Initiator::Remote, 1),
            (1001, Initiator::Remote, 1),
            (1005, Initiator::Remote, 1),
            (1007, Initiator::Library, 1),
            (3000, Initiator::Remote, 2),
            (4000, Initiator::Remote, 1),
        ];
        assert_eq!(ends(&stats), expected);
        assert_eq!((stats.closes.clean, stats.closes.unclean), (6, 1));
        assert_eq!(stats.connection_times.count(), 7);
        // A peer that vanishes.
        server.open().await.into_connection().reset();
        server.wait_for_stats(|stats| stats.closes.unclean == 2).await;
        let vanished = ends(&server.stats()).into_iter().find(|(code, ..)| *code == 1006);
        assert_eq!(vanished, Some((1006, Initiator::Remote, 1)));
    });
}

#[test]
fn a_close_of_the_application_and_of_a_shutdown_is_local() {
    harness::run(async {
        let server = Script::new()
            .on_message(|conn, _| conn.close(CloseCode::POLICY_VIOLATION, ""))
            .start(Server::builder());
        let server = server.await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        answer_close(client, 1008).await;
        assert_eq!(ends(&after_the_end(&server).await), [(1008, Initiator::Local, 1)]);
        let client = server.open().await;
        let stats = server.stats_handle();
        let answering = tokio::spawn(answer_close(client, 1001));
        server.stop().await;
        answering.await.unwrap();
        let expected = [(1001, Initiator::Local, 1), (1008, Initiator::Local, 1)];
        assert_eq!(ends(&stats.snapshot()), expected);
    });
}

fn run_with_panics(test: impl Future<Output = ()>) {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, test);
}

#[test]
fn panics_are_counted_by_place() {
    run_with_panics(async {
        let script = Script::new().on_message(|_, _| panic!("on purpose"));
        let builder = Server::builder().on_request(|request| {
            assert_ne!(request.path(), "/panic", "on purpose");
            Ok(())
        });
        let server = script.start(builder).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        answer_close(client, 1011).await;
        let mut client = server.connect().await;
        let request = client.request("/panic");
        client.send_bytes(request.to_bytes()).await;
        assert_eq!(client.recv_head().await.status(), 500);
        drop(client);
        let panics = after_the_end(&server).await.panics;
        assert_eq!((panics.handlers, panics.requests, panics.total()), (1, 1, 2));
        server.stop().await;

        let server = ServerRunner::serve(Server::builder(), async |mut ws: WebSocket<_>| {
            let _ = ws.recv().await;
            panic!("on purpose");
        });
        let server = server.await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        answer_close(client, 1011).await;
        server.wait_for_connections(0).await;
        let panics = server.stats().panics;
        assert_eq!((panics.functions, panics.total()), (1, 1));
        server.stop().await;
    });
}

#[test]
fn round_trip_times_of_the_keepalive_are_counted_with_statistics() {
    let keepalive = Keepalive::new(Duration::from_millis(20), Duration::from_secs(30));
    echo_test_with(
        |builder| builder.statistics(true).keepalive(keepalive),
        async |server| {
            let mut client = server.open().await;
            for answered in 1..=3 {
                let ping = client.recv_frame().await;
                client.send(RawFrame::pong(ping.payload.clone())).await;
                let stats = server.wait_for_stats(|stats| stats.round_trips.count() == answered).await;
                assert_eq!(stats.received.control_frames, answered);
            }
            // A pong that nothing has asked for is not a sample.
            client.send(RawFrame::pong("")).await;
            let stats = server.wait_for_stats(|stats| stats.received.control_frames == 4).await;
            assert_eq!(stats.round_trips.count(), 3);
            drop(client);
            server.wait_for_connections(0).await;
        },
    );
}

/// What a client has counted: messages, payload bytes, and the bytes on the wire of each direction.
#[derive(Default)]
struct Counts {
    messages: u64,
    payload_bytes: u64,
    /// From the client.
    received: u64,
    /// From the server.
    sent: u64,
    control_frames: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.received += other.received;
        self.sent += other.sent;
        self.control_frames += other.control_frames;
    }

    fn add_received(&mut self, frame: &RawFrame) {
        self.received += wire(Side::Client, std::slice::from_ref(frame));
    }

    fn add_sent(&mut self, frame: &RawFrame) {
        self.sent += wire(Side::Server, std::slice::from_ref(frame));
    }
}

/// How a client ends its connection, by its number.
const ENDS: [(u16, Initiator); 4] = [
    (1000, Initiator::Remote),
    (3000, Initiator::Remote),
    (4000, Initiator::Remote),
    (1002, Initiator::Library),
];

async fn talk(addr: std::net::SocketAddr, seed: usize) -> Counts {
    let mut client = RawClient::open(addr, "/").await;
    let mut counts = Counts::default();
    for round in 0..50 {
        let len = (seed * 31 + round * 97) % 3000;
        let frame = RawFrame::binary(vec![round as u8; len]);
        client.send(frame.clone()).await;
        client.expect_binary(&frame.payload).await;
        counts.messages += 1;
        counts.payload_bytes += len as u64;
        counts.add_received(&frame);
        counts.add_sent(&frame);
    }
    let (code, initiator) = ENDS[seed % ENDS.len()];
    let code = if code >= 3000 { code + (seed as u16) } else { code };
    if initiator == Initiator::Library {
        // A frame that breaks the protocol, with a reserved opcode. It is not one of the control frames.
        let fault = RawFrame::new(3, "");
        client.send(fault.clone()).await;
        counts.add_received(&fault);
        let close = client.recv_frame().await;
        assert_eq!(close.close_code().map(|(code, _)| code), Some(code));
        counts.sent += 2 + close.payload.len() as u64;
        counts.control_frames += 1;
        drop(client);
        return counts;
    }
    let close = RawFrame::close(code, "");
    client.send(close.clone()).await;
    client.expect_close(code).await;
    client.expect_eof().await;
    counts.add_received(&close);
    counts.add_sent(&close);
    counts.control_frames += 1;
    counts
}

#[test]
fn under_load_on_several_threads_the_sums_are_what_the_clients_have_counted() {
    harness::run_with(Options { worker_threads: 3, ..Options::default() }, async {
        for api in Api::ALL {
            for on_shards in [false, true] {
                println!("with the {api:?} API, on shards: {on_shards}");
                let server = match on_shards {
                    true => start_sharded_echo(api, Server::builder(), 3).await,
                    false => start_echo(api, Server::builder()).await,
                };
                let mut clients = JoinSet::new();
                (0..24).for_each(|seed| drop(clients.spawn(talk(server.addr(), seed))));
                let mut sums = Counts::default();
                while let Some(counts) = clients.join_next().await {
                    sums.add(&counts.unwrap());
                }
                let stats = after_the_end(&server).await;
                let Counts { messages, payload_bytes, received, sent, control_frames } = sums;
                // The clients of six connections break the protocol and send no Close.
                assert_eq!(stats.received, traffic(messages, payload_bytes, received, control_frames - 6));
                assert_eq!(stats.sent, traffic(messages, payload_bytes, sent, control_frames));
                assert_eq!((stats.handshakes.accepted, stats.connection_times.count()), (24, 24));
                assert_eq!((stats.closes.clean, stats.closes.unclean), (18, 6));
                let mut expected = ENDS.map(|(code, initiator)| (code, initiator, 6));
                expected.sort_by_key(|(code, ..)| *code);
                assert_eq!(ends(&stats), expected);
                assert_eq!(stats.pressure.queued_bytes, 0);
                server.stop().await;
            }
        }
    });
}
