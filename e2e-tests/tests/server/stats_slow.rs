//! What an observer learns of peers that do not take what is sent, and what the server counts of them. Each edge is
//! told once.

use e2e_tests::harness;
use e2e_tests::raw_peer::{DEADLINE, RawClient, RawFrame};
use e2e_tests::server::{Api, ServerRunner, close_normally, patient};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use ws_server::{
    Conn, Handler, Message, MessageRef, Rejection, Request, Sender, Server, ServerBuilder, ServerStream,
    WebSocket,
    error::SendError,
    stats::{CaughtUp, Closed, Observer, Slow, SlowReason},
    topics::{SlowPolicy, SubscribeOptions, Topics},
};

const MIB: usize = 1 << 20;

/// What an observer learns.
#[derive(Debug, Clone, PartialEq)]
enum Edge {
    Slow(Slow),
    CaughtUp(CaughtUp),
    Closed(u64),
}

struct Collector(UnboundedSender<Edge>);

impl Observer for Collector {
    fn closed(&self, connection: &Closed) {
        let _ = self.0.send(Edge::Closed(connection.id));
    }

    fn slow(&self, connection: &Slow) {
        let _ = self.0.send(Edge::Slow(connection.clone()));
    }

    fn caught_up(&self, connection: &CaughtUp) {
        let _ = self.0.send(Edge::CaughtUp(connection.clone()));
    }
}

fn zeros(len: usize) -> Message {
    Message::binary(vec![0; len])
}

/// Does what a message says: `large` sends 24 MiB at once, `fill` sends until the queue is full, `refuse` sends small
/// messages until one is refused. All other messages are echoed. `sender` gives the test a sender.
fn obey(command: &str, mut send: impl FnMut(Message) -> Result<(), SendError<Message>>) -> bool {
    match command {
        "large" => send(zeros(24 * MIB)).unwrap(),
        "fill" => while send(zeros(100_000)).is_ok() {},
        "refuse" => while send(Message::text("small")).is_ok() {},
        _ => return false,
    }
    true
}

struct Commands(UnboundedSender<Sender>);

impl Handler for Commands {
    type Context = UnboundedSender<Sender>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let command = message.as_text().unwrap();
        if command == "sender" {
            self.0.send(conn.sender()).unwrap();
        }
        if !obey(command, |message| conn.send_message(message)) {
            conn.send_text(command).unwrap();
        }
    }
}

async fn commands(mut ws: WebSocket<ServerStream>, tell: UnboundedSender<Sender>) {
    let sender = ws.sender();
    while let Some(message) = ws.recv().await {
        let command = message.as_text().unwrap();
        if command == "sender" {
            tell.send(sender.clone()).unwrap();
        }
        if !obey(command, |message| sender.try_send(message)) {
            sender.try_send(message).unwrap();
        }
    }
}

/// A server, and what an observer learns of it.
struct Watched {
    server: ServerRunner,
    topics: Topics,
    edges: UnboundedReceiver<Edge>,
    senders: UnboundedReceiver<Sender>,
}

impl Watched {
    async fn start(api: Api, builder: ServerBuilder) -> Self {
        let ((tell, senders), (collector, edges)) = (unbounded_channel(), unbounded_channel());
        let topics = Topics::new();
        // Without deadlines that a peer which does not read would miss.
        let builder = patient(builder).write_timeout(None).keepalive(None);
        let builder = builder.observer(Collector(collector)).topics(topics.clone());
        let server = match api {
            Api::Handler => ServerRunner::serve_handler::<Commands>(builder, tell).await,
            Api::Async => ServerRunner::serve(builder, move |ws| commands(ws, tell.clone())).await,
        };
        Self { server, topics, edges, senders }
    }

    async fn edge(&mut self) -> Edge {
        timeout(DEADLINE, self.edges.recv()).await.expect("an edge").expect("the observer")
    }

    async fn slow(&mut self) -> Slow {
        match self.edge().await {
            Edge::Slow(slow) => slow,
            other => panic!("{other:?}"),
        }
    }

