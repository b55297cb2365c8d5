//! A member whose peer reads slowly, beside one whose peer does not.

use super::topics::{TopicServer, topics_test};
use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, opcode};
use e2e_tests::server::{Event, Script, close_normally};
use ws_server::{
    Server, ServerBuilder,
    topics::{Member, PublishOptions, SlowPolicy, SubscribeOptions, Topics},
};

const LEN: usize = 16 * 1024;

/// Without deadlines that a peer which does not read would miss.
fn builder() -> ServerBuilder {
    e2e_tests::server::patient(Server::builder()).write_timeout(None).keepalive(None)
}

/// Numbered messages of [`LEN`] bytes.
fn numbered(number: usize) -> String {
    format!("{number:0LEN$}")
}

/// A member with this policy whose peer does not read.
async fn slow(server: &mut TopicServer, policy: SlowPolicy) -> (RawClient, Member) {
    let (client, sender) = server.open_slow().await;
    let member = server.topics.join(&sender).unwrap();
    member.subscribe_with("room", SubscribeOptions::new().slow(policy)).unwrap();
    (client, member)
}

/// Publishes until `done`, as fast as another member takes everything. Returns the count.
async fn publish_until(server: &mut TopicServer, done: impl Fn() -> bool) -> usize {
    let (mut fast, _) = server.join("room").await;
    let mut count = 0;
    while !done() {
        let options = PublishOptions::new().key(Bytes::from(format!("{}", count % 3)));
        server.topics.publish_with("room", numbered(count), options).unwrap();
        fast.expect_text(&numbered(count)).await;
        count += 1;
        assert!(count < 10_000, "the slow member is never too slow");
    }
    close_normally(fast).await;
    count
}

fn number(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

#[test]
fn a_member_that_is_too_slow_is_closed_with_1013() {
    topics_test(builder, async |server| {
        let (mut client, member) = slow(server, SlowPolicy::disconnect().max_messages(10)).await;
        publish_until(server, || member.missed() > 0).await;
        let mut next = 0;
        loop {
            let frame = client.recv_frame().await;
            if frame.opcode == opcode::CLOSE {
                assert_eq!(frame.close_code().map(|(code, _)| code), Some(1013));
                break;
            }
            assert_eq!(number(&frame.payload), next, "what was accepted arrives");
            next += 1;
        }
        client.send(RawFrame::close(1013, "")).await;
        client.expect_eof().await;
    });
}

/// What a slow member gets under this policy, once it reads, and how many messages were published.
async fn received(server: &mut TopicServer, policy: SlowPolicy) -> (Vec<usize>, usize) {
    let (mut client, member) = slow(server, policy.max_messages(10)).await;
    let count = publish_until(server, || member.missed() >= 20).await;
    let mut numbers = Vec::new();
    while numbers.len() < count - member.missed() as usize {
        numbers.push(number(&client.recv_frame().await.payload));
    }
    close_normally(client).await;
    (numbers, count)
}

#[test]
fn the_oldest_publications_are_dropped() {
    topics_test(builder, async |server| {
        let (numbers, count) = received(server, SlowPolicy::drop_oldest()).await;
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers[numbers.len() - 9..], (count - 9..count).collect::<Vec<_>>());
    });
}

#[test]
fn the_newest_publications_are_dropped() {
    topics_test(builder, async |server| {
        let (numbers, count) = received(server, SlowPolicy::drop_newest()).await;
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
        assert!(numbers.len() <= count - 20);
    });
}

#[test]
fn the_latest_value_of_each_key_is_kept() {
    topics_test(builder, async |server| {
        let (numbers, count) = received(server, SlowPolicy::latest_per_key()).await;
        let mut last = numbers[numbers.len() - 3..].to_vec();
        last.sort_unstable();
        assert_eq!(last, (count - 3..count).collect::<Vec<_>>(), "{numbers:?}");
    });
}

#[test]
fn a_direct_message_and_a_ping_are_not_dropped_by_a_policy() {
    topics_test(builder, async |server| {
        let (mut client, sender) = server.open_slow().await;
        let member = server.topics.join(&sender).unwrap();
        let policy = SlowPolicy::drop_oldest().max_messages(10);
        member.subscribe_with("room", SubscribeOptions::new().slow(policy)).unwrap();
        publish_until(server, || member.missed() >= 20).await;
        let sending = tokio::spawn(async move {
            sender.ping(b"alive?").unwrap();
            sender.send("direct").await.unwrap();
        });
        let (mut pings, mut last) = (0, None);
        loop {
            let frame = client.recv_frame().await;
            match frame.opcode {
                opcode::PING => pings += 1,
                _ if *frame.payload == *b"direct" => break,
                _ => {
                    let number = number(&frame.payload);
                    assert!(last.is_none_or(|last| last < number));
                    last = Some(number);
                }
            }
        }
        sending.await.unwrap();
        assert_eq!(pings, 1);
        close_normally(client).await;
    });
}

#[test]
fn a_handler_that_was_refused_is_told_of_room_although_publications_never_end() {
    harness::run(async {
        let topics = Topics::new();
        let script = Script::new()
            .on_message(|conn, _| {
                let policy = SlowPolicy::drop_oldest().max_messages(10);
                let member = conn.member().unwrap();
                member.subscribe_with("room", SubscribeOptions::new().slow(policy)).unwrap();
                while conn.send_text(numbered(0)).is_ok() {}
            })
            .on_writable(|conn| conn.send_text("sent").unwrap());
        let mut server = script.start(builder().topics(topics.clone())).await;
        let mut client = server.open_slow().await;
        client.send(RawFrame::text("begin")).await;
        server.expect(Event::Opened).await;
        while topics.member_count("room") == 0 {
            tokio::task::yield_now().await;
        }
        let publisher = tokio::spawn(async move {
            loop {
                topics.publish("room", numbered(1)).unwrap();
                tokio::task::yield_now().await;
            }
        });
        while *client.recv_frame().await.payload != *b"sent" {}
        publisher.abort();
        let _ = publisher.await;
        client.into_connection().reset();
        server.stop().await;
    });
}
