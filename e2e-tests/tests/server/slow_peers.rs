//! Peers that read slowly, stop reading, or vanish. Deadlines measure whether a peer makes progress, not how long a
//! message takes.

use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{RawClient, RawFrame, RecvError, opcode};
use e2e_tests::server::{Event, ObservedServer, Script, ServerRunner, patient};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;
use ws_server::{
    CloseCode, CloseInfo, Keepalive, Message, Server, ServerBuilder, close::Initiator, error::TimedOut,
    message::Completion,
};

/// More than the kernel takes in one write.
const MESSAGE: usize = 6 << 20;
const SECOND: Duration = Duration::from_secs(1);

fn message() -> Message {
    Message::Binary(Bytes::from(vec![b'x'; MESSAGE]))
}

/// Reads the large message, or `length` bytes of it, at a steady rate.
async fn read_steadily(client: &mut RawClient, length: usize, step: usize) {
    try_to_read_steadily(client, length, step).await.expect("the server continues to send");
}

/// The same. An error says that the server has given the peer up.
async fn try_to_read_steadily(client: &mut RawClient, length: usize, step: usize) -> Result<(), RecvError> {
    let header = client.reader.try_recv_bytes(10).await?;
    assert_eq!(header[..2], [0x82, 127]);
    assert_eq!(header[2..], (MESSAGE as u64).to_be_bytes());
    let mut left = length;
    while left > 0 {
        let part = client.reader.try_recv_bytes(left.min(step)).await?;
        assert!(part.iter().all(|byte| *byte == b'x'));
        left -= part.len();
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Skips keepalive pings, and then expects a Close with this code.
async fn expect_close_behind_pings(client: &mut RawClient, code: u16) {
    assert_eq!(close_behind_pings(client).await, Ok(code));
}

/// Skips keepalive pings, and returns the code of the Close behind them.
async fn close_behind_pings(client: &mut RawClient) -> Result<u16, RecvError> {
    loop {
        let frame = client.try_recv_frame().await?;
        if frame.opcode != opcode::PING {
            return Ok(frame.close_code().expect("a Close").0);
        }
    }
}

/// A handler that sends the message and closes in `on_open`.
async fn handler(builder: ServerBuilder) -> ObservedServer {
    let script = Script::new().on_open(|conn| {
        conn.send_message(message()).unwrap();
        conn.close(CloseCode::NORMAL, "");
    });
    script.start(builder).await
}

/// A function that sends the message and then returns or closes. Also returns the `CloseInfo` of the close.
async fn function(builder: ServerBuilder, closes: bool) -> (ServerRunner, Arc<Mutex<Option<CloseInfo>>>) {
    let info = Arc::<Mutex<Option<CloseInfo>>>::default();
    let told = Arc::clone(&info);
    let runner = ServerRunner::serve(builder, move |mut ws| {
        let told = Arc::clone(&told);
        async move {
            ws.send(message()).await.unwrap();
            if closes {
                let info = ws.close(CloseCode::NORMAL, "").await;
                *told.lock().unwrap() = Some(info);
            }
        }
    });
    (runner.await, info)
}

/// An error says that the server has cut it off.
async fn takes_all_and_the_close(mut client: RawClient) -> Result<(), RecvError> {
    try_to_read_steadily(&mut client, MESSAGE, 16 * 1024).await?;
    assert_eq!(close_behind_pings(&mut client).await?, 1000);
    // The server may have given up waiting.
    let answer = client.writer.encode(&RawFrame::close(1000, ""));
    let _ = client.writer.try_send_bytes(answer).await;
    match client.expect_end().await {
        RecvError::Eof => Ok(()),
        error => Err(error),
    }
}

#[test]
fn an_accepted_message_arrives_whole_before_the_close_however_slowly_it_is_read() {
    // The close timeout is shorter than the message takes, and than the peer takes for what the kernel holds of it.
    harness::run(within(SECOND, async |patience| {
        let hasty = || Server::builder().close_timeout(patience).keepalive(None);
        let mut server = handler(hasty()).await;
        let (returns, _) = function(hasty(), false).await;
        let (closes, told) = function(hasty(), true).await;
        let pauses = Pauses::begin();
        let clients = [server.open_slow().await, returns.open_slow().await, closes.open_slow().await];
        let [first, second, third] = clients.map(takes_all_and_the_close);
        let (first, second, third) = tokio::join!(first, second, third);
        let (events, info) = server.rest_and_closed().await;
        closes.wait_for_connections(0).await;
        let other_info = told.lock().unwrap().take().unwrap();
        server.stop().await;
        returns.wait_for_connections(0).await;
        let kept =
            [first, second, third].iter().all(Result::is_ok) && info.is_clean() && other_info.is_clean();
        returns.stop().await;
        closes.stop().await;
        if kept {
            assert_eq!(events, [Event::Opened, Event::WriteComplete(Completion::Written)]);
        } else {
            pauses.assert_missed(patience);
        }
        kept
    }));
}

#[test]
fn a_peer_that_stops_reading_before_the_close_is_given_up_at_the_write_timeout_and_its_memory_is_free() {
    harness::run(within(2 * SECOND, async |patience| {
        let builder = || Server::builder().close_timeout(patience / 10).write_timeout(Some(patience));
        let mut server = handler(builder()).await;
        let (closes, told) = function(builder(), true).await;
        let pauses = Pauses::begin();
        let reads_and_stops = async |mut client: RawClient| {
            // It still reads long after the close timeout.
            let read = try_to_read_steadily(&mut client, MESSAGE / 8, 16 * 1024).await;
            if read.is_err() {
                pauses.assert_missed(patience);
            }
            (client, read.is_ok())
        };
        let clients = (server.open_slow().await, closes.open_slow().await);
        let ((first, was_kept), (second, was_kept_too)) =
            tokio::join!(reads_and_stops(clients.0), reads_and_stops(clients.1));
        server.expect(Event::Opened).await;
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        let info = server.expect_closed().await;
        closes.wait_for_connections(0).await;
        for info in [info, told.lock().unwrap().take().unwrap()] {
            assert_eq!((info.error, info.initiator), (Some(TimedOut::Write.into()), Initiator::Local));
            assert_eq!(info.sent, None);
        }
        drop((first, second));
        assert_eq!(server.handle().memory_used() + closes.handle().memory_used(), 0);
        server.stop().await;
        closes.stop().await;
        was_kept && was_kept_too
    }));
}

#[test]
fn a_shutdowns_grace_cuts_a_slow_reader_off() {
    harness::run(async {
        let mut server = handler(Server::builder()).await;
        let mut client = server.open_slow().await;
        read_steadily(&mut client, MESSAGE / 8, 16 * 1024).await;
        server.expect(Event::Opened).await;
        server.handle().start(SECOND / 5);
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        assert_eq!(server.expect_closed().await.sent, None);
        assert!(server.stop_within(SECOND / 5).await.forced);
    });
}

/// Servers, with both APIs, that send the message and wait for the peer to close. They give a peer up after
/// `patience`. Also returns how the connection of the second one ended.
async fn senders_of_one(patience: Duration) -> (ObservedServer, ServerRunner, Arc<Mutex<Option<CloseInfo>>>) {
    let keepalive = Keepalive::new(SECOND, patience);
    let builder =
        || patient(Server::builder()).keepalive(Some(keepalive)).write_timeout(Some(patience * 3 / 2));
    let script = Script::new().on_open(|conn| conn.send_message(message()).unwrap());
    let info = Arc::<Mutex<Option<CloseInfo>>>::default();
    let told = Arc::clone(&info);
    let function = move |mut ws: ws_server::WebSocket<_>| {
        let told = Arc::clone(&told);
        async move {
            ws.send(message()).await.unwrap();
            while ws.recv().await.is_some() {}
            *told.lock().unwrap() = ws.close_info();
        }
    };
    (script.start(builder()).await, ServerRunner::serve(builder(), function).await, info)
}

/// Has two peers read the message, as `read` does it, and close. Returns false if the machine paused for about as long
/// as a server waits, and a peer was given up.
async fn are_not_given_up(
    patience: Duration,
    open: impl AsyncFn(&ServerRunner) -> RawClient,
    read: impl AsyncFn(&mut RawClient) -> Result<(), RecvError>,
) -> bool {
    let (mut server, other, info) = senders_of_one(patience).await;
    let pauses = Pauses::begin();
    let takes_all_and_closes = async |mut client: RawClient| {
        let mut was_kept = read(&mut client).await.is_ok();
        if was_kept {
            client.send(RawFrame::close(1000, "")).await;
            // A server that gives the peer up may still send its own Close.
            was_kept = close_behind_pings(&mut client).await == Ok(1000);
        }
        if !was_kept {
            pauses.assert_missed(patience);
        }
        was_kept
    };
    let clients = (open(&server).await, open(&other).await);
    let kept = tokio::join!(takes_all_and_closes(clients.0), takes_all_and_closes(clients.1));
    other.wait_for_connections(0).await;
    let other_info = info.lock().unwrap().take().unwrap();
    for (info, was_kept) in [(server.closed().await, kept.0), (other_info, kept.1)] {
        assert!(if was_kept { info.is_clean() } else { info.error.is_some() }, "{was_kept}: {info:?}");
    }
    server.stop().await;
    other.stop().await;
    kept == (true, true)
}

#[test]
fn a_steady_reader_is_not_given_up_while_the_kernel_has_no_room() {
    harness::run(within(SECOND, async |patience| {
        let read = async |client: &mut RawClient| try_to_read_steadily(client, MESSAGE, 8 * 1024).await;
        are_not_given_up(patience, ServerRunner::open_slow, read).await
    }));
}

#[test]
fn a_peer_behind_a_slow_line_is_not_given_up() {
    const SLOW_LINE: &str =
        "ip link set lo mtu 1500 up && tc qdisc add dev lo root tbf rate 8mbit burst 32k latency 400ms";
    // Both messages together take 12 s at least. The line drops packets, so either may make no progress for a second
    // or two, which is no pause of the machine.
    harness::run_in_own_network(
        SLOW_LINE,
        within(5 * SECOND, async |patience| {
            // Reads without a pause.
            let read = async |client: &mut RawClient| {
                let mut left = 10 + MESSAGE;
                while left > 0 {
                    left -= client.reader.try_recv_bytes(left.min(8 * 1024)).await?.len();
                }
                Ok(())
            };
            are_not_given_up(patience, ServerRunner::open, read).await
        }),
    );
}

// The application is paused at its limit, and the server does not read.

fn small_and_watched() -> ServerBuilder {
    Server::builder()
        .keepalive(Some(Keepalive::new(SECOND / 2, SECOND / 2)))
        .close_timeout(SECOND / 5)
        .protocol(|config| config.limits.max_held_bytes = 1000)
}

const HELD: usize = 100;

async fn send_too_much(client: &mut RawClient) {
    let messages: Vec<_> = (0..HELD).map(|_| RawFrame::binary([0; 100])).collect();
    client.send_together(&messages).await;
    client.expect_ping(b"").await;
}

#[test]
fn a_peer_that_vanishes_while_its_handler_is_paused_at_the_limit_is_noticed() {
    harness::run_in_own_network("ip link set lo up", async {
        let script = Script::new().on_open(|conn| conn.pause());
        let mut server = script.start(small_and_watched()).await;
        let mut client = server.open().await;
        send_too_much(&mut client).await;
        harness::shell("ip link set lo down");
        let (messages, info) = server.rest_and_closed().await;
        assert_eq!(info.error, Some(TimedOut::Keepalive.into()));
        assert!(messages.len() > 1, "what was held is delivered");
        server.stop().await;
    });
}

#[test]
fn a_peer_that_vanishes_while_the_function_does_not_receive_is_noticed() {
    harness::run_in_own_network("ip link set lo up", async {
        let server = ServerRunner::serve(small_and_watched(), |mut ws| async move {
            while ws.is_open() {
                sleep(Duration::from_millis(5)).await;
            }
            while ws.recv().await.is_some() {}
            assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Keepalive.into()));
        });
        let server = server.await;
        let mut client = server.open().await;
        send_too_much(&mut client).await;
        harness::shell("ip link set lo down");
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn a_live_peer_is_not_given_up_while_its_handler_is_paused_at_the_limit() {
    // The paused handler takes nothing, so the connection lasts for the close timeout.
    harness::run(within(SECOND / 5, async |patience| {
        let script = Script::new().on_open(|conn| conn.pause());
        let server = script.start(small_and_watched().close_timeout(patience)).await;
        let pauses = Pauses::begin();
        let mut client = server.open().await;
        send_too_much(&mut client).await;
        // Its pongs would wait unread behind the messages.
        for _ in 0..4 {
            client.expect_ping(b"").await;
        }
        server.handle().start(60 * SECOND);
        expect_close_behind_pings(&mut client, 1001).await;
        // The server may have given up waiting.
        let close = client.writer.encode(&RawFrame::close(1001, ""));
        let _ = client.writer.try_send_bytes(close).await;
        client.expect_end().await;
        let report = server.stop().await;
        let in_time = (report.clean, report.unclean) == (1, 0);
        if !in_time {
            pauses.assert_missed(patience);
        }
        in_time
    }));
}

#[test]
fn a_live_peer_is_kept_while_the_function_does_not_receive() {
    harness::run(async {
        let may_receive = Arc::<Notify>::default();
        let told = Arc::clone(&may_receive);
        let server = ServerRunner::serve(patient(small_and_watched()), move |mut ws| {
            let told = Arc::clone(&told);
            async move {
                told.notified().await;
                let mut messages = 0;
                while ws.recv().await.is_some() {
                    messages += 1;
                }
                assert_eq!((messages, ws.close_info().unwrap().is_clean()), (HELD, true));
            }
        });
        let server = server.await;
        let mut client = server.open().await;
        send_too_much(&mut client).await;
        for _ in 0..4 {
            client.expect_ping(b"").await;
        }
        may_receive.notify_one();
        client.send(RawFrame::close(1000, "")).await;
        expect_close_behind_pings(&mut client, 1000).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_close_from_a_peer_that_does_not_read_ends_the_connection_after_the_close_timeout() {
    harness::run(async {
        let builder = || {
            Server::builder().close_timeout(Duration::from_millis(200)).write_timeout(None).keepalive(None)
        };
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; 8 << 20]).unwrap());
        let mut server = script.start(builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        server.expect(Event::Opened).await;
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        let info = server.expect_closed().await;
        assert_eq!((info.code(), info.sent.is_some()), (1000, false), "our Close was never written");
        server.wait_for_connections(0).await;
        drop(client);
        server.stop().await;

        let server = ServerRunner::serve(builder(), async |mut ws| {
            ws.send(vec![0; 8 << 20]).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        server.wait_for_connections(0).await;
        drop(client);
        server.stop().await;
    });
}
