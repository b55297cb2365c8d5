//! `recv` and `send` have a fast path, in a turn of a server's task and without one. A connection that counts never
//! takes it, and shows what the other way does.

use std::{
    future::Future,
    io::ErrorKind,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use tokio::{runtime::Builder, task::yield_now, time::sleep};
use ws_proto::{CloseCode, Config, Connection, Role};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, connection, opcode, serve_connection};

/// Most polls between two steps of the peer.
const MOST_POLLS: usize = 1000;

/// What the application saw.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

/// Does what the first byte of a message says. At last, it notes how the connection has ended.
async fn obey(mut ws: WebSocket<TestTransport>, log: Log) {
    while let Some(message) = ws.recv().await {
        log.lock().unwrap().push(message.as_bytes().to_vec());
        match message.as_bytes().first() {
            Some(b'e') => drop(ws.send(message).await),
            Some(b'f') => ws.flush().await,
            Some(b's') => drop(ws.sender().try_send(message)),
            Some(b'y') => yield_now().await,
            Some(b'p') => drop(ws.ping(b"from the application").await),
            Some(b'r') => {
                let lent = ws.recv_ref().await.map(|lent| lent.as_bytes().to_vec());
                log.lock().unwrap().extend(lent);
            }
            Some(b'c') => drop(ws.close(CloseCode::NORMAL, "").await),
            Some(b'l') => drop(ws.send(vec![7; 40_000]).await),
            Some(b'd') => drop(ws.feed(message).await),
            Some(b'q') => return,
            Some(b'x') => {
                let event = format!("{:?}", ws.recv_event().await);
                log.lock().unwrap().push(event.into_bytes());
            }
            _ => {}
        }
    }
    let info = ws.close_info().unwrap();
    let end = format!("{:?} {:?} {:?} {:?}", info.initiator, info.received, info.sent, info.error);
    log.lock().unwrap().push(end.into_bytes());
}

/// What the peer does.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Frame>),
    Bytes(Vec<u8>),
    /// Frames whose bytes arrive in two reads.
    Cut(Vec<Frame>, usize),
    ReadSlowly(usize),
    TakeOnly(usize),
    TakeEverything,
    RequireFlush,
    FailWrites,
    FailFlushes,
    FailReads,
    Wait(Duration),
    End,
}

impl Step {
    fn in_parts(self, role: Role) -> Vec<Self> {
        match self {
            Self::Cut(frames, at) => {
                let bytes: Vec<u8> =
                    frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect();
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                vec![Self::Bytes(first.to_vec()), Self::Bytes(second.to_vec())]
            }
            step => vec![step],
        }
    }

    async fn run(self, peer: &Peer) {
        match self {
            Self::Wait(time) => sleep(time).await,
            Self::Send(frames) => peer.send_all(frames),
            Self::ReadSlowly(bytes) => peer.read_slowly(bytes),
            Self::TakeOnly(bytes) => peer.take_only(bytes),
            Self::TakeEverything => peer.take_everything(),
            Self::RequireFlush => peer.require_flush(),
            Self::FailWrites => peer.fail_writes(ErrorKind::BrokenPipe),
            Self::FailFlushes => peer.fail_flushes(ErrorKind::BrokenPipe),
            Self::FailReads => peer.fail_reads(ErrorKind::ConnectionReset),
            Self::End => peer.end(),
            Self::Bytes(bytes) => peer.send_bytes(&bytes),
            Self::Cut(..) => unreachable!("it was split"),
        }
    }
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let orders = prop::sample::select(b"eeeeeeeeennnfsyprlxd".to_vec());
    let lens = prop::sample::select(vec![0, 1, 19, 124, 125, 1000, 70_000]);
    let payload = (orders, lens).prop_map(|(order, len)| [vec![order], vec![b'.'; len]].concat());
    prop_oneof![
        16 => payload.clone().prop_map(|payload| vec![Frame::text(payload)]),
        4 => payload.clone().prop_map(|payload| vec![Frame::binary(payload)]),
        2 => payload.prop_map(|payload| Frame::binary(payload).in_two(1).to_vec()),
        2 => Just(vec![Frame::ping("ping")]),
        1 => Just(vec![Frame::pong("pong")]),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let batch = prop::collection::vec(frames(), 1..6).prop_map(|frames| frames.concat());
    let rare = prop::sample::select(vec![
        Step::Send(vec![Frame::close(1000, "")]),
        Step::Send(vec![Frame::text("c")]),
        Step::Send(vec![Frame::text("q")]),
        Step::Send(vec![Frame::text(b"e\xff".to_vec())]),
        Step::Send(vec![Frame::new(opcode::CONTINUATION, "of nothing")]),
        Step::FailWrites,
        Step::FailFlushes,
        Step::FailReads,
        Step::End,
    ]);
    let beginning = (frames(), 1_usize..8).prop_map(|(frames, cut)| Step::Cut(frames, cut));
    prop_oneof![
        12 => frames().prop_map(Step::Send),
        6 => batch.prop_map(Step::Send),
        3 => beginning,
        1 => (1_usize..100).prop_map(Step::ReadSlowly),
        1 => (0_usize..100).prop_map(Step::TakeOnly),
        2 => Just(Step::TakeEverything),
        1 => Just(Step::RequireFlush),
        1 => (1..30_u64).prop_map(|seconds| Step::Wait(Duration::from_secs(seconds))),
        1 => rare,
    ]
}

/// What the application saw, what the peer received, and what it took.
#[derive(Debug, PartialEq)]
struct Outcome {
    is_over: bool,
    seen: Vec<Vec<u8>>,
    received: Vec<Frame>,
    writes: usize,
    /// Of a client. A server that counts reads whole messages of equal length, and one that does not has no such guess.
    reads: Option<usize>,
}

/// Who runs the application.
#[derive(Debug, Clone, Copy)]
enum Runs {
    ServerTask,
    OwnTask(Role),
}

/// Makes the connection.
type Connect<'a> = &'a dyn Fn(Role, Config) -> Connection;

impl Runs {
    fn role(self) -> Role {
        if let Self::OwnTask(role) = self { role } else { Role::Server }
    }

