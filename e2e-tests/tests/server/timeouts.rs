//! Deadlines on real sockets. Tests check only a lower bound of durations, with a margin, because the server's clock is
//! coarse.

use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, takes_less_than, within};
use e2e_tests::raw_peer::{RawClient, RawFrame, opcode};
use e2e_tests::server::{
    Api, Event, ObservedServer, Script, close_normally, echo_test_with, patient, start_echo,
};
use std::cell::Cell;
use std::time::{Duration, Instant};
use ws_server::{
    CloseCode, Keepalive, Server, ServerBuilder,
    close::Initiator,
    error::{ConnectionError, TimedOut},
};

const SHORT: Duration = Duration::from_millis(200);
/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

fn idle(builder: ServerBuilder) -> ServerBuilder {
    patient(builder).idle_timeout(Some(SHORT))
}

async fn finish_close(client: &mut RawClient) {
    client.send(RawFrame::close(1001, "")).await;
    client.expect_eof().await;
}

async fn expect_error(server: &mut ObservedServer, error: TimedOut) -> ws_server::CloseInfo {
    let info = server.closed().await;
    assert_eq!((info.error, info.initiator), (Some(error.into()), Initiator::Library));
    info
}

#[test]
fn silence_in_both_directions_ends_with_1001() {
    echo_test_with(idle, async |server| {
        let start = Instant::now();
        let mut client = server.open().await;
        client.expect_close(1001).await;
        assert!(start.elapsed() >= SHORT / 2, "{:?}", start.elapsed());
        finish_close(&mut client).await;
        drop(client);
        let info = expect_error(server, TimedOut::Idle).await;
        assert!(info.is_clean(), "the closing handshake was completed: {info:?}");
    });
}

#[test]
fn time_without_a_connection_does_not_count() {
    echo_test_with(idle, async |server| {
        close_normally(server.open().await).await;
        server.wait_for_connections(0).await;
        tokio::time::sleep(2 * SHORT).await;
        let start = Instant::now();
        let mut client = server.open().await;
        client.expect_close(1001).await;
        assert!(start.elapsed() >= SHORT / 2, "{:?}", start.elapsed());
        finish_close(&mut client).await;
    });
}

#[test]
fn a_silent_peer_that_ignores_the_close_is_left_at_the_close_timeout() {
    let hasty = |builder| idle(builder).close_timeout(SHORT);
    echo_test_with(hasty, async |server| {
        // The default is 5 s.
        takes_less_than(Duration::from_secs(4), async || {
            let start = Instant::now();
            let mut client = server.open().await;
            client.expect_close(1001).await;
            client.expect_eof().await;
            let took = start.elapsed();
            let info = expect_error(server, TimedOut::Idle).await;
            assert!(!info.is_clean(), "{info:?}");
            took
        })
        .await;
    });
}

/// Has traffic for longer than the idle timeout. Returns whether the connection stayed open: if the machine paused for
/// about as long as that, it gets a 1001.
async fn keeps_open(
    client: &mut RawClient,
    pauses: &Pauses,
    idle: Duration,
    traffic: impl AsyncFn(&mut RawClient),
) -> bool {
    let start = Instant::now();
    while start.elapsed() < idle + idle / 2 {
        traffic(client).await;
        let frame = client.recv_frame().await;
        if frame.opcode == opcode::CLOSE {
            assert_eq!(frame.close_code().map(|(code, _)| code), Some(1001));
            pauses.assert_missed(idle);
            finish_close(client).await;
            return false;
        }
        assert_eq!(frame, RawFrame::text("still here"));
        tokio::time::sleep(idle / 20).await;
    }
    true
}

#[test]
fn traffic_keeps_a_connection_open_and_silence_after_it_ends_it() {
    harness::run(async {
        for api in Api::ALL {
            within(Duration::from_millis(600), async |idle| {
                let server = start_echo(api, patient(Server::builder()).idle_timeout(Some(idle))).await;
                let pauses = Pauses::begin();
                let mut client = server.open().await;
                let send = async |client: &mut RawClient| client.send(RawFrame::text("still here")).await;
                let stayed = keeps_open(&mut client, &pauses, idle, send).await;
                if stayed {
                    client.expect_close(1001).await;
                    finish_close(&mut client).await;
                }
                drop(client);
                server.stop().await;
                stayed
            })
            .await;
        }
    });
}

