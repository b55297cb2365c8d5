//! What happened in a simulation, and the laws.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;
use ws_client::{
    Message,
    reconnecting::{Accepted, Attempt, Cause, Event, GiveUp, Outcome, WhileAway},
};

use super::{is_final, settings::Settings};
use crate::support::Dice;

/// tokio's timers have a resolution of one millisecond, and round up.
const TIMER: Duration = Duration::from_millis(2);

pub(super) struct Ledger {
    settings: Settings,
    is_checked: bool,
    attempts: u64,
    failures: u32,
    /// Attempts since the last connection.
    attempts_since: u64,
    connections: u64,
    is_up: bool,
    /// When the next attempt is due. `None`: there must be none.
    due: Option<Instant>,
    /// Whether the application has polled without a pause since `due` was set.
    punctual: bool,
    last_message: u64,
    /// Accepted messages, and their connections.
    accepted: BTreeMap<u64, Accepted>,
    /// Received messages, and their connections, in order.
    received: Vec<(u64, u64)>,
    /// Connections whose hook has sent.
    hooks: BTreeSet<u64>,
    /// Connections whose server has received something.
    served: BTreeSet<u64>,
    in_doubt: BTreeSet<u64>,
    unsent: BTreeSet<u64>,
    discarded: u64,
    is_over: bool,
}

