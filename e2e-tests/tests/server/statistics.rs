//! The statistics of a connection, with handlers and async functions.

use std::time::Duration;

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use e2e_tests::server::{Api, ServerRunner, close_normally};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};
use ws_server::{
    CloseInfo, Conn, DeflateConfig, Handler, Keepalive, Message, MessageRef, Rejection, Request, Server,
    ServerBuilder,
    message::Queued,
    stats::{ConnectionStats, DirectionStats},
};

/// How a connection ended, and the statistics that were asked for afterwards.
pub(crate) type End = (CloseInfo, Option<ConnectionStats>);

/// Asks for more than the systems buffer for a peer that does not read.
pub(crate) const PLUG: &str = "plug";

pub(crate) fn plug() -> Message {
    Message::binary(vec![0; 8 << 20])
}

struct Echo(UnboundedSender<End>);

impl Handler for Echo {
    type Context = UnboundedSender<End>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let sent = match message.as_text() {
            Some(PLUG) => conn.send_message(plug()),
            _ => conn.send(message),
        };
        sent.unwrap();
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, info: &CloseInfo) {
        assert_eq!(conn.stats().as_ref(), info.stats());
        assert_eq!(conn.recording().as_ref(), info.recording());
        self.0.send((info.clone(), conn.stats())).expect("the test waits for it");
    }
}

async fn start(api: Api, builder: ServerBuilder) -> (ServerRunner, UnboundedReceiver<End>) {
    let (tell, told) = unbounded_channel();
    let server = match api {
        Api::Handler => ServerRunner::serve_handler::<Echo>(builder, tell).await,
        Api::Async => {
            ServerRunner::serve(builder, move |mut ws| {
                let tell = tell.clone();
                async move {
                    while let Some(message) = ws.recv().await {
                        let answer = if message.as_text() == Some(PLUG) { plug() } else { message };
                        ws.send(answer).await.unwrap();
                    }
                    let info = ws.close_info().expect("it is over");
                    assert_eq!(ws.recording().as_ref(), info.recording());
                    tell.send((info, ws.stats())).expect("the test waits for it");
                }
            })
            .await
        }
    };
    (server, told)
}

/// Runs `test` with both APIs; on both engines by [`harness::run`].
pub(crate) fn with_both(
    builder: impl Fn() -> ServerBuilder,
    test: impl AsyncFn(&ServerRunner, &mut UnboundedReceiver<End>),
) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let (server, mut told) = start(api, builder()).await;
            test(&server, &mut told).await;
            server.stop().await;
        }
    });
}

fn counting() -> ServerBuilder {
    Server::builder().statistics(true)
}

fn wire_len(frames: &[RawFrame]) -> u64 {
    frames.iter().map(|frame| frame.encode(Side::Client).len() as u64).sum()
}

/// Sends `frames`, reads all answers, and closes.
async fn exchange(mut client: RawClient, frames: &[RawFrame], answers: usize) {
    client.send_together(frames).await;
    for _ in 0..answers {
        client.recv_frame().await;
    }
    close_normally(client).await;
}

#[test]
fn each_connection_counts_what_it_received_and_sent() {
    with_both(counting, async |server, told| {
        let mut frames = vec![
            RawFrame::text("one"),
            RawFrame::text("t").not_final(),
            RawFrame::ping("in between"),
            RawFrame::continuation("wo"),
            RawFrame::pong(""),
            RawFrame::binary(vec![7; 100_000]),
        ];
        exchange(server.open().await, &frames, 4).await;
        let (info, stats) = told.recv().await.unwrap();
        let stats = stats.unwrap();
        assert_eq!(info.stats(), Some(&stats));
        frames.push(RawFrame::close(1000, ""));
        let received = stats.received;
        assert_eq!((received.messages, received.payload_bytes), (3, 6 + 100_000));
        assert_eq!((received.frames, received.pings, received.pongs), (7, 1, 1));
        assert_eq!(received.wire_bytes, wire_len(&frames));
        let sent = stats.sent;
        assert_eq!((sent.messages, sent.payload_bytes), (3, 6 + 100_000));
        assert_eq!((sent.frames, sent.pings, sent.pongs), (5, 0, 1));
        // Two texts of 3 bytes, the pong, the large message, and the Close.
        assert_eq!(sent.wire_bytes, 2 * 5 + 12 + 100_010 + 4);
        assert_eq!((stats.cut_off, stats.queued), (0, Queued::default()));
        assert!(stats.queued_peak.bytes > 0);
    });
}

#[test]
fn without_statistics_there_are_none() {
    with_both(Server::builder, async |server, told| {
        exchange(server.open().await, &[RawFrame::text("one")], 1).await;
        let (info, stats) = told.recv().await.unwrap();
        assert!(info.stats().is_none() && stats.is_none() && info.recording().is_none());
    });
}

