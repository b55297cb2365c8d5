//! Subscriptions of groups, and events made of what they receive.

use std::{collections::HashMap, sync::Arc};

use async_nats::{HeaderMap, Message, Subscriber};

use super::{
    interest::Order,
    link::{Link, LinkError, Task, next, refused},
    shared::{Shared, Subscriptions},
    subject::{Kind, last_token},
};
use crate::{BackplaneEvent, EventQueue, Position};

/// Subscribes to the groups that have watched topics, and to no others. The server may not have it yet.
pub(super) async fn subscribe(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<(), LinkError> {
    let mut subscriptions = shared.subscriptions.lock().await;
    if link.number < subscriptions.link || link.signals.is_over() {
        return Err(LinkError::Lost);
    }
    if link.number > subscriptions.link {
        *subscriptions = Subscriptions { link: link.number, groups: HashMap::new() };
    }
    let Some(events) = shared.events() else { return Err(LinkError::Lost) };
    let wanted = shared.watched.wanted();
    subscriptions.groups.retain(|group, _| wanted.contains(group));
    for (group, is_logged) in wanted {
        if subscriptions.groups.contains_key(&(group, is_logged)) {
            continue;
        }
        let kind = if is_logged { Kind::Out } else { Kind::Live };
        let subject = shared.subjects.group(kind, group);
        let subscriber = link.client.subscribe(subject).await.map_err(refused)?;
        let receiver = Receiver {
            shared: Arc::clone(shared),
            link: Arc::clone(link),
            events: events.clone(),
            group,
            is_logged,
        };
        let task = Task(tokio::spawn(receiver.run(subscriber)));
        subscriptions.groups.insert((group, is_logged), task);
    }
    Ok(())
}

struct Receiver {
    shared: Arc<Shared>,
    link: Arc<Link>,
    events: EventQueue,
    group: u16,
    is_logged: bool,
}

impl Receiver {
    /// Never waits for anything but the next message, so the client's buffer stays empty.
    async fn run(self, mut subscriber: Subscriber) {
        let link = Arc::clone(&self.link);
        let over = link.signals.over();
        tokio::pin!(over);
        loop {
            let message = tokio::select! {
                biased;
                () = &mut over => return,
                message = next(&mut subscriber) => message,
            };
            match message {
                None => return,
                Some(message) if self.is_logged => self.logged(message),
                Some(message) => self.live(message),
            }
        }
    }

    fn live(&self, message: Message) {
        if let Some(topic) = self.shared.watched.live(self.group, last_token(&message.subject)) {
            self.events.push(BackplaneEvent::Live { topic, envelope: message.payload });
        }
    }

    fn logged(&self, message: Message) {
        // If the stream is not known on this connection, all topics are about to be read in any case.
        let Some(known) = self.shared.log.known(self.link.number) else { return };
        let Some(headers) = &message.headers else { return };
        let Some(offset) = number(headers, "Nats-Sequence") else { return };
        let previous = number(headers, "Nats-Last-Sequence");
        let token = last_token(&message.subject);
        let heard = self.shared.watched.logged(self.group, token, offset, previous, known.max_age);
        let Some(heard) = heard else { return };
        match heard.order {
            Order::Next => {}
            Order::Doubtful => self.shared.doubt.notify_one(),
            Order::Repeated => {
                tracing::warn!("the NATS stream repeats a sequence; it may have been created again");
                self.shared.resync.notify_one();
                return;
            }
        }
        // 0 says that no entry before it is kept, not that there was none.
        let previous = previous.filter(|previous| *previous > 0);
        let position = Position { epoch: known.epoch, offset };
        self.events.push(BackplaneEvent::Logged {
            topic: heard.topic,
            position,
            previous,
            envelope: message.payload,
        });
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}
