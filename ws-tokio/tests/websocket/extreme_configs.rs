//! Configurations with extreme values. With any that are valid, polls return, and futures make progress or wait for
//! what their configuration leaves without a limit.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use tokio::io::DuplexStream;
use ws_proto::{
    CloseCode, Config, Connection, Keepalive, Limits, ValidConfig, mask::ChaChaMaskSource,
    memory::MemoryBudget,
};
use ws_tokio::WebSocket;

/// More polls than any future here needs.
const MOST_POLLS: usize = 20_000;
/// Far more than a case takes, so that a poll that never returns fails its test.
const LIMIT: Duration = Duration::from_secs(60);
/// More, on the paused clock, than all deadlines of a case together. One counts as thirty years at most.
const FOREVER: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

fn sizes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![0, 1, 2, 1000, usize::MAX / 2, usize::MAX])
}

fn durations() -> impl Strategy<Value = Duration> {
    let extremes = [Duration::from_nanos(1), Duration::from_secs(30), Duration::MAX];
    prop::sample::select(extremes.to_vec())
}

fn limits() -> impl Strategy<Value = Limits> {
    let counts = || prop::sample::select(vec![0, 1, 1000, u32::MAX]);
    (sizes(), sizes(), counts(), counts(), sizes()).prop_map(|(message, frame, fragments, control, held)| {
        let mut limits = Limits::default();
        limits.max_message_size = message;
        limits.max_frame_size = frame.checked_sub(1);
        limits.max_fragments = fragments;
        limits.max_control_frames_per_read = control;
        limits.max_control_frames_per_second = control;
        limits.max_held_bytes = held.max(1);
        limits
    })
}

/// Limits with which reading stops early and nothing else does.
fn little_held() -> impl Strategy<Value = Limits> {
    let fragments = prop::sample::select(vec![0, 1, Limits::default().max_fragments]);
    (prop::sample::select(vec![1, 2, 1000]), fragments).prop_map(|(held, fragments)| {
        let mut limits = Limits::default();
        limits.max_fragments = fragments;
        limits.max_held_bytes = held;
        limits
    })
}

type Timeouts = (Duration, Option<Duration>, Option<Duration>, Duration);

/// `close_timeout`, `idle_timeout`, `write_timeout` and `message_timeout`.
fn timeouts() -> impl Strategy<Value = Timeouts> {
    (durations(), prop::option::of(durations()), prop::option::of(durations()), durations())
}

/// Each group of settings has its defaults in half of the cases, so that one extreme value does not end every case
/// early. One case in three has small limits together with extreme deadlines.
fn configs() -> impl Strategy<Value = ValidConfig> {
    prop_oneof![
        2 => configs_of(prop::option::of(limits()), prop::option::of(timeouts())),
        1 => configs_of(little_held().prop_map(Some), timeouts().prop_map(Some)),
    ]
}

fn configs_of(
    limits: impl Strategy<Value = Option<Limits>>,
    timeouts: impl Strategy<Value = Option<Timeouts>>,
) -> impl Strategy<Value = ValidConfig> {
    let queue = (sizes(), sizes(), prop::option::of(sizes()));
    let keepalive = prop::option::of((durations(), durations()));
    (limits, timeouts, keepalive, prop::option::of(queue)).prop_map(|(limits, timeouts, keepalive, queue)| {
        let mut config = Config::default();
        config.limits = limits.unwrap_or_default();
        let mut memory_budget = None;
        if let Some((close, idle, write, message)) = timeouts {
            config.close_timeout = close;
            config.idle_timeout = idle;
            config.write_timeout = write;
            config.message_timeout = Some(message);
        }
        config.keepalive = keepalive.map(|(interval, timeout)| {
            let least = Duration::from_millis(1);
            Keepalive::new(interval.max(least), timeout.max(least))
        });
        if let Some((messages, bytes, budget)) = queue {
            config.write_queue_messages = messages.max(1);
            config.write_queue_bytes = bytes;
            memory_budget = budget.map(MemoryBudget::new);
        }
        let config = config.validate().expect("within the ranges");
        // A budget that is too small for the limits is refused.
        memory_budget.and_then(|budget| config.clone().with_memory_budget(budget).ok()).unwrap_or(config)
    })
}

/// Fails a future that is polled too often.
async fn bounded<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        assert!(polls <= MOST_POLLS, "it spins");
        future.as_mut().poll(cx)
    })
    .await
}

