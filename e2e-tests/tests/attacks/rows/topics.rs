//! Topics: storms of subscriptions, floods of topics, and members that do not read.

use crate::measure::{Cpu, Memory, micros};
use crate::probe_client::ProbeClient;
use crate::rows::slow_readers::stalled;
use crate::scale::{connections, number, optimized, scaled};
use crate::table::Row;
use crate::target_server::{Counts, Kind, TargetServer, attack, small_send_buffers};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use ws_server::topics::{
    History, Member, Position, SlowPolicy, SubscribeError, SubscribeOptions, TopicOptions, Topics,
};
use ws_server::{
    CloseInfo, Conn, Handler, Message, MessageRef, Rejection, Request, Server, ServerBuilder, ServerStream,
    WebSocket,
};

const STORM: Row = Row::new(41, "storms of subscriptions");
const FLOOD: Row = Row::new(42, "floods of topics");
const SLOW: Row = Row::new(43, "members of a topic that do not read");

/// The topic with a history.
const HISTORY: &str = "history";
/// How many publications it keeps.
const KEPT: usize = 1000;
/// Topics that a member may have.
const PER_MEMBER: usize = 128;

/// What a client may ask for, with the name of a topic behind it. All other messages are echoed.
const JOIN: u8 = 1;
const JOIN_AND_LEAVE: u8 = 2;
const JOIN_OR_LEAVE_ALL: u8 = 3;
const RECOVER: u8 = 4;
const PUBLISH: u8 = 5;

#[derive(Clone)]
struct Context {
    topics: Topics,
    counts: Arc<Counts>,
    /// What was refused because of a limit.
    refused: Arc<AtomicUsize>,
}

impl Context {
    fn new(max_topics: usize) -> Self {
        let options = |name: &str| match name {
            HISTORY => TopicOptions::new().history(History::new(KEPT)),
            _ => TopicOptions::new(),
        };
        let topics = Topics::builder().max_topics(max_topics).options_by_name(options).build().unwrap();
        Self { topics, counts: Arc::default(), refused: Arc::default() }
    }

    /// Does what a client asks for. An application that lets its clients do all of this is careless.
    fn obey(&self, member: &Member, message: &[u8]) {
        let (command, topic) = message.split_first().unwrap();
        let topic = std::str::from_utf8(topic).unwrap();
        match *command {
            JOIN => drop(member.subscribe(topic)),
            JOIN_AND_LEAVE => {
                let _ = member.subscribe(topic);
                member.unsubscribe(topic);
            }
            JOIN_OR_LEAVE_ALL => match member.subscribe(topic) {
                Err(SubscribeError::TooManyTopics { .. }) => member.leave(),
                Err(_) => drop(self.refused.fetch_add(1, SeqCst)),
                Ok(_) => {}
            },
            RECOVER => {
                let oldest = self.topics.position(topic).unwrap();
                let from = Position { offset: 0, ..oldest };
                let _ = member.subscribe_with(topic, SubscribeOptions::new().from(from));
                member.unsubscribe(topic);
            }
            PUBLISH => drop(member.publish(topic, "x")),
            command => panic!("{command}"),
        }
        self.counts.messages.fetch_add(1, SeqCst);
    }

    fn server(&self, kind: Kind, builder: ServerBuilder) -> TargetServer {
        let builder = builder.topics(self.topics.clone()).keepalive(None);
        let (counts, context) = (Arc::clone(&self.counts), self.clone());
        match kind {
            Kind::HandlerTasks | Kind::HandlerShard => kind.serve_handler::<App>(builder, counts, context),
            Kind::AsyncTasks => TargetServer::start(builder, counts, |server| {
                server.serve(move |ws, _| serve(ws, context.clone()))
            }),
            Kind::AsyncShard => TargetServer::start(builder, counts, |server| async {
                server.sharded(1).serve(move |ws, _| serve(ws, context.clone())).await.unwrap()
            }),
        }
    }

    /// Waits until the server has done what clients asked for, `count` in all.
    async fn done(&self, server: &TargetServer, count: usize) {
        server.until("all commands are done", || self.counts.messages.load(SeqCst) >= count).await;
    }
}

struct App(Context);

impl Handler for App {
    type Context = Context;

