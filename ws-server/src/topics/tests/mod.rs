//! Topics, with connections that have no transport.

mod append;
mod broker;
mod concurrent;
mod events;
mod floods;
mod foreign;
mod history;
mod join;
mod lifetime;
mod limits;
mod members;
mod room;

use std::{sync::Arc, task::Waker, time::Instant};

use bytes::{Buf as _, Bytes};
use ws_proto::{Config, Connection, Message, TransmitQueue};
use ws_tokio::internal::{Attach, Feed, Filled, Home};

use super::{History, Member, MemberOptions, Position, SubscribeOptions, Subscribed, TopicOptions, Topics};

const TOPIC: &str = "room:1";

/// A connection that is a member, and the bytes on their way to its peer.
struct Peer {
    member: Member,
    feed: Arc<dyn Feed>,
    connection: Connection,
    tx: TransmitQueue,
}

impl Peer {
    fn new(topics: &Topics) -> Self {
        Self::with(topics, MemberOptions::new(), None)
    }

    /// A member that has subscribed to [`TOPIC`].
    fn in_topic(topics: &Topics) -> Self {
        let peer = Self::new(topics);
        assert!(peer.member.subscribe(TOPIC).unwrap().is_new);
        peer
    }

    fn with(topics: &Topics, options: MemberOptions, home: Option<Home>) -> Self {
        let config = Config::default().validate().unwrap();
        let connection = Connection::server(config.clone(), Instant::now());
        let mut feed = None;
        let member = topics.join_feed(options, |make| {
            feed = Some(make(Attach { home, waker: Waker::noop().clone(), config }));
            feed.clone()
        });
        Self { member: member.unwrap(), feed: feed.unwrap(), connection, tx: TransmitQueue::new() }
    }

    /// Takes all that waits.
    fn take(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let now = tokio::time::Instant::now().into_std();
            let filled = self.feed.fill(usize::MAX, None, &mut self.connection, &mut self.tx, now);
            messages.extend(messages_in(self.tx.copy_to_bytes(self.tx.remaining())));
            if filled == Filled::Empty {
                return messages;
            }
        }
    }

    /// As [`take`](Self::take), of text messages.
    fn texts(&mut self) -> Vec<String> {
        self.take().iter().map(|message| message.as_text().unwrap().to_owned()).collect()
    }

    fn recover(&self, from: Position) -> Subscribed {
        self.member.subscribe_with(TOPIC, SubscribeOptions::new().from(from)).unwrap()
    }

    /// The connection is over.
    fn end(&self) {
        self.feed.ended();
    }
}

/// The messages of a server's frames.
fn messages_in(mut bytes: Bytes) -> Vec<Message> {
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        let opcode = bytes.get_u8() & 0xf;
        let len = match bytes.get_u8() {
            126 => usize::from(bytes.get_u16()),
            127 => usize::try_from(bytes.get_u64()).unwrap(),
            len => usize::from(len),
        };
        let payload = bytes.split_to(len);
        messages.push(match opcode {
            1 => Message::text(String::from_utf8(payload.to_vec()).unwrap()),
            2 => Message::binary(payload),
            opcode => panic!("opcode {opcode}"),
        });
    }
    messages
}

fn with_history(history: History) -> Topics {
    Topics::builder().options(TopicOptions::new().history(history)).build().unwrap()
}

/// Publishes texts to [`TOPIC`].
fn publish(topics: &Topics, texts: impl IntoIterator<Item = impl ToString>) {
    for text in texts {
        topics.publish(TOPIC, text.to_string()).unwrap();
    }
}
