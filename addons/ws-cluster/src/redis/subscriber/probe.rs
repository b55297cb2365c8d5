//! The probe of a connection: it publishes to a channel of its own and expects to hear that.
//!
//! A connection can be healthy as far as TCP knows and hear nothing: after a failover the old master may live on
//! without publishers.

use std::time::{Duration, Instant};

use crate::redis::{names::Names, random};

/// How soon a channel is looked for again.
const RETRY: Duration = Duration::from_millis(100);

/// The state of the probes of one connection.
#[derive(Debug)]
pub(super) struct Probe {
    interval: Duration,
    timeout: Duration,
    link: u64,
    tag: String,
    channel: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No channel is subscribed, since the first moment. The next attempt is at the second.
    Homeless(Instant, Instant),
    Subscribing,
    /// The next probe is due then.
    Idle(Instant),
    /// This was published, and has to be heard until then.
    Expecting(String, Instant),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait(Option<Instant>),
    /// Subscribe the channel.
    Subscribe(String),
    Publish {
        tag: String,
        channel: String,
        nonce: String,
    },
    /// The probe did not come back.
    Deaf,
    /// This server has no slots any more.
    NoHome,
}

impl Probe {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            link: random::number(),
            tag: String::new(),
            channel: String::new(),
            state: State::Homeless(now, now),
        }
    }

    /// What is due. `find_tag` finds a hash tag whose slot is on this server.
    pub(super) fn step(
        &mut self,
        now: Instant,
        names: &Names,
        find_tag: impl FnOnce() -> Option<String>,
    ) -> Step {
        match &mut self.state {
            State::Homeless(since, next) if *next <= now => {
                if let Some(tag) = find_tag() {
                    self.channel = names.probe_channel(&tag, self.link);
                    self.tag = tag;
                    self.state = State::Subscribing;
                    return Step::Subscribe(self.channel.clone());
                }
                if now >= *since + self.timeout {
                    return Step::NoHome;
                }
                *next = now + RETRY;
                Step::Wait(Some(*next))
            }
            State::Homeless(_, next) => Step::Wait(Some(*next)),
            State::Subscribing => Step::Wait(None),
            State::Idle(due) if *due <= now => {
                let nonce = format!("{:016x}", random::number());
                self.state = State::Expecting(nonce.clone(), now + self.timeout);
                Step::Publish { tag: self.tag.clone(), channel: self.channel.clone(), nonce }
            }
            State::Idle(due) => Step::Wait(Some(*due)),
            State::Expecting(_, until) if *until <= now => Step::Deaf,
            State::Expecting(_, until) => Step::Wait(Some(*until)),
        }
    }

    pub(super) fn is_on(&self, channel: &[u8]) -> bool {
        self.channel.as_bytes() == channel
    }

    /// The channel is subscribed: the first probe is due.
    pub(super) fn subscribed(&mut self, now: Instant) {
        self.state = State::Idle(now);
    }

    /// The channel is not subscribed any more, or could not be.
    pub(super) fn lost(&mut self, now: Instant) {
        self.channel.clear();
        self.state = match self.state {
            State::Homeless(since, next) => State::Homeless(since, next),
            _ => State::Homeless(now, now + RETRY),
        };
    }

    /// Something came on the channel. Returns whether it is what was expected.
    pub(super) fn heard(&mut self, payload: &[u8], now: Instant) -> bool {
        let is_expected = matches!(&self.state, State::Expecting(nonce, _) if nonce.as_bytes() == payload);
        if is_expected {
            self.state = State::Idle(now + self.interval);
        }
        is_expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_probe_that_does_not_come_back_is_deafness() {
        let (names, now) = (Names::new("ws"), Instant::now());
        let mut probe = Probe::new(10 * SECOND, 3 * SECOND, now);
        let step = |probe: &mut Probe, now| probe.step(now, &names, || Some("1".into()));
        let Step::Subscribe(channel) = step(&mut probe, now) else { panic!("{probe:?}") };
        assert!(probe.is_on(channel.as_bytes()));
        assert_eq!(step(&mut probe, now), Step::Wait(None));
        probe.subscribed(now);
        let Step::Publish { nonce, .. } = step(&mut probe, now) else { panic!("{probe:?}") };
        assert!(!probe.heard(b"another", now));
        assert!(probe.heard(nonce.as_bytes(), now + SECOND));
        assert_eq!(step(&mut probe, now + SECOND), Step::Wait(Some(now + 11 * SECOND)));
        assert!(matches!(step(&mut probe, now + 11 * SECOND), Step::Publish { .. }));
        assert_eq!(step(&mut probe, now + 14 * SECOND), Step::Deaf);
    }

    #[test]
    fn a_server_without_slots_is_left() {
        let (names, now) = (Names::new("ws"), Instant::now());
        let mut probe = Probe::new(10 * SECOND, SECOND, now);
        assert_eq!(probe.step(now, &names, || None), Step::Wait(Some(now + RETRY)));
        assert_eq!(probe.step(now + SECOND, &names, || None), Step::NoHome);
    }
}