    fn accept(_request: &mut Request, context: &Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, _conn: &mut Conn<'_>) {
        self.0.counts.opened.fetch_add(1, SeqCst);
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        match (message.as_text(), conn.member()) {
            (None, Ok(member)) => self.0.obey(&member, message.as_bytes()),
            _ => drop(conn.send(message)),
        }
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, _info: &CloseInfo) {
        self.0.counts.closed.fetch_add(1, SeqCst);
    }
}

async fn serve(mut ws: WebSocket<ServerStream>, context: Context) {
    context.counts.opened.fetch_add(1, SeqCst);
    while let Some(message) = ws.recv().await {
        match (message.as_text(), context.topics.join(&ws.sender())) {
            (None, Ok(member)) => context.obey(&member, message.as_bytes()),
            _ => drop(ws.send(message).await),
        }
    }
    context.counts.closed.fetch_add(1, SeqCst);
}

fn command(command: u8, topic: &str) -> RawFrame {
    RawFrame::binary([&[command], topic.as_bytes()].concat())
}

/// Sends commands as fast as the server takes them, and waits until they are done.
async fn storm(context: &Context, server: &TargetServer, peer: &mut RawClient, frames: &[RawFrame]) {
    let until = context.counts.messages.load(SeqCst) + frames.len();
    for frames in frames.chunks(500) {
        peer.send_together(frames).await;
    }
    context.done(server, until).await;
}

fn close(peer: RawClient) {
    peer.into_connection().reset();
}

#[test]
fn storms_of_subscriptions_delay_no_other_connection_and_leave_nothing_behind() {
    attack(async || {
        let count = scaled(50_000, 2000);
        for kind in Kind::ALL {
            let [(server, context), (other, beside)] = [(); 2].map(|()| {
                let context = Context::new(1_000_000);
                (context.server(kind, Server::builder()), context)
            });
            for context in [&context, &beside] {
                (0..KEPT).for_each(|_| assert!(context.topics.publish(HISTORY, "x").is_ok()));
            }
            server.warm_up().await;
            for (what, frame, share, bound) in [
                ("to a topic", command(JOIN_AND_LEAVE, "room"), 1, 3.0),
                ("that recover 1,000 publications", command(RECOVER, HISTORY), 20, 200.0),
            ] {
                let frames = vec![frame; count / share];
                let probe = ProbeClient::start(server.addr);
                probe.echoes(20).await;
                let memory = Memory::start();
                let attack = async |target: &TargetServer| {
                    let context = if target.addr == server.addr { &context } else { &beside };
                    let mut peer = target.open().await;
                    storm(context, target, &mut peer, &frames).await;
                    close(peer);
                };
                probe.beside(scaled(4, 2), &other, &server, attack).await;
                let peak = memory.peak();
                probe.stop().check(&STORM, &format!("{what}, p99 of others' echoes ({kind:?})"));
                STORM.at_most(&format!("{what}: peak memory ({kind:?})"), peak, 2 << 20, "bytes");
                let (mut peer, cpu) = (server.open().await, Cpu::start());
                storm(&context, &server, &mut peer, &frames).await;
                let each = micros(cpu.elapsed()) / frames.len() as f64;
                let part = format!("{what}: processor time of subscribing and unsubscribing ({kind:?})");
                STORM.micros(&part, each, optimized(bound));
                close(peer);
            }
            server.settled(0).await;
            STORM.exactly(
                &format!("topics left, of one with a history ({kind:?})"),
                context.topics.topic_count(),
                1,
                "topic",
            );
            other.stop().await;
            server.stop().await;
        }
    });
}

