//! Topics on real connections, with both APIs and on both engines: what is published and what is sent arrives in one
//! order, at the members and nowhere else.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, ServerRunner, close_normally};
use std::collections::HashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use ws_server::{
    CloseCode, Conn, Handler, MessageRef, Rejection, Request, Sender, Server, ServerBuilder, ServerStream,
    WebSocket,
    error::SendError,
    topics::{JoinError, Member, SubscribeError, Topics},
};

/// A handler that does what its client asks for.
struct Commands {
    senders: UnboundedSender<Sender>,
}

impl Handler for Commands {
    type Context = UnboundedSender<Sender>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self { senders: context.clone() })
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        // Fails once the test needs no more of them.
        let _ = self.senders.send(conn.sender());
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        let text = message.as_text().unwrap();
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["join", topic] => {
                conn.subscribe(topic).unwrap();
                conn.send_text("joined").unwrap();
            }
            ["leave", topic] => {
                assert!(conn.unsubscribe(topic));
                conn.send_text("left").unwrap();
            }
            ["others", topic, text] => drop(conn.publish(topic, text.to_owned()).unwrap()),
            ["burst", topic, name, count] => {
                for number in 0..count.parse().unwrap() {
                    let text = format!("{name} {number}");
                    if number % 3 == 1 {
                        conn.send_text(text.as_str()).unwrap();
                    } else {
                        conn.topics().publish(topic, text).unwrap();
                    }
                }
            }
            ["close", topic] => {
                conn.topics().publish(topic, "before").unwrap();
                conn.close(CloseCode::NORMAL, "");
                conn.topics().publish(topic, "behind").unwrap();
            }
            _ => panic!("{text}"),
        }
    }
}

/// The same as an async function.
async fn commands(mut ws: WebSocket<ServerStream>, topics: Topics) {
    let mut member = None;
    let member_of = |member: &mut Option<Member>, ws: &WebSocket<ServerStream>| {
        member.get_or_insert_with(|| topics.join(&ws.sender()).unwrap()).clone()
    };
    while let Some(message) = ws.recv().await {
        let text = message.as_text().unwrap();
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["join", topic] => {
                member_of(&mut member, &ws).subscribe(topic).unwrap();
                ws.send("joined").await.unwrap();
            }
            ["leave", topic] => {
                assert!(member_of(&mut member, &ws).unsubscribe(topic));
                ws.send("left").await.unwrap();
            }
            ["others", topic, text] => {
                member_of(&mut member, &ws).publish(topic, text.to_owned()).unwrap();
            }
            ["burst", topic, name, count] => {
                for number in 0..count.parse().unwrap() {
                    let text = format!("{name} {number}");
                    if number % 3 == 1 {
                        ws.send(text).await.unwrap();
                    } else {
                        topics.publish(topic, text).unwrap();
                    }
                }
            }
            ["close", topic] => {
                topics.publish(topic, "before").unwrap();
                ws.sender().close(CloseCode::NORMAL, "");
                topics.publish(topic, "behind").unwrap();
            }
            _ => panic!("{text}"),
        }
    }
}

pub(crate) struct TopicServer {
    pub(crate) runner: ServerRunner,
    pub(crate) topics: Topics,
    senders: UnboundedReceiver<Sender>,
}

impl TopicServer {
    pub(crate) async fn start(api: Api, builder: ServerBuilder, topics: Topics) -> Self {
        let (sender, senders) = unbounded_channel();
        let builder = builder.topics(topics.clone());
        let runner = match api {
            Api::Handler => ServerRunner::serve_handler::<Commands>(builder, sender).await,
            Api::Async => {
                let topics = topics.clone();
                ServerRunner::serve(builder, move |ws| {
                    let _ = sender.send(ws.sender());
                    commands(ws, topics.clone())
                })
                .await
            }
        };
        Self { runner, topics, senders }
    }

    /// The `Sender` of the next connection.
    pub(crate) async fn accepted(&mut self) -> Sender {
        self.senders.recv().await.expect("one for each connection")
    }

    pub(crate) async fn open(&mut self) -> (RawClient, Sender) {
        let client = self.runner.open().await;
        (client, self.accepted().await)
    }

