//! This library's state machine as a reader for the comparison.

use ws_proto::{
    Config, ConnectionState, ValidConfig, close::Initiator, error::ConnectionError, handshake::Extensions,
};

use super::{Class, Reader, Told, scenario::Scenario};
use crate::machine::{Machine, Seen};

pub(super) struct Ours {
    machine: Machine,
    reported: usize,
    over: bool,
}

impl Ours {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut config = Config::default();
        config.limits.max_message_size = scenario.limit;
        // Limits that the others do not have.
        config.limits.max_fragments = u32::MAX;
        config.limits.max_control_frames_per_read = u32::MAX;
        let config: ValidConfig = config.validate().expect("valid");
        let machine = Machine::new(scenario.role, &config, Extensions::default());
        Self { machine, reported: 0, over: false }
    }

    /// The peer's violation, if there was one.
    pub(super) fn violation(&self) -> Option<ConnectionError> {
        self.machine.connection.close_info()?.error.filter(|error| error.is_peer_fault())
    }

    fn report(&mut self, told: &mut Vec<Told>) {
        for seen in &self.machine.seen[self.reported..] {
            told.push(match seen.clone() {
                Seen::Message(kind, payload) => Told::Message(kind, payload),
                Seen::Ping(payload) => Told::Ping(payload),
                Seen::Pong(payload) => Told::Pong(payload),
                Seen::Closed(_) => continue,
            });
        }
        self.reported = self.machine.seen.len();
        if self.machine.connection.state() != ConnectionState::Open && !self.over {
            self.over = true;
            told.push(self.how_it_ended());
        }
    }

    fn how_it_ended(&self) -> Told {
        let info = self.machine.connection.close_info().expect("it ends");
        if let Some(error) = self.violation() {
            return Told::Violation(match error.close_code().map(ws_proto::CloseCode::get) {
                Some(1002) => Class::Protocol,
                Some(1007) => Class::Payload,
                Some(1009) => Class::TooBig,
                code => panic!("{error} is answered with {code:?}"),
            });
        }
        match &info.received {
            Some(close) => {
                assert_eq!(info.initiator, Initiator::Remote);
                Told::Close(close.code.map(|code| (code.get(), close.reason.to_string())))
            }
            None => Told::Cut,
        }
    }
}

impl Reader for Ours {
    fn feed(&mut self, piece: &[u8], told: &mut Vec<Told>) {
        let mut rest = piece;
        while !rest.is_empty() && !self.over {
            let taken = self.machine.receive(rest);
            rest = &rest[taken..];
            self.report(told);
            assert!(taken > 0 || self.over, "an open connection reads");
        }
    }

    fn end(&mut self, told: &mut Vec<Told>) {
        self.machine.end_of_stream();
        self.report(told);
    }
}
