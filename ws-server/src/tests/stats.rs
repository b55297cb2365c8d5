//! Each figure of the statistics has a test that makes it move by exactly what happened.

use std::{path::Path, sync::Arc};

use ws_tokio::internal::ServerHalf;

use super::{Echo, Script, Task, connection, echo, masked, registration_on, run_until_idle, server};
use crate::{
    connection::{function_task::FunctionTask, handler_task::HandlerTask},
    measure::{CloseCount, Closes, HandshakeFailures, Handshakes, Panics, Pressure, ServerStats, Traffic},
    shard::{StatsHandle, server_state::ServerState},
};

/// An echo with each API, whose traffic is counted.
fn counted(script: &Script, server: &Arc<ServerState>, with_handler: bool) -> Task {
    let registration = registration_on(server);
    if with_handler {
        return Box::pin(HandlerTask::new(Echo, script.transport_action(), connection(), &[], registration));
    }
    let (half, ws) = ServerHalf::new(script.transport_action(), connection(), &[]);
    half.count_in(Arc::clone(&server.counters.traffic));
    Box::pin(FunctionTask::new(half, Some(echo(ws)), registration))
}

#[test]
fn each_time_that_a_transport_takes_no_more_is_counted() {
    for with_handler in [true, false] {
        let (script, server) = (Script::default(), server());
        let stats = StatsHandle::new(Arc::clone(&server));
        let mut task = counted(&script, &server, with_handler);
        run_until_idle(&mut task);
        let mut step = |room, blocked, queued| {
            script.take_only(room);
            run_until_idle(&mut task);
            let pressure = stats.snapshot().pressure;
            assert_eq!((pressure.blocked_writes, pressure.queued_bytes), (blocked, queued));
        };
        script.deliver(&masked(1000));
        // The frame has a header of 4 bytes.
        step(0, 1, 1004);
        // It took no byte since.
        step(0, 1, 1004);
        step(4, 2, 1000);
        step(1000, 2, 0);
        script.deliver(&masked(1000));
        step(1003, 3, 1);
        step(usize::MAX, 3, 0);
    }
}

/// The end-to-end tests of the fields. A field that is added makes this fail to compile.
struct Tested(Vec<&'static str>);

impl Tested {
    fn by<T>(&mut self, _field: T, test: &'static str) {
        self.0.push(test);
    }

    fn server(&mut self, stats: ServerStats) {
        let ServerStats {
            connections,
            handshakes,
            closes,
            connection_times,
            received,
            sent,
            pressure,
            round_trips,
            panics,
            accept_backoffs,
            memory_used,
        } = stats;
        self.by(connections, "open_connections_and_handshakes_in_progress_are_those_of_this_moment");
        self.handshakes(handshakes);
        self.closes(closes);
        self.by(connection_times, "ends_are_counted_by_code_and_initiator");
        self.traffic(received);
        self.traffic(sent);
        self.pressure(pressure);
        self.by(round_trips, "round_trip_times_of_the_keepalive_are_counted_with_statistics");
        self.panics(panics);
        self.by(accept_backoffs, "without_descriptors_accepting_backs_off_and_recovers");
        self.by(memory_used, "memory_is_what_connections_hold_and_nothing_once_they_have_ended");
    }

    fn handshakes(&mut self, handshakes: Handshakes) {
        let Handshakes { active, accepted, refused, answered_http, failed, times } = handshakes;
        self.by(active, "open_connections_and_handshakes_in_progress_are_those_of_this_moment");
        self.by(accepted, "handshakes_are_counted_by_outcome");
        self.by(refused, "handshakes_are_counted_by_outcome");
        self.by(answered_http, "handshakes_are_counted_by_outcome");
        self.by(times, "handshakes_are_counted_by_outcome");
        let HandshakeFailures { timed_out, transport, tls, proxy, overload, shutdown } = failed;
        self.by(timed_out, "a_peer_that_sends_nothing_has_timed_out");
        self.by(transport, "handshakes_are_counted_by_outcome");
        self.by(tls, "with_tls_a_bad_handshake_and_an_overload_are_counted");
        self.by(proxy, "a_bad_header_of_the_proxy_protocol_is_counted");
        self.by(overload, "with_tls_a_bad_handshake_and_an_overload_are_counted");
        self.by(shutdown, "handshakes_that_a_shutdown_ends_are_counted");
    }

    fn closes(&mut self, closes: Closes) {
        let Closes { clean, unclean, by_code } = closes;
        self.by(clean, "ends_are_counted_by_code_and_initiator");
        self.by(unclean, "ends_are_counted_by_code_and_initiator");
        for CloseCount { code, initiator, count } in by_code {
            self.by((code, initiator, count), "ends_are_counted_by_code_and_initiator");
        }
    }

    fn traffic(&mut self, traffic: Traffic) {
        let Traffic { messages, payload_bytes, wire_bytes, control_frames } = traffic;
        for field in [messages, payload_bytes, wire_bytes, control_frames] {
            self.by(field, "messages_bytes_and_control_frames_are_counted_by_direction");
        }
    }

    fn pressure(&mut self, pressure: Pressure) {
        let Pressure {
            queued_bytes,
            refused_sends,
            blocked_writes,
            dropped_publications,
            became_slow,
            disconnected_members,
        } = pressure;
        self.by(queued_bytes, "each_time_that_a_transport_takes_no_more_is_counted");
        self.by(refused_sends, "a_refusal_of_another_task_is_reported_although_nothing_else_happens");
        self.by(blocked_writes, "each_time_that_a_transport_takes_no_more_is_counted");
        self.by(dropped_publications, "publications_that_a_slow_member_does_not_get_are_counted");
        self.by(became_slow, "a_connection_is_slow_once_its_queue_is_half_full_until_nothing_waits");
        self.by(disconnected_members, "a_member_that_a_policy_closes_is_reported_and_counted");
    }

    fn panics(&mut self, panics: Panics) {
        let Panics { handlers, functions, requests, observers } = panics;
        self.by(handlers, "each_callback_of_a_handler_counts_as_one");
        self.by(functions, "the_call_of_a_function_and_its_future_count_as_one_each");
        self.by(requests, "each_hook_of_a_request_counts_as_one");
        self.by(observers, "an_observer_that_panics_harms_nothing_and_its_panics_are_counted");
    }
}

/// The source of all end-to-end tests of servers and of this file. `None` in a package without them.
fn tests() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = include_str!("stats.rs").to_owned();
    for entry in root.join("../e2e-tests/tests/server").read_dir().ok()? {
        let path = entry.ok()?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&std::fs::read_to_string(path).ok()?);
        }
    }
    Some(source)
}

#[test]
fn each_field_of_the_statistics_has_a_test() {
    let mut tested = Tested(Vec::new());
    tested.server(ServerStats::default());
    let Some(source) = tests() else { return };
    for test in tested.0 {
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "there is no test {test}");
    }
}