impl Ledger {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            is_checked: true,
            attempts: 0,
            failures: 0,
            attempts_since: 0,
            connections: 0,
            is_up: false,
            due: Some(Instant::now()),
            punctual: true,
            last_message: 0,
            accepted: BTreeMap::new(),
            received: Vec::new(),
            hooks: BTreeSet::new(),
            served: BTreeSet::new(),
            in_doubt: BTreeSet::new(),
            unsent: BTreeSet::new(),
            discarded: 0,
            is_over: false,
        }
    }

    /// Does not check the times of attempts, for a client whose events are not reported here.
    pub(super) fn unchecked(settings: Settings) -> Self {
        Self { is_checked: false, ..Self::new(settings) }
    }

    pub(super) const fn connections(&self) -> u64 {
        self.connections
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.len() as u64
    }

    pub(super) const fn set_punctual(&mut self, punctual: bool) {
        self.punctual = punctual;
    }

    /// A new message. Its first bytes are its number.
    pub(super) fn new_message(&mut self, dice: &mut Dice) -> (u64, Message) {
        self.last_message += 1;
        let mut payload = self.last_message.to_le_bytes().to_vec();
        payload.resize(8 + dice.below(600) as usize, 0);
        (self.last_message, Message::binary(payload))
    }

    /// An attempt begins, at the time that was announced. Returns the number of its connection.
    pub(super) fn on_attempt(&mut self, attempt: Attempt) -> u64 {
        if !self.is_checked {
            return attempt.number;
        }
        assert!(!self.is_up, "an attempt while there is a connection");
        let due = self.due.take().expect("an attempt that was not announced");
        let now = Instant::now();
        assert!(now >= due, "an attempt before its time");
        assert!(!self.punctual || now <= due + TIMER, "a late attempt: {:?}", now - due);
        self.attempts += 1;
        self.attempts_since += 1;
        assert_eq!((attempt.number, attempt.failures), (self.attempts, self.failures));
        self.connections + 1
    }

    pub(super) fn expect_hook(&mut self, connection: u64) {
        self.hooks.insert(connection);
    }

    pub(super) fn on_received(&mut self, connection: u64, message: &Message) {
        let is_first = self.served.insert(connection);
        if message.is_text() {
            assert!(is_first, "a message overtook the hook");
            return;
        }
        assert!(!is_first || !self.hooks.contains(&connection), "a message overtook the hook");
        self.received.push((number(message), connection));
    }

    pub(super) fn on_accepted(&mut self, id: u64, accepted: Accepted) {
        if accepted == Accepted::Kept {
            assert!(matches!(self.settings.while_away, WhileAway::Keep { .. }));
        }
        assert_eq!(self.accepted.insert(id, accepted), None);
    }

    pub(super) fn on_event(&mut self, event: Event) {
        assert!(!self.is_over, "an event after the last one");
        match event {
            Event::Up(up) => {
                assert!(!self.is_up, "up twice");
                self.connections += 1;
                assert_eq!((up.connection, up.attempts), (self.connections, self.attempts_since));
                (self.is_up, self.attempts_since) = (true, 0);
            }
            Event::Message(message) => {
                assert!(self.is_up, "a message without a connection");
                let start = format!("tick {} ", self.connections);
                assert!(message.as_text().unwrap().starts_with(&start), "a message of another connection");
            }
            Event::AttemptFailed(failed) => {
                assert!(!self.is_up, "an attempt beside a connection");
                assert_eq!(failed.attempt, self.attempts);
                self.failures += 1;
                self.after_failure(&failed.cause, failed.retry_in);
            }
            Event::Down(down) => {
                assert!(std::mem::take(&mut self.is_up), "down without up");
                assert_eq!(down.connection, self.connections);
                assert!(down.in_doubt.len() as u64 <= down.accepted);
                if let Some(max) = self.settings.max_lifetime {
                    // The write timeout, the close timeout and the keepalive.
                    let closing = Duration::from_secs(60 + 5 + 10);
                    assert!(!self.punctual || down.served <= max + closing + TIMER, "{:?}", down.served);
                }
                let expired = matches!(down.cause, Cause::Expired(_));
                let healthy = down.served >= self.settings.healthy_after || expired;
                self.failures = if healthy { 0 } else { self.failures + 1 };
                let in_doubt = down.in_doubt.iter().map(number);
                in_doubt.for_each(|id| assert!(self.in_doubt.insert(id), "in doubt twice"));
                self.after_failure(&down.cause, down.retry_in);
            }
            Event::Discarded(discarded) => self.discarded += discarded.messages,
            Event::Unsent(messages) => {
                assert!(!self.is_up && self.unsent.is_empty());
                messages.iter().for_each(|message| assert!(self.unsent.insert(number(message))));
            }
            other => panic!("{other:?}"),
        }
    }

    /// The delay is within its limit, and final causes are final.
    fn after_failure(&mut self, cause: &Cause, retry_in: Option<Duration>) {
        if let Some(delay) = retry_in {
            assert!(!is_final(cause), "another attempt after {cause}");
            assert!(delay < self.settings.backoff.limit(self.failures), "{delay:?}, {}", self.failures);
            if let GiveUp::Attempts(max) = self.settings.give_up {
                assert!(self.failures < max);
            }
        }
        // The event is reported at once unless the application was busy.
        self.due = retry_in.map(|delay| Instant::now() + delay);
        self.punctual = true;
    }

    pub(super) fn check_at_the_end(&self, outcome: Option<Outcome>) {
        let outcome = outcome.expect("the client is over");
        assert!(!self.is_up, "up without down");
        if self.settings.give_up == GiveUp::Never {
            assert_ne!(outcome, Outcome::GaveUp);
        }
        let received: BTreeSet<u64> = self.received.iter().map(|(id, _)| *id).collect();
        assert_eq!(received.len(), self.received.len(), "a message was sent twice");
        let known =
            |id: &u64| received.contains(id) || self.in_doubt.contains(id) || self.unsent.contains(id);
        let lost = self.accepted.keys().filter(|id| !known(id)).count() as u64;
        assert_eq!(lost, self.discarded, "a message was lost without a report");
        for (id, connection) in &self.received {
            match self.accepted.get(id) {
                Some(Accepted::Queued { connection: accepted }) => assert_eq!(connection, accepted),
                Some(_) => {}
                None => panic!("a message that was not accepted was sent"),
            }
        }
        assert!(self.unsent.iter().all(|id| !received.contains(id)), "an unsent message was sent");
    }
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.as_bytes()[..8].try_into().unwrap())
}