#[test]
fn answered_keepalive_pings_give_the_round_trip_time() {
    const DELAY: Duration = Duration::from_millis(20);
    let pinging = || {
        let keepalive = Keepalive::new(Duration::from_millis(50), Duration::from_secs(60));
        counting().keepalive(keepalive)
    };
    with_both(pinging, async |server, told| {
        let started = std::time::Instant::now();
        let mut client = server.open().await;
        let (mut counted, mut pings) = (0, 0_u64);
        let mut unsure = 0;
        let mut ping = client.recv_frame().await;
        while counted < 3 {
            pings += 1;
            assert_eq!(ping, RawFrame::ping(pings.to_be_bytes()));
            client.send_together(&[RawFrame::pong("foreign"), RawFrame::pong("")]).await;
            sleep(DELAY).await;
            client.send_together(&[RawFrame::pong(ping.payload.clone()), RawFrame::text("taken")]).await;
            ping = client.recv_frame().await;
            if ping == RawFrame::text("taken") {
                counted += 1;
                if counted < 3 {
                    ping = client.recv_frame().await;
                }
            } else {
                // If the machine stands still, the next ping may come before the pong, which then does not count.
                unsure += 1;
                client.expect_text("taken").await;
            }
        }
        close_behind_pings(client).await;
        let stats = told.recv().await.unwrap().1.unwrap();
        let trip = stats.round_trip.unwrap();
        assert!((counted..=counted + unsure).contains(&trip.samples), "{trip:?}: {counted} and {unsure}");
        assert_eq!(stats.received.pongs, 3 * pings);
        // The time begins when the server's thread continues after its write, which may be later than the ping's arrival.
        for time in [trip.latest, trip.smoothed, trip.minimum] {
            assert!(!time.is_zero() && time < started.elapsed(), "{trip:?}");
        }
        assert!(stats.age(stats.opened_at + DELAY) == DELAY);
    });
}

/// Completes the closing handshake, and skips keepalive pings.
async fn close_behind_pings(mut client: RawClient) {
    client.send(RawFrame::close(1000, "")).await;
    while client.recv_frame().await.close_code() != Some((1000, "")) {}
    client.expect_eof().await;
}

#[test]
fn messages_for_a_peer_that_is_gone_are_cut_off() {
    with_both(counting, async |server, told| {
        let client = server.open_slow().await;
        let (mut reader, mut writer) = client.into_connection().split();
        writer.send(RawFrame::text(PLUG)).await;
        reader.recv_bytes(1).await;
        drop((reader, writer));
        let stats = told.recv().await.unwrap().1.unwrap();
        assert_eq!((stats.cut_off, stats.sent.messages), (1, 1), "{stats:?}");
        assert!(stats.sent.wire_bytes < stats.sent.payload_bytes);
        assert_eq!(stats.queued, Queued::default());
    });
}

/// The sum of all directions.
fn sum(directions: impl Iterator<Item = DirectionStats>) -> [u64; 9] {
    let fields = |stats: DirectionStats| {
        let compressed = stats.compressed;
        let (messages, bytes) = (stats.messages, stats.payload_bytes);
        let smaller = [compressed.messages, compressed.payload_bytes, compressed.compressed_bytes];
        let control = [stats.frames, stats.wire_bytes, stats.pings, stats.pongs];
        [messages, bytes, control[0], control[1], control[2], control[3], smaller[0], smaller[1], smaller[2]]
    };
    directions.map(fields).fold([0; 9], |sum, next| std::array::from_fn(|at| sum[at] + next[at]))
}

/// Sends and receives as the seed says, and closes. Returns what the client counted.
async fn client(url: String, seed: u64) -> ConnectionStats {
    let connector = ws_client::Connector::new().statistics(true).deflate(DeflateConfig::client());
    let mut ws = connector.connect(&url).await.unwrap();
    let mut state = seed;
    for _ in 0..40 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let len = [0, 3, 130, 900, 20_000, 300_000][(state >> 33) as usize % 6];
        if state >> 62 == 0 {
            ws.ping(b"ping").await.unwrap();
        }
        let payload: Vec<u8> = (0..len).map(|at| ((at as u64 * seed) >> (state >> 61)) as u8).collect();
        ws.send(payload.clone()).await.unwrap();
        assert!(ws.recv().await.unwrap().as_bytes() == payload);
    }
    ws.close(ws_client::CloseCode::NORMAL, "").await;
    ws.stats().unwrap()
}

#[test]
fn what_many_clients_count_is_what_the_server_counts() {
    let compressing = || counting().deflate(DeflateConfig::server());
    with_both(compressing, async |server, told| {
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 1..=8 {
            tasks.spawn(client(format!("ws://{}/", server.addr()), seed));
        }
        let clients = tasks.join_all().await;
        let mut ends = Vec::new();
        for _ in &clients {
            ends.push(told.recv().await.unwrap().1.unwrap());
        }
        assert_eq!(sum(clients.iter().map(|stats| stats.sent)), sum(ends.iter().map(|stats| stats.received)));
        assert_eq!(sum(clients.iter().map(|stats| stats.received)), sum(ends.iter().map(|stats| stats.sent)));
        // Each connection has a counterpart with the same numbers.
        for client in &clients {
            let same = |end: &&ConnectionStats| end.received == client.sent && end.sent == client.received;
            assert!(ends.iter().any(|end| same(&end)), "{client:?}");
        }
        assert_eq!(clients.iter().map(|stats| stats.sent.messages).sum::<u64>(), 8 * 40);
        assert!(clients.iter().all(|stats| stats.sent.compressed.ratio().unwrap() > 1.0));
    });
}