    /// A client that does not read, and a sender of its connection.
    async fn open_slow(&mut self) -> (RawClient, Sender) {
        let mut client = self.server.open_slow().await;
        client.send(RawFrame::text("sender")).await;
        client.expect_text("sender").await;
        (client, self.senders.recv().await.unwrap())
    }

    /// Reads until the connection has caught up.
    async fn catch_up(&mut self, client: &mut RawClient) -> CaughtUp {
        loop {
            tokio::select! {
                biased;
                edge = self.edges.recv() => match edge {
                    Some(Edge::CaughtUp(caught_up)) => return caught_up,
                    other => panic!("{other:?}"),
                },
                _ = client.recv_frame() => {}
            }
        }
    }

    /// Ends the server, and checks that the observer has learned nothing more.
    async fn stop(mut self) {
        self.server.stop().await;
        assert_eq!(self.edges.try_recv().ok(), None);
    }
}

/// Runs `test` with both APIs; on both engines by [`harness::run`].
fn with_both(builder: impl Fn() -> ServerBuilder, test: impl AsyncFn(&mut Watched)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut watched = Watched::start(api, builder()).await;
            test(&mut watched).await;
            watched.stop().await;
        }
    });
}

fn queue_of(bytes: usize) -> ServerBuilder {
    Server::builder().write_queue_bytes(bytes)
}

#[test]
fn a_connection_is_slow_once_its_queue_is_half_full_until_nothing_waits() {
    with_both(
        || queue_of(32 * MIB),
        async |watched| {
            let mut client = watched.server.open_slow().await;
            let addr = client.local_addr();
            for round in 1..=2 {
                client.send(RawFrame::text("large")).await;
                let slow = watched.slow().await;
                assert_eq!((slow.reason, slow.peer), (SlowReason::Backlog, Some(addr)));
                assert_eq!(slow.queued.messages, 1);
                assert!((16 * MIB..=24 * MIB + 10).contains(&slow.queued.bytes), "{slow:?}");
                // More turns of the blocked connection are no more edges.
                client.send(RawFrame::text("one")).await;
                client.send(RawFrame::text("two")).await;
                watched.server.wait_for_stats(|stats| stats.received.messages == 3 * round).await;
                assert_eq!(client.recv_frame().await.payload.len(), 24 * MIB);
                client.expect_text("one").await;
                client.expect_text("two").await;
                let Edge::CaughtUp(caught_up) = watched.edge().await else { panic!("it has caught up") };
                assert_eq!((caught_up.id, caught_up.peer), (slow.id, slow.peer));
                assert_eq!(watched.server.stats().pressure.became_slow, round);
            }
            close_normally(client).await;
            assert!(matches!(watched.edge().await, Edge::Closed(_)));
        },
    );
}

#[test]
fn a_connection_that_refuses_a_message_is_slow_if_its_peer_does_not_read() {
    with_both(
        || queue_of(8 * MIB),
        async |watched| {
            let mut client = watched.server.open_slow().await;
            client.send(RawFrame::text("fill")).await;
            let slow = watched.slow().await;
            assert_eq!(slow.reason, SlowReason::NoRoom);
            assert!(slow.queued.bytes <= 8 * MIB + 1000, "{slow:?}");
            watched.catch_up(&mut client).await;
            let pressure = watched.server.stats().pressure;
            assert_eq!((pressure.became_slow, pressure.refused_sends), (1, 1));
            client.into_connection().reset();
            assert_eq!(watched.edge().await, Edge::Closed(slow.id));
        },
    );
}

#[test]
fn a_refusal_of_another_task_is_reported_although_nothing_else_happens() {
    with_both(
        || queue_of(128 * MIB),
        async |watched| {
            let (mut client, sender) = watched.open_slow().await;
            sender.try_send(zeros(24 * MIB)).unwrap();
            watched.server.wait_for_stats(|stats| stats.pressure.blocked_writes > 0).await;
            sender.try_send(zeros(10 * MIB)).unwrap();
            assert_eq!(watched.server.stats().pressure.became_slow, 0);
            for _ in 0..3 {
                assert!(matches!(sender.try_send(zeros(120 * MIB)), Err(SendError::Full(_))));
            }
            assert_eq!(watched.slow().await.reason, SlowReason::NoRoom);
            watched.catch_up(&mut client).await;
            let pressure = watched.server.stats().pressure;
            assert_eq!((pressure.became_slow, pressure.refused_sends), (1, 3));
            client.into_connection().reset();
            assert!(matches!(watched.edge().await, Edge::Closed(_)));
        },
    );
}