#[test]
fn what_the_server_sends_counts_as_traffic() {
    harness::run(within(Duration::from_millis(600), async |idle| {
        let (sender, mut senders) = tokio::sync::mpsc::unbounded_channel();
        let script = Script::new().on_open(move |conn| sender.send(conn.sender()).unwrap());
        let mut server = script.start(patient(Server::builder()).idle_timeout(Some(idle))).await;
        let pauses = Pauses::begin();
        let mut client = server.open().await;
        let sender = senders.recv().await.unwrap();
        // An error means that the connection is closing.
        let send = async |_: &mut RawClient| drop(sender.send("still here").await);
        let stayed = keeps_open(&mut client, &pauses, idle, send).await;
        if stayed {
            client.expect_close(1001).await;
            finish_close(&mut client).await;
        }
        drop(client);
        expect_error(&mut server, TimedOut::Idle).await;
        server.stop().await;
        stayed
    }));
}

#[test]
fn the_idle_timeout_does_not_disturb_a_close() {
    harness::run(async {
        let builder = Server::builder().idle_timeout(Some(HOUR)).close_timeout(SHORT);
        let script = Script::new().on_open(|conn| conn.close(CloseCode::NORMAL, ""));
        let mut server = script.start(builder).await;
        let mut client = server.open().await;
        client.expect_close(1000).await;
        // The close timeout counts, not the idle one.
        client.expect_eof().await;
        let info = server.closed().await;
        assert_eq!(info.error, Some(ConnectionError::TimedOut(TimedOut::Close)));
        server.stop().await;
    });
}

#[test]
fn with_timeouts_set_a_normal_close_is_a_normal_close() {
    echo_test_with(
        |builder| builder.idle_timeout(Some(HOUR)).close_timeout(HOUR),
        async |server| {
            let mut client = server.open().await;
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
            client.send(RawFrame::close(1000, "goodbye")).await;
            assert_eq!(client.expect_close(1000).await, "goodbye");
            client.expect_eof().await;
            drop(client);
            assert!(server.closed().await.is_clean());
        },
    );
}

/// Sends a ping after a short silence, and waits long for the answer.
fn pinging(builder: ServerBuilder) -> ServerBuilder {
    patient(builder).keepalive(Some(Keepalive::new(SHORT, HOUR)))
}

#[test]
fn a_silent_peer_is_pinged_and_lives_on_while_it_answers() {
    echo_test_with(pinging, async |server| {
        let start = Instant::now();
        let mut client = server.open().await;
        for _ in 0..4 {
            client.expect_ping(b"").await;
            client.send(RawFrame::pong("")).await;
        }
        assert!(start.elapsed() >= 2 * SHORT, "{:?}", start.elapsed());
        client.send(RawFrame::text("alive")).await;
        client.expect_text("alive").await;
        close_normally(client).await;
    });
}

#[test]
fn any_frame_answers_a_keepalive_ping() {
    echo_test_with(pinging, async |server| {
        let mut client = server.open().await;
        // While a ping has no answer, the server sends no other.
        for _ in 0..3 {
            client.expect_ping(b"").await;
            client.send(RawFrame::text("here")).await;
            client.expect_text("here").await;
        }
    });
}

#[test]
fn a_peer_that_does_not_answer_a_keepalive_ping_is_given_up() {
    let hasty =
        |builder: ServerBuilder| builder.keepalive(Some(Keepalive::new(SHORT, SHORT))).close_timeout(SHORT);
    echo_test_with(hasty, async |server| {
        // By default, the ping alone comes after 30 s.
        takes_less_than(Duration::from_secs(20), async || {
            let start = Instant::now();
            let mut client = server.open().await;
            client.expect_ping(b"").await;
            client.expect_close(1011).await;
            let took = start.elapsed();
            assert!(took >= SHORT, "{took:?}");
            client.expect_eof().await;
            expect_error(server, TimedOut::Keepalive).await;
            took
        })
        .await;
    });
}

#[test]
fn without_keepalive_no_ping_is_sent() {
    echo_test_with(
        |builder| pinging(builder).keepalive(None).idle_timeout(Some(4 * SHORT)),
        async |server| {
            let mut client = server.open().await;
            // The first frame arrives long after a ping would have been due.
            client.expect_close(1001).await;
            finish_close(&mut client).await;
        },
    );
}

#[test]
fn a_push_only_connection_lives_on_as_long_as_its_peer_answers_pings() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, pinging(Server::builder()).idle_timeout(Some(6 * SHORT))).await;
            // A machine that stands still for most of the time sends fewer pings. Then it is done again.
            while pings_until_idle(server.open().await).await < 2 {}
            server.stop().await;
        }
    });
}

