//! What a server counts of handshakes, and what an observer learns.

use e2e_tests::certificates::Authority;
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, RawFrame, RequestHead};
use e2e_tests::server::{Api, ObservedServer, close_normally, echo_test_with, start_echo};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ws_server::{
    OriginPolicy, Rejection, Server, ServerBuilder, Tls,
    http::{Response, StatusCode},
    stats::{
        CaughtUp, Closed, HandshakeEnd, HandshakeFailure, HandshakeOutcome, Observer, Opened, ServerStats,
        Slow,
    },
};

fn refused(stats: &ServerStats) -> Vec<(u16, u64)> {
    stats.handshakes.refused.iter().map(|(status, count)| (status.as_u16(), *count)).collect()
}

/// The status that a request is refused with.
async fn refusal(mut client: RawClient, request: RequestHead) -> u16 {
    client.send_bytes(request.to_bytes()).await;
    client.recv_head().await.status()
}

fn configure(builder: ServerBuilder) -> ServerBuilder {
    builder.origin(OriginPolicy::SameHost).http(|_request| Response::new("fine\n".into())).on_request(
        |request| match request.path() {
            "/denied" => Err(Rejection::new(StatusCode::UNAUTHORIZED)),
            _ => Ok(()),
        },
    )
}

#[test]
fn handshakes_are_counted_by_outcome() {
    echo_test_with(configure, async |server| {
        close_normally(server.open().await).await;
        for _ in 0..2 {
            let client = server.connect().await;
            let request = client.request("/denied");
            assert_eq!(refusal(client, request).await, 401);
        }
        let client = server.connect().await;
        let request = client.request("/").with("Origin", "http://elsewhere.example");
        assert_eq!(refusal(client, request).await, 403);
        let mut client = server.connect().await;
        client.send_bytes("GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert_eq!(client.recv_head().await.status(), 200);
        drop(client);
        // A peer that leaves in the middle of its request.
        let mut client = server.connect().await;
        client.send_bytes("GET / HTTP/1.1\r\n").await;
        drop(client);
        let done = |stats: &ServerStats| stats.handshakes.active == 0 && stats.handshakes.failed.total() == 1;
        let stats = server.wait_for_stats(done).await;
        assert_eq!(stats.handshakes.accepted, 1);
        assert_eq!(refused(&stats), [(401, 2), (403, 1)]);
        assert_eq!(stats.handshakes.answered_http, 1);
        assert_eq!(stats.handshakes.failed.transport, 1);
        assert_eq!(stats.handshakes.times.count(), 1);
    });
}

#[test]
fn a_peer_that_sends_nothing_has_timed_out() {
    let hasty = |builder: ServerBuilder| builder.handshake_timeout(Duration::from_millis(20));
    echo_test_with(hasty, async |server| {
        let mut silent = server.connect().await;
        silent.expect_eof().await;
        let stats = server.wait_for_stats(|stats| stats.handshakes.failed.total() == 1).await;
        assert_eq!(stats.handshakes.failed.timed_out, 1);
        assert_eq!(refused(&stats), []);
    });
}

#[test]
fn a_full_server_counts_what_it_refuses() {
    echo_test_with(
        |builder| builder.max_handshakes(1),
        async |server| {
            let first = server.connect().await;
            server.wait_for_handshakes(1).await;
            let second = server.connect().await;
            let request = second.request("/");
            assert_eq!(refusal(second, request).await, 503);
            drop(first);
            let stats = server
                .wait_for_stats(|stats| stats.handshakes.active == 0 && !stats.handshakes.refused.is_empty());
            assert_eq!(refused(&stats.await), [(503, 1)]);
        },
    );
}

#[test]
fn with_tls_a_bad_handshake_and_an_overload_are_counted() {
    let identity = Authority::new().issue(&["localhost"]);
    let tls = |builder: ServerBuilder| {
        builder.tls(Tls::from_pem(&identity.chain, &identity.key).unwrap()).max_handshakes(1)
    };
    echo_test_with(tls, async |server| {
        let mut client = server.connect().await;
        server.wait_for_handshakes(1).await;
        let mut second = server.connect().await;
        second.expect_end().await;
        client.send_bytes("GET / HTTP/1.1\r\n\r\n").await;
        let stats = server.wait_for_stats(|stats| stats.handshakes.failed.total() == 2).await;
        assert_eq!((stats.handshakes.failed.tls, stats.handshakes.failed.overload), (1, 1));
    });
}

/// Collects what an observer learns.
#[derive(Debug, Clone, PartialEq)]
enum Learned {
    Handshake(HandshakeEnd),
    Opened(Opened),
    Closed(Closed),
}

#[derive(Default)]
struct Collector(Mutex<Vec<Learned>>);

impl Collector {
    fn add(&self, learned: Learned) {
        self.0.lock().unwrap().push(learned);
    }

    fn take(&self) -> Vec<Learned> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Collector {
    fn handshake_ended(&self, handshake: &HandshakeEnd) {
        self.add(Learned::Handshake(handshake.clone()));
    }

    fn opened(&self, connection: &Opened) {
        self.add(Learned::Opened(connection.clone()));
    }

    fn closed(&self, connection: &Closed) {
        self.add(Learned::Closed(connection.clone()));
    }
}

async fn with_observer(
    observer: impl Observer + Clone,
    options: Options,
    test: impl AsyncFn(&ObservedServer),
) {
    for api in Api::ALL {
        println!("with the {api:?} API, {options:?}");
        let server = start_echo(api, Server::builder().statistics(true).observer(observer.clone())).await;
        test(&server).await;
        server.stop().await;
    }
}

#[test]
fn an_observer_learns_of_the_handshake_then_of_the_open_connection_then_of_its_end() {
    harness::run(async {
        let collector = Arc::new(Collector::default());
        with_observer(Arc::clone(&collector), Options::default(), async |server| {
            let mut client = server.connect().await;
            let addr = client.local_addr();
            assert_eq!(client.upgrade("/chat?token=secret").await.status(), 101);
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
            close_normally(client).await;
            server.wait_for_connections(0).await;
            let learned = collector.take();
            let [Learned::Handshake(handshake), Learned::Opened(opened), Learned::Closed(closed)] =
                &learned[..]
            else {
                panic!("{learned:?}");
            };
            assert_eq!((handshake.outcome, handshake.peer), (HandshakeOutcome::Accepted, Some(addr)));
            assert_eq!((opened.path.as_str(), opened.peer, opened.compression), ("/chat", Some(addr), false));
            assert_eq!((closed.id, closed.peer), (opened.id, Some(addr)));
            assert_eq!((closed.info.code(), closed.info.is_clean()), (1000, true));
            assert_eq!(closed.info.stats().unwrap().received.messages, 1);
            assert!(!format!("{learned:?}").contains("secret"));

            drop(server.connect().await);
            server.wait_for_stats(|stats| stats.handshakes.failed.total() == 1).await;
            let learned = collector.take();
            let [Learned::Handshake(handshake)] = &learned[..] else { panic!("{learned:?}") };
            assert_eq!(handshake.outcome, HandshakeOutcome::Failed(HandshakeFailure::Transport));
        })
        .await;
    });
}

#[test]
fn an_observer_that_panics_harms_nothing_and_its_panics_are_counted() {
    #[derive(Clone)]
    struct Panics;
    impl Observer for Panics {
        fn handshake_ended(&self, _handshake: &HandshakeEnd) {
            panic!("on purpose");
        }

        fn opened(&self, _connection: &Opened) {
            panic!("on purpose");
        }

        fn closed(&self, _connection: &Closed) {
            panic!("on purpose");
        }

        fn slow(&self, _connection: &Slow) {
            panic!("on purpose");
        }

        fn caught_up(&self, _connection: &CaughtUp) {
            panic!("on purpose");
        }
    }
    let options = Options { allow_panics: true, ..Options::default() };
    harness::run_with(options, async {
        with_observer(Panics, options, async |server| {
            let mut client = server.open_slow().await;
            // More than half of the write queue.
            let large = vec![7; 12 << 20];
            client.send(RawFrame::binary(large.clone())).await;
            server.wait_for_stats(|stats| stats.pressure.became_slow == 1).await;
            client.expect_binary(&large).await;
            server.wait_for_stats(|stats| stats.panics.observers == 4).await;
            close_normally(client).await;
            server.wait_for_connections(0).await;
            let stats = server.stats();
            assert_eq!((stats.panics.observers, stats.panics.total()), (5, 5));
            assert_eq!((stats.handshakes.accepted, stats.closes.clean), (1, 1));
        })
        .await;
    });
}