    /// The application of a connection, and the peer.
    fn start(self, connection: Connection, log: Log) -> (Pin<Box<dyn Future<Output = ()>>>, Peer) {
        match self {
            Self::ServerTask => {
                let (server, peer) = serve_connection(connection, |ws| obey(ws, log));
                (Box::pin(async move { drop(server.await) }), peer)
            }
            Self::OwnTask(role) => {
                let (transport, peer) = TestTransport::new(role);
                (Box::pin(obey(WebSocket::new(transport, connection), log)), peer)
            }
        }
    }
}

async fn run(steps: Vec<Step>, runs: Runs, statistics: bool, connect: Connect<'_>) -> Outcome {
    let mut config = config();
    config.statistics = statistics;
    config.idle_timeout = Some(Duration::from_secs(40));
    let log = Log::default();
    let (mut application, peer) = runs.start(connect(runs.role(), config), Arc::clone(&log));
    let (task, mut is_over, mut received) = (Task::new(), false, Vec::new());
    task.cx().waker().wake_by_ref();
    let steps = steps.into_iter().flat_map(|step| step.in_parts(runs.role()));
    for step in steps.chain([Step::TakeEverything, Step::End, Step::Wait(Duration::from_secs(100))]) {
        step.run(&peer).await;
        for _ in 0..MOST_POLLS {
            // What yields is woken then.
            yield_now().await;
            if is_over || !task.was_woken() {
                break;
            }
            is_over = task.poll(&mut application).is_ready();
        }
        received.extend(peer.received());
    }
    let counts = peer.counts();
    let seen = std::mem::take(&mut *log.lock().unwrap());
    let reads = (runs.role() == Role::Client).then_some(counts.reads);
    Outcome { is_over, seen, received, writes: counts.writes, reads }
}

/// Takes the same steps on the fast path, where it can be taken, and in the other one.
fn check_both_ways(steps: &[Step], connect: Connect<'_>) -> Result<(), TestCaseError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for runs in ROLES.map(Runs::OwnTask).into_iter().chain([Runs::ServerTask]) {
        let fast = runtime.block_on(run(steps.to_vec(), runs, false, connect));
        let usual = runtime.block_on(run(steps.to_vec(), runs, true, connect));
        prop_assert_eq!(fast, usual, "{:?}", runs);
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_fast_path_shows_what_the_usual_steps_do(
        steps in prop::collection::vec(steps(), 1..20),
    ) {
        check_both_ways(&steps, &connection)?;
    }
}

#[cfg(feature = "deflate")]
mod compressed {
    use ws_proto::deflate::DeflateConfig;

    use super::*;
    use crate::support::{compress, deflating};

    /// Frames of which some are compressed.
    fn compressed_frames() -> impl Strategy<Value = Vec<Frame>> {
        let compressed = frames().prop_map(|frames| match &frames[..] {
            [frame] if frame.is_data() => {
                vec![Frame { compressed: true, payload: compress(&frame.payload), ..frame.clone() }]
            }
            [first, rest] => {
                let payload = compress(&[&first.payload[..], &rest.payload].concat());
                let whole = Frame { fin: true, compressed: true, payload, ..first.clone() };
                whole.in_two(1).to_vec()
            }
            _ => frames,
        });
        // A message that is inflated in slices, and a fault.
        let large = Frame { compressed: true, ..Frame::binary(compress(&[b'n'; 600_000])) };
        let invalid = Frame { compressed: true, ..Frame::binary([0xff, 0xff]) };
        prop_oneof![
            30 => compressed,
            10 => frames(),
            2 => Just(vec![large]),
            1 => Just(vec![invalid]),
        ]
    }

    fn compressed_steps() -> impl Strategy<Value = Step> {
        let batch = prop::collection::vec(compressed_frames(), 1..6).prop_map(|frames| frames.concat());
        prop_oneof![
            12 => compressed_frames().prop_map(Step::Send),
            6 => batch.prop_map(Step::Send),
            6 => steps(),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_fast_path_of_a_connection_that_compresses_shows_what_the_usual_steps_do(
            steps in prop::collection::vec(compressed_steps(), 1..20),
            takeover in any::<bool>(),
        ) {
            let mut deflate = DeflateConfig::server();
            (deflate.send_takeover, deflate.receive_takeover) = (takeover, takeover);
            check_both_ways(&steps, &|role, config| deflating(role, config, deflate.clone()))?;
        }
    }
}