/// Answers pings until the idle timeout ends the connection: keepalive frames do not count as traffic. Returns the
/// number of pings.
async fn pings_until_idle(mut client: RawClient) -> usize {
    let mut pings = 0;
    loop {
        let frame = client.recv_frame().await;
        if frame.opcode == opcode::CLOSE {
            assert_eq!(frame.close_code().map(|(code, _)| code), Some(1001));
            finish_close(&mut client).await;
            return pings;
        }
        assert_eq!(frame.opcode, opcode::PING);
        client.send(RawFrame::pong("")).await;
        pings += 1;
    }
}

const HUGE: usize = 16 * 1024 * 1024;

#[test]
fn a_peer_that_takes_nothing_is_given_up_at_the_write_timeout() {
    harness::run(async {
        let builder = Server::builder().write_timeout(Some(SHORT)).keepalive(None);
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; HUGE]).unwrap());
        let mut server = script.start(builder).await;
        let start = Instant::now();
        let client = server.open().await;
        server.expect(Event::Opened).await;
        server.expect(Event::WriteComplete(ws_server::message::Completion::CutOff)).await;
        let info = expect_error(&mut server, TimedOut::Write).await;
        assert!(start.elapsed() >= SHORT / 2, "{:?}", start.elapsed());
        assert_eq!(info.sent, None, "nothing can be sent to it");
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_not_given_up() {
    harness::run(within(Duration::from_millis(1500), async |patience| {
        let builder = patient(Server::builder()).write_timeout(Some(patience)).keepalive(None);
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; HUGE]).unwrap());
        let mut server = script.start(builder).await;
        let (start, pauses) = (Instant::now(), Pauses::begin());
        let mut client = server.open().await;
        let mut taken = 0;
        let header = 10;
        // Takes longer than the timeout in total, but not in one step.
        while taken < HUGE + header {
            let is_slow = start.elapsed() < patience + patience / 4;
            let step = if is_slow { HUGE / 64 } else { HUGE }.min(HUGE + header - taken);
            let Ok(bytes) = client.reader.try_recv_bytes(step).await else {
                pauses.assert_missed(patience);
                assert_eq!(server.closed().await.error, Some(TimedOut::Write.into()));
                server.stop().await;
                return false;
            };
            taken += bytes.len();
            if is_slow {
                tokio::time::sleep(patience / 30).await;
            }
        }
        client.send(RawFrame::close(1000, "")).await;
        client.expect_close(1000).await;
        client.expect_eof().await;
        drop(client);
        assert!(server.closed().await.is_clean());
        server.stop().await;
        true
    }));
}

#[test]
fn the_deadline_of_one_connection_does_not_touch_another() {
    harness::run(async {
        for api in Api::ALL {
            within(3 * SHORT, async |idle| {
                let server = start_echo(api, patient(Server::builder()).idle_timeout(Some(idle))).await;
                let pauses = Pauses::begin();
                let (mut silent, mut busy) = (server.open().await, server.open().await);
                let over = Cell::new(false);
                let closed = async {
                    silent.expect_close(1001).await;
                    finish_close(&mut silent).await;
                    over.set(true);
                };
                let talk = async {
                    while !over.get() {
                        busy.send(RawFrame::text("busy")).await;
                        let frame = busy.recv_frame().await;
                        if frame.opcode == opcode::CLOSE {
                            assert_eq!(frame.close_code().map(|(code, _)| code), Some(1001));
                            pauses.assert_missed(idle);
                            finish_close(&mut busy).await;
                            return false;
                        }
                        assert_eq!(frame, RawFrame::text("busy"));
                        tokio::time::sleep(idle / 60).await;
                    }
                    true
                };
                let ((), stayed) = tokio::join!(closed, talk);
                drop((silent, busy));
                server.stop().await;
                stayed
            })
            .await;
        }
    });
}

#[test]
fn a_message_that_does_not_end_is_given_up_with_1008() {
    let configure = |builder: ServerBuilder| patient(builder).message_timeout(Some(SHORT)).keepalive(None);
    echo_test_with(configure, async |server| {
        let start = Instant::now();
        let mut client = server.open().await;
        client.send(RawFrame::text("begun").not_final()).await;
        client.expect_close(1008).await;
        assert!(start.elapsed() >= SHORT / 2, "{:?}", start.elapsed());
        finish_close(&mut client).await;
        drop(client);
        expect_error(server, TimedOut::Message).await;
    });
}