fn pair(ours: ValidConfig, theirs: ValidConfig) -> [WebSocket<DuplexStream>; 2] {
    let (near, far) = tokio::io::duplex(10_000);
    let now = tokio::time::Instant::now().into_std();
    let masks = Box::new(ChaChaMaskSource::from_seed([7; 32]));
    let client = Connection::client(ours, masks, now);
    let server = Connection::server(theirs, now);
    [WebSocket::new(near, client), WebSocket::new(far, server)]
}

/// How an exchange of messages ended.
#[derive(Debug, PartialEq, Eq)]
enum Exchange {
    /// Both ends have finished.
    Finished,
    /// Both applications wait in `send` without an end, and neither takes the messages that it has received.
    BothWait,
}

/// Exchanges messages with an echo. Fails unless both ends finish, or wait for each other without a `write_timeout`.
async fn echoes(ours: ValidConfig, theirs: ValidConfig, lengths: Vec<usize>) -> Exchange {
    let is_write_limited = ours.write_timeout.is_some() || theirs.write_timeout.is_some();
    let [mut client, mut server] = pair(ours, theirs);
    let echo = async {
        while let Some(message) = server.recv().await {
            if server.send(message).await.is_err() {
                break;
            }
        }
        server.close(CloseCode::NORMAL, "").await
    };
    let talk = async {
        let sender = client.sender();
        for length in lengths {
            let (sent, queued) = (client.send(vec![7; length]).await, sender.try_send(vec![7; length]));
            if sent.is_err() || queued.is_err() || client.recv().await.is_none() {
                break;
            }
        }
        client.close(CloseCode::NORMAL, "").await
    };
    let exchange = async { tokio::join!(bounded(echo), bounded(talk)) };
    if tokio::time::timeout(FOREVER, exchange).await.is_ok() {
        return Exchange::Finished;
    }
    assert!(!is_write_limited, "a wait that outlasts the write timeout");
    for end in [&mut client, &mut server] {
        assert!(end.is_open(), "a wait that outlasts the close timeout");
        let held = end.poll_recv(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(held, Poll::Ready(Some(_))), "a wait although the peer's messages could be read");
    }
    // The applications can end it at any time.
    let closes = async {
        tokio::join!(
            bounded(client.close(CloseCode::NORMAL, "")),
            bounded(server.close(CloseCode::NORMAL, "")),
        )
    };
    assert!(tokio::time::timeout(FOREVER, closes).await.is_ok(), "a close that does not end");
    Exchange::BothWait
}

fn run(ours: ValidConfig, theirs: ValidConfig, lengths: Vec<usize>) -> Exchange {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(echoes(ours, theirs, lengths))
}

/// Two ends that hold little and have no limit for writing.
fn ends_that_hold_little() -> [Config; 2] {
    [1000, 2].map(|held| {
        let mut config = Config::default();
        config.limits.max_held_bytes = held;
        config.write_timeout = None;
        config.keepalive = None;
        config
    })
}

#[test]
fn without_a_write_timeout_two_ends_that_only_send_wait_for_each_other_until_one_closes() {
    let [mut ours, mut theirs] = ends_that_hold_little();
    ours.close_timeout = Duration::from_nanos(1);
    ours.message_timeout = Some(Duration::from_nanos(1));
    theirs.idle_timeout = Some(Duration::from_nanos(1));
    theirs.close_timeout = Duration::MAX;
    let (ours, theirs) = (ours.validate().unwrap(), theirs.validate().unwrap());
    assert_eq!(run(ours, theirs, vec![70_000; 4]), Exchange::BothWait);
}

#[test]
fn the_write_timeout_of_one_end_releases_two_ends_that_wait_for_each_other() {
    for limited in 0..2 {
        let mut ends = ends_that_hold_little();
        ends[limited].write_timeout = Some(Duration::from_secs(60));
        let [ours, theirs] = ends.map(|config| config.validate().unwrap());
        assert_eq!(run(ours, theirs, vec![70_000; 4]), Exchange::Finished);
    }
}

proptest! {
    // No shrinking: a smaller case takes as long to fail.
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 0, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_configuration_is_safe(
        ours in configs(),
        theirs in configs(),
        lengths in prop::collection::vec(prop::sample::select(vec![0, 1, 125, 70_000]), 1..5),
    ) {
        let (done, end) = mpsc::channel();
        let case = thread::spawn(move || {
            run(ours, theirs, lengths);
            done.send(()).unwrap();
        });
        match end.recv_timeout(LIMIT) {
            Err(mpsc::RecvTimeoutError::Timeout) => prop_assert!(false, "a poll that does not return"),
            _ => prop_assert!(case.join().is_ok(), "it panics"),
        }
    }
}