    pub(crate) async fn open_slow(&mut self) -> (RawClient, Sender) {
        let client = self.runner.open_slow().await;
        (client, self.accepted().await)
    }

    /// A client whose connection is a member of the topic.
    pub(crate) async fn join(&mut self, topic: &str) -> (RawClient, Sender) {
        let (mut client, sender) = self.open().await;
        join(&mut client, topic).await;
        (client, sender)
    }
}

async fn join(client: &mut RawClient, topic: &str) {
    client.send(RawFrame::text(format!("join {topic}"))).await;
    client.expect_text("joined").await;
}

pub(crate) fn topics_test(builder: impl Fn() -> ServerBuilder, test: impl AsyncFn(&mut TopicServer)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut server = TopicServer::start(api, builder(), Topics::new()).await;
            test(&mut server).await;
            let topics = server.topics;
            server.runner.stop().await;
            assert_eq!((topics.topic_count(), topics.member_count("room")), (0, 0), "all members are gone");
        }
    });
}

async fn recv_text(client: &mut RawClient) -> String {
    String::from_utf8(client.recv_frame().await.payload.to_vec()).unwrap()
}

#[test]
fn a_publication_reaches_the_other_members_of_its_topic_and_no_other_connection() {
    topics_test(Server::builder, async |server| {
        let (mut publisher, _) = server.join("room").await;
        let (mut member, _) = server.join("room").await;
        let (mut elsewhere, _) = server.join("hall").await;
        let (mut stranger, _) = server.open().await;
        stranger.send(RawFrame::text("others room hello")).await;
        member.expect_text("hello").await;
        publisher.expect_text("hello").await;
        publisher.send(RawFrame::text("others room again")).await;
        member.expect_text("again").await;
        let published = server.topics.publish("hall", "only here").unwrap();
        assert_eq!(published.members, 1);
        elsewhere.expect_text("only here").await;
        // Nothing else came to anyone.
        for client in [publisher, member, elsewhere, stranger] {
            close_normally(client).await;
        }
    });
}

#[test]
fn what_one_callback_publishes_and_sends_arrives_in_that_order() {
    topics_test(Server::builder, async |server| {
        let (mut publisher, _) = server.join("room").await;
        let (mut member, _) = server.join("room").await;
        for round in 0..5 {
            publisher.send(RawFrame::text(format!("burst room {round} 300"))).await;
            for number in 0..300 {
                publisher.expect_text(&format!("{round} {number}")).await;
                if number % 3 != 1 {
                    member.expect_text(&format!("{round} {number}")).await;
                }
            }
        }
        close_normally(publisher).await;
        close_normally(member).await;
    });
}

#[test]
fn what_a_task_publishes_and_sends_through_a_sender_arrives_in_that_order() {
    topics_test(Server::builder, async |server| {
        let (mut client, sender) = server.join("room").await;
        let topics = server.topics.clone();
        let task = tokio::spawn(async move {
            for number in 0..1000 {
                let text = number.to_string();
                match number % 4 {
                    0 => drop(topics.publish("room", text).unwrap()),
                    1 => sender.send(text).await.unwrap(),
                    2 => drop(topics.publish("room", text).unwrap()),
                    _ => match sender.try_send(text) {
                        Err(SendError::Full(message)) => sender.send(message).await.unwrap(),
                        sent => sent.unwrap(),
                    },
                }
                if number % 50 == 49 {
                    tokio::task::yield_now().await;
                }
            }
        });
        for number in 0..1000 {
            client.expect_text(&number.to_string()).await;
        }
        task.await.unwrap();
        close_normally(client).await;
    });
}