#[test]
fn a_connection_whose_transport_takes_all_in_the_same_turn_is_not_slow() {
    with_both(
        || Server::builder().write_queue_messages(2),
        async |watched| {
            let mut client = watched.server.open().await;
            for _ in 0..3 {
                client.send(RawFrame::text("refuse")).await;
                client.expect_text("small").await;
                client.expect_text("small").await;
            }
            close_normally(client).await;
            assert!(matches!(watched.edge().await, Edge::Closed(_)));
            let pressure = watched.server.stats().pressure;
            assert_eq!((pressure.became_slow, pressure.refused_sends), (0, 3));
        },
    );
}

/// Makes the connection a member that gets one publication at a time, and publishes until it has missed some.
async fn miss(watched: &Watched, sender: &Sender, policy: SlowPolicy) {
    let member = watched.topics.join(sender).unwrap();
    member.subscribe_with("news", SubscribeOptions::new().slow(policy.max_messages(1))).unwrap();
    while member.missed() == 0 {
        // While the shard is behind, there may be no room.
        let _ = watched.topics.publish("news", zeros(100_000));
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_member_that_misses_publications_is_slow() {
    for policy in [SlowPolicy::drop_newest(), SlowPolicy::drop_oldest(), SlowPolicy::latest_per_key()] {
        with_both(
            || queue_of(64 * MIB),
            async |watched| {
                let (mut client, sender) = watched.open_slow().await;
                client.send(RawFrame::text("large")).await;
                watched.server.wait_for_stats(|stats| stats.pressure.blocked_writes > 0).await;
                miss(watched, &sender, policy).await;
                let slow = watched.slow().await;
                assert_eq!(slow.reason, SlowReason::MissedPublications);
                // The large message and a publication.
                assert_eq!(slow.queued.messages, 2, "{slow:?}");
                watched.catch_up(&mut client).await;
                client.into_connection().reset();
                assert!(matches!(watched.edge().await, Edge::Closed(_)));
                assert_eq!(watched.server.stats().pressure.disconnected_members, 0);
            },
        );
    }
}

#[test]
fn a_member_that_a_policy_closes_is_reported_and_counted() {
    with_both(
        || queue_of(128 * MIB),
        async |watched| {
            for was_slow in [false, true] {
                let (mut client, sender) = watched.open_slow().await;
                let before = watched.server.stats().pressure;
                client.send(RawFrame::text("large")).await;
                watched
                    .server
                    .wait_for_stats(|now| now.pressure.blocked_writes > before.blocked_writes)
                    .await;
                if was_slow {
                    sender.try_send(zeros(10 * MIB)).unwrap();
                    assert!(sender.try_send(zeros(120 * MIB)).is_err());
                    assert_eq!(watched.slow().await.reason, SlowReason::NoRoom);
                }
                miss(watched, &sender, SlowPolicy::disconnect()).await;
                let slow = watched.slow().await;
                assert_eq!(slow.reason, SlowReason::Disconnected);
                let now = watched.server.stats().pressure;
                assert_eq!(now.disconnected_members, before.disconnected_members + 1);
                assert_eq!(now.became_slow, before.became_slow + 1);
                client.into_connection().reset();
                assert_eq!(watched.edge().await, Edge::Closed(slow.id));
            }
        },
    );
}

#[test]
fn a_slow_connection_that_ends_has_not_caught_up() {
    with_both(
        || queue_of(32 * MIB),
        async |watched| {
            for number in 1..=2 {
                let (mut client, sender) = watched.open_slow().await;
                client.send(RawFrame::text("large")).await;
                let slow = watched.slow().await;
                if number == 1 {
                    client.into_connection().reset();
                } else {
                    sender.abort();
                }
                assert_eq!(watched.edge().await, Edge::Closed(slow.id));
                assert_eq!(watched.server.stats().pressure.became_slow, number);
            }
        },
    );
}
