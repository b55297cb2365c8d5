//! A client under load. It numbers its requests, and checks that each is answered once and in order, and that what it
//! gets of the topic is complete and in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use ws_client::{
    CloseCode, Connector, Reconnecting,
    reconnecting::{Accepted, Cause, Down, Event, SendError, Sender},
};
use ws_server::topics::Position;

/// What the clients shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Connect,
    Load,
    /// Make no further requests.
    Rest,
}

/// What a client does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) number: usize,
    /// The time between two requests.
    pub(crate) every: Duration,
    /// Its requests are publications. A publication that is in doubt is not repeated.
    pub(crate) publishes: bool,
    /// Whether it gets the topic. It then rests once it has got the publication `end`.
    pub(crate) subscribes: bool,
}

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When it was connected again.
    pub(crate) reconnected: Vec<Instant>,
    /// The process of the last answer.
    pub(crate) process: String,
    pub(crate) answers: usize,
    /// Requests that were accepted and not answered when their connection ended.
    pub(crate) in_doubt: Vec<String>,
    /// Publications that were answered.
    pub(crate) published: Vec<String>,
    /// What it got of the topic.
    pub(crate) news: Vec<String>,
}

pub(crate) struct Client {
    plan: Plan,
    sender: Sender,
    /// The last position that it has.
    at: Arc<Mutex<Option<Position>>>,
    /// Requests without an answer, oldest first.
    waiting: VecDeque<String>,
    requests: usize,
    seen: Seen,
}

impl Client {
    /// Runs a client until it rests, all its requests are answered, and it has got `end`. `ready` gets an element once
    /// it is connected and subscribed, and another once it rests and is answered.
    pub(crate) async fn run(
        plan: Plan,
        mut phase: watch::Receiver<Phase>,
        ready: tokio::sync::mpsc::UnboundedSender<()>,
    ) -> Seen {
        let at = Arc::<Mutex<Option<Position>>>::default();
        let (url, last) = (plan.url.clone(), Arc::clone(&at));
        let mut reconnecting = Reconnecting::builder(Connector::new(), move |_| {
            let query = last.lock().unwrap().map(|at| format!("?at={at}")).unwrap_or_default();
            let url = format!("{url}{query}");
            async move { Ok(url) }
        })
        .build();
        let mut ticks = interval(plan.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sender = reconnecting.sender();
        let mut client =
            Self { plan, sender, at, waiting: VecDeque::new(), requests: 0, seen: Seen::default() };
        let (mut is_ready, mut rests) = (false, false);
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Rest && client.waiting.is_empty() && !std::mem::replace(&mut rests, true) {
                let _ = ready.send(());
            }
            if now == Phase::Rest && client.is_done() {
                break;
            }
            tokio::select! {
                event = reconnecting.next_event() => {
                    let subscribed = client.follow(event.expect("it goes on"));
                    if subscribed && !std::mem::replace(&mut is_ready, true) {
                        let _ = ready.send(());
                    }
                }
                _ = ticks.tick(), if now == Phase::Load => client.request(),
                changed = phase.changed() => changed.unwrap(),
            }
        }
        reconnecting.close(CloseCode::NORMAL, "");
        while reconnecting.next_event().await.is_some() {}
        client.seen
    }

    fn is_done(&self) -> bool {
        let has_end = self.seen.news.last().is_some_and(|last| last == "end");
        self.waiting.is_empty() && (has_end || !self.plan.subscribes)
    }

    fn request(&mut self) {
        self.requests += 1;
        let number = self.requests;
        let text = match self.plan.publishes {
            true => format!("publish {}:{number}", self.plan.number),
            false => format!("ask {number}"),
        };
        match self.sender.try_send(text.clone()) {
            Ok(Accepted::Queued { .. }) => self.waiting.push_back(text),
            Ok(other) => panic!("{other:?}"),
            // A question that was not sent goes out on the next connection, and a publication never happened.
            Err(SendError::Away(_)) if self.plan.publishes => {}
            Err(SendError::Away(_)) => self.waiting.push_back(text),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Returns whether it is connected, and subscribed.
    fn follow(&mut self, event: Event) -> bool {
        match event {
            Event::Up(up) => {
                if up.connection > 1 {
                    self.seen.reconnected.push(Instant::now());
                }
                // Questions may be asked twice.
                for text in &self.waiting {
                    self.sender.try_send(text.clone()).expect("room");
                }
                !self.plan.subscribes
            }
            Event::Message(message) => self.take(message.as_text().expect("text")),
            Event::Down(down) => {
                self.lose(&down);
                false
            }
            other => panic!("client {}: {other:?}", self.plan.number),
        }
    }

    fn take(&mut self, text: &str) -> bool {
        if let Some(answer) = text.strip_prefix("done ") {
            let (process, request) = answer.split_once(' ').unwrap();
            let expected = self.waiting.pop_front();
            assert_eq!(Some(request), expected.as_deref(), "each request is answered once, in order");
            process.clone_into(&mut self.seen.process);
            self.seen.answers += 1;
            self.seen.published.extend(request.strip_prefix("publish ").map(str::to_owned));
            return false;
        }
        if let Some(position) = text.strip_prefix("subscribed") {
            let mut at = self.at.lock().unwrap();
            *at = at.or_else(|| position.trim().parse().ok());
            return true;
        }
        let (position, news) = text.split_once(' ').unwrap();
        let position: Position = position.parse().unwrap_or_else(|_| panic!("not complete: {text}"));
        let mut at = self.at.lock().unwrap();
        if let Some(last) = *at {
            let expected = Position { offset: last.offset + 1, ..last };
            assert_eq!(
                position, expected,
                "client {}: nothing is lost, repeated or reordered",
                self.plan.number
            );
        }
        *at = Some(position);
        self.seen.news.push(news.to_owned());
        false
    }

    fn lose(&mut self, down: &Down) {
        match &down.cause {
            Cause::Closed(info) => assert!(info.is_clean() && info.code() == 1012, "{info}"),
            other => panic!("client {}: {other:?}", self.plan.number),
        }
        assert!(down.retry_in.is_some());
        // What the transport has not taken is the end of what is not answered.
        let unsent: Vec<_> = down.in_doubt.iter().map(|message| message.as_text().unwrap()).collect();
        let waiting: Vec<_> = self.waiting.iter().map(String::as_str).collect();
        assert!(waiting.ends_with(&unsent) || down.in_doubt.is_empty(), "{waiting:?}, {unsent:?}");
        self.seen.in_doubt.extend(self.waiting.iter().cloned());
        if self.plan.publishes {
            self.waiting.clear();
        }
    }
}