#[test]
fn each_publishers_order_is_kept_across_shards() {
    const CLIENTS: usize = 6;
    harness::run(async {
        let topics = Topics::new();
        let (sender, _senders) = unbounded_channel();
        let builder = Server::builder().topics(topics.clone());
        let server = ServerRunner::serve_handler_on_shards::<Commands>(builder, 3, sender).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = server.open().await;
            join(&mut client, "room").await;
            clients.push(client);
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(RawFrame::text(format!("burst room {number} 300"))).await;
        }
        for (own, client) in clients.iter_mut().enumerate() {
            let mut next = HashMap::<usize, usize>::new();
            for _ in 0..(CLIENTS - 1) * 200 + 300 {
                let text = recv_text(client).await;
                let (publisher, number) = text.split_once(' ').unwrap();
                let publisher = publisher.parse().unwrap();
                let expected = next.entry(publisher).or_default();
                if publisher != own && *expected % 3 == 1 {
                    *expected += 1;
                }
                assert_eq!(number.parse(), Ok(*expected), "of {publisher} at {own}");
                *expected += 1;
            }
        }
        for client in clients {
            close_normally(client).await;
        }
        server.stop().await;
        assert_eq!(topics.topic_count(), 0);
    });
}

#[test]
fn a_member_that_has_left_a_topic_gets_nothing_more_of_it() {
    topics_test(Server::builder, async |server| {
        let (mut client, _) = server.join("room").await;
        join(&mut client, "hall").await;
        client.send(RawFrame::text("leave room")).await;
        client.expect_text("left").await;
        server.topics.publish("room", "not for it").unwrap();
        server.topics.publish("hall", "for it").unwrap();
        client.expect_text("for it").await;
        close_normally(client).await;
    });
}

#[test]
fn a_connection_joins_from_another_task_and_belongs_to_one_set_of_topics() {
    topics_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let member = server.topics.join(&sender).unwrap();
        assert_eq!(server.topics.join(&sender).unwrap().id(), member.id());
        assert_eq!(Topics::new().join(&sender).unwrap_err(), JoinError::OtherTopics);
        member.subscribe("room").unwrap();
        for number in 0..10 {
            server.topics.publish("room", format!("published {number}")).unwrap();
            sender.try_send(format!("sent {number}")).unwrap();
        }
        for number in 0..10 {
            client.expect_text(&format!("published {number}")).await;
            client.expect_text(&format!("sent {number}")).await;
        }
        client.send(RawFrame::text("leave room")).await;
        client.expect_text("left").await;
        close_normally(client).await;
    });
}

#[test]
fn a_handler_whose_connection_belongs_to_other_topics_is_told_so() {
    harness::run(async {
        let other = Topics::new();
        let joined = other.clone();
        let script = e2e_tests::server::Script::new().on_message(move |conn, message| {
            let sender = conn.sender();
            let member = joined.join(&sender).unwrap();
            member.subscribe("room").unwrap();
            assert_eq!(conn.subscribe("room").unwrap_err(), SubscribeError::OtherTopics);
            assert!(!conn.unsubscribe("room"));
            joined.publish("room", message.into_message()).unwrap();
            conn.send_text("sent").unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("published")).await;
        client.expect_text("published").await;
        client.expect_text("sent").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn servers_and_connections_without_a_server_share_topics() {
    harness::run(async {
        let topics = Topics::new();
        let mut one = TopicServer::start(Api::Handler, Server::builder(), topics.clone()).await;
        let mut two = TopicServer::start(Api::Async, Server::builder(), topics.clone()).await;
        let (mut first, _) = one.join("room").await;
        let (mut second, _) = two.join("room").await;
        let (near, far) = tokio::io::duplex(1000);
        let mut inline = WebSocket::server(near, ws_server::protocol::ValidConfig::default());
        topics.join(&inline.sender()).unwrap().subscribe("room").unwrap();
        let (mut reader, inline) = (far, tokio::spawn(async move { while inline.recv().await.is_some() {} }));
        first.send(RawFrame::text("others room from-one")).await;
        second.expect_text("from-one").await;
        let mut frame = [0; 10];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut frame).await.unwrap();
        assert_eq!(frame, *b"\x81\x08from-one");
        assert_eq!(topics.publish("room", "all").unwrap().members, 3);
        first.expect_text("all").await;
        second.expect_text("all").await;
        drop(reader);
        inline.await.unwrap();
        one.runner.stop_within(std::time::Duration::ZERO).await;
        assert_eq!(topics.publish("room", "last").unwrap().members, 1);
        second.expect_text("last").await;
        close_normally(second).await;
        two.runner.stop().await;
        assert_eq!(topics.topic_count(), 0);
    });
}