#[test]
fn floods_of_topics_are_limited_and_leave_no_memory_behind() {
    attack(async || {
        let (peers, max_topics) = (scaled(100, 10), scaled(10_000, 1000));
        for kind in Kind::TWO {
            let context = Context::new(max_topics);
            let server = context.server(kind, Server::builder());
            server.warm_up().await;
            let probe = ProbeClient::start(server.addr);
            probe.echoes(scaled(100, 30)).await;
            probe.attacked(true);
            server.quiet().await;
            let memory = Memory::start();
            let mut attackers = server.open_many(peers).await;
            // Each peer names new topics of the longest name, as many as it may have.
            for (peer, attacker) in attackers.iter_mut().enumerate() {
                let name = |at: usize| format!("{:0255}", peer * PER_MEMBER + at);
                let frames: Vec<_> =
                    (0..PER_MEMBER).map(|at| command(JOIN_OR_LEAVE_ALL, &name(at))).collect();
                storm(&context, &server, attacker, &frames).await;
            }
            let expected = peers * PER_MEMBER - max_topics;
            let part = format!("{} names, limit of {}", number(peers * PER_MEMBER), number(max_topics));
            FLOOD.exactly(
                &format!("{part}: refused ({kind:?})"),
                context.refused.load(SeqCst),
                expected,
                "refused",
            );
            let each = usize::try_from(memory.grown()).unwrap_or(0) / max_topics;
            FLOOD.at_most(&format!("{part}: memory per topic ({kind:?})"), each, 1536, "bytes");
            // Publications to topics without members create none.
            let names = (0..scaled(20_000, 1000)).map(|at| command(PUBLISH, &format!("none {at}")));
            storm(&context, &server, &mut attackers[0], &names.collect::<Vec<_>>()).await;
            FLOOD.exactly(
                &format!("{part}: topics ({kind:?})"),
                context.topics.topic_count(),
                max_topics,
                "topics",
            );
            probe.echoes(20).await;
            attackers.into_iter().for_each(close);
            server.settled(1).await;
            probe.stop().check(&FLOOD, &format!("{part}: p99 of others' echoes ({kind:?})"));
            server.quiet().await;
            FLOOD.exactly(
                &format!("{part}: topics afterwards ({kind:?})"),
                context.topics.topic_count(),
                0,
                "topics",
            );
            let left = usize::try_from(memory.grown()).unwrap_or(0);
            FLOOD.at_most(&format!("{part}: memory left in all ({kind:?})"), left, 512 * 1024, "bytes");
            server.stop().await;
        }
    });
}

const QUEUE: usize = 64 * 1024;
const PAYLOAD: usize = 1024;
const ROOM: &str = "room";

/// Publishes to the room, and receives everything with a peer that reads. Returns how many arrive changed or in another
/// order.
async fn publish(context: &Context, reader: &mut RawClient, rounds: usize) -> usize {
    let mut wrong = 0;
    for round in 0..rounds {
        let message = format!("{round:0PAYLOAD$}");
        context.topics.publish(ROOM, Message::text(message.clone())).unwrap();
        wrong += usize::from(reader.recv_frame().await.payload != message.as_bytes());
    }
    wrong
}

#[test]
fn members_that_do_not_read_take_little_memory_and_delay_no_other_member() {
    attack(async || {
        small_send_buffers();
        let (count, rounds) = (connections(500, 20), scaled(2000, 400));
        for kind in Kind::TWO {
            for (policy, slow, ends) in [
                ("disconnect", SlowPolicy::disconnect(), true),
                ("drop_newest", SlowPolicy::drop_newest(), false),
                ("drop_oldest", SlowPolicy::drop_oldest(), false),
            ] {
                let mut context = Context::new(1000);
                context.topics = Topics::builder().options(TopicOptions::new().slow(slow)).build().unwrap();
                let builder = Server::builder()
                    .write_queue_bytes(QUEUE)
                    .write_timeout((!ends).then_some(Duration::from_secs(600)))
                    .close_timeout(Duration::from_secs(1));
                let server = context.server(kind, builder);
                let mut reader = server.open().await;
                storm(&context, &server, &mut reader, &[command(JOIN, ROOM)]).await;
                let probe = ProbeClient::start(server.addr);
                assert_eq!(publish(&context, &mut reader, rounds).await, 0);
                probe.echoes(scaled(100, 30)).await;
                let mut peers = stalled(&server, count).await;
                for peer in &mut peers {
                    storm(&context, &server, peer, &[command(JOIN, ROOM)]).await;
                }
                server.quiet().await;
                let memory = Memory::start();
                probe.attacked(true);
                let wrong = publish(&context, &mut reader, rounds).await;
                let each = memory.peak() / count;
                probe.echoes(20).await;
                let part = format!("{} members, {policy}, {kind:?}", number(count));
                probe.stop().check(&SLOW, &format!("{part}: p99 of others' echoes"));
                SLOW.exactly(
                    &format!("{part}: lost or changed for a member that reads"),
                    wrong,
                    0,
                    "messages",
                );
                SLOW.at_most(&format!("{part}: peak memory per member"), each, QUEUE, "bytes");
                if ends {
                    // The peers do not read their Close, so the timeout ends them.
                    server.settled(1).await;
                } else {
                    let members = context.topics.member_count(ROOM);
                    SLOW.exactly(&format!("{part}: members that stay"), members, count + 1, "members");
                }
                drop((peers, reader));
                server.stop().await;
            }
        }
    });
}
