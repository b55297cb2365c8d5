//! Limits of memory and connections, and fairness between connections and between kinds of frames.

use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{Length, RawClient, RawFrame, RecvError, opcode};
use e2e_tests::server::{Api, Script, close_normally, counts, echo_test_with, patient, start_echo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};
use ws_server::{Keepalive, Server};

const MIB: usize = 1024 * 1024;

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The number of connections that this process may open, at most `wanted`. Each takes two descriptors.
fn affordable(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(4096);
    let current = limit.current.unwrap_or(u64::MAX).max(most);
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();
    wanted.min((usize::try_from(current).unwrap_or(usize::MAX) - 100) / 2)
}

#[test]
fn a_thousand_announcements_of_16_mib_take_little_memory() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut clients = Vec::new();
            for _ in 0..affordable(1000) {
                clients.push(server.open().await);
            }
            let before = resident();
            for client in &mut clients {
                let announcement = RawFrame::binary([0; 1]).length(Length::Bits64(16 * 1024 * 1024));
                client.send_together(&[RawFrame::ping(""), announcement]).await;
            }
            for client in &mut clients {
                // The pong arrives after the server has processed everything that it read together with the ping.
                client.expect_pong(b"").await;
            }
            let grown = resident().saturating_sub(before);
            // The rest is the test's own memory and a few KiB per connection.
            assert!(grown < clients.len() * 16 * 1024, "{api:?}: {} KiB", grown / 1024);
            drop(clients);
            server.wait_for_connections(0).await;
            server.stop().await;
        }
    });
}

#[test]
fn a_full_server_answers_503_and_never_101() {
    echo_test_with(
        |builder| builder.max_connections(1),
        async |server| {
            let first = server.open().await;
            let mut second = server.connect().await;
            let request = second.request("/").to_bytes();
            assert_eq!(second.upgrade_with(request).await.status(), 503);
            close_normally(first).await;
        },
    );
}

#[test]
fn a_silent_handshake_does_not_delay_a_shutdown() {
    harness::run(async {
        for api in Api::ALL {
            // Neither its deadline nor the grace period is waited for: both are longer than the test may take.
            const LONG: Duration = Duration::from_secs(3600);
            let server = start_echo(api, Server::builder().handshake_timeout(LONG)).await;
            let mut silent = server.connect().await;
            server.wait_for_handshakes(1).await;
            let report = server.stop_within(LONG).await;
            assert_eq!(counts(report), (0, 0, false));
            silent.expect_end().await;
        }
    });
}

#[test]
fn a_connection_that_only_receives_stays_open_while_it_answers_pings() {
    harness::run(within(Duration::from_millis(900), async |idle| {
        let (sender, mut senders) = tokio::sync::mpsc::unbounded_channel();
        let script = Script::new().on_open(move |conn| sender.send(conn.sender()).unwrap());
        let builder = patient(Server::builder())
            .idle_timeout(Some(idle))
            .keepalive(Some(Keepalive::new(idle / 6, Duration::from_secs(3600))));
        let server = script.start(builder).await;
        let (start, pauses, mut pings) = (Instant::now(), Pauses::begin(), 0);
        let mut client = server.open().await;
        let sender = senders.recv().await.unwrap();
        // The client only receives, for longer than the idle timeout.
        while start.elapsed() < idle + idle / 2 || pings == 0 {
            // An error means that the connection is closing.
            let _ = sender.send("news").await;
            loop {
                let frame = client.recv_frame().await;
                match frame.opcode {
                    opcode::TEXT => break,
                    opcode::CLOSE => {
                        assert_eq!(frame.close_code().map(|(code, _)| code), Some(1001));
                        pauses.assert_missed(idle);
                        drop(client);
                        server.stop().await;
                        return false;
                    }
                    _ => assert_eq!(frame.opcode, opcode::PING, "{frame:?}"),
                }
                client.send(RawFrame::pong(frame.payload)).await;
                pings += 1;
            }
            tokio::time::sleep(idle / 30).await;
        }
        drop(client);
        server.stop().await;
        true
    }));
}

#[test]
fn data_is_sent_during_a_flood_of_pings() {
    const MESSAGES: u8 = 100;
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            for number in 0..MESSAGES {
                conn.send_binary(vec![number; 128 * 1024]).unwrap();
            }
        });
        let builder = Server::builder().write_queue_messages(1000).write_queue_bytes(64 * MIB);
        let builder = builder.protocol(|config| config.limits.max_control_frames_per_second = u32::MAX);
        let server = script.start(builder).await;
        let (mut reader, mut writer) = server.open().await.into_connection().split();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let flood = tokio::spawn(async move {
            let pings = writer.encode(&RawFrame::ping([0; 125])).repeat(100);
            while !stop.load(SeqCst) {
                writer.send_bytes(&pings).await;
                tokio::task::yield_now().await;
            }
            writer
        });
        let mut next = 0;
        while next < MESSAGES {
            let frame = reader.recv_frame().await;
            match frame.opcode {
                opcode::BINARY => {
                    assert_eq!(frame.payload, vec![next; 128 * 1024]);
                    next += 1;
                }
                _ => assert_eq!(frame.opcode, opcode::PONG),
            }
        }
        done.store(true, SeqCst);
        drop((reader, flood.await.unwrap()));
        server.stop().await;
    });
}

#[test]
fn a_slow_reader_does_not_delay_other_connections() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let slow = server.open().await;
            let (mut reader, mut writer) = slow.into_connection().split();
            // More than the kernel buffers in both directions, so the server has to stop reading from this client.
            let flood = tokio::spawn(async move {
                let frame = writer.encode(&RawFrame::binary(vec![0; MIB]));
                for _ in 0..24 {
                    writer.send_bytes(&frame).await;
                }
                writer
            });
            for number in 0..30 {
                let mut quick: RawClient = server.open().await;
                quick.send(RawFrame::text(number.to_string())).await;
                quick.expect_text(&number.to_string()).await;
                close_normally(quick).await;
            }
            assert!(!flood.is_finished(), "the server reads no more than it can send");
            // In the end the slow client also receives everything.
            for _ in 0..24 {
                reader.expect_binary(&vec![0; MIB]).await;
            }
            drop(flood.await.unwrap());
            assert!(matches!(reader.expect_end().await, RecvError::Eof | RecvError::Reset));
            server.stop().await;
        }
    });
}
