//! In a turn of a server's task, `recv` has a short way. A connection that counts never takes it, and shows what the other
//! way does.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tokio::{runtime::Builder, task::yield_now};
use ws_proto::{CloseCode, CloseInfo, Config, Connection, Role};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, Task, TestTransport, config, connection, opcode, serve_connection};

/// Most polls between two steps of the peer.
const MOST_POLLS: usize = 1000;

/// What the application saw.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

/// Does what the first byte of a message says.
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
            Some(b'q') => return,
            Some(b'x') => {
                let event = format!("{:?}", ws.recv_event().await);
                log.lock().unwrap().push(event.into_bytes());
            }
            _ => {}
        }
    }
}

/// What the peer does.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<Frame>),
    Bytes(Vec<u8>),
    /// Bytes that arrive in two reads.
    Cut(Vec<u8>, usize),
    ReadSlowly(usize),
    TakeOnly(usize),
    TakeEverything,
    RequireFlush,
    FailWrites,
    FailReads,
    End,
}

impl Step {
    fn in_parts(self) -> Vec<Self> {
        match self {
            Self::Cut(bytes, at) => {
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                vec![Self::Bytes(first.to_vec()), Self::Bytes(second.to_vec())]
            }
            step => vec![step],
        }
    }

    fn run(self, peer: &Peer) {
        match self {
            Self::Send(frames) => peer.send_all(frames),
            Self::ReadSlowly(bytes) => peer.read_slowly(bytes),
            Self::TakeOnly(bytes) => peer.take_only(bytes),
            Self::TakeEverything => peer.take_everything(),
            Self::RequireFlush => peer.require_flush(),
            Self::FailWrites => peer.fail_writes(ErrorKind::BrokenPipe),
            Self::FailReads => peer.fail_reads(ErrorKind::ConnectionReset),
            Self::End => peer.end(),
            Self::Bytes(bytes) => peer.send_bytes(&bytes),
            Self::Cut(..) => unreachable!("it was split"),
        }
    }
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let orders = prop::sample::select(b"eeeeeeeeennnfsyprlx".to_vec());
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
        Step::FailReads,
        Step::End,
    ]);
    let beginning = (frames(), 1_usize..8).prop_map(|(frames, cut)| {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(true)).collect();
        Step::Cut(bytes, cut)
    });
    prop_oneof![
        12 => frames().prop_map(Step::Send),
        6 => batch.prop_map(Step::Send),
        3 => beginning,
        1 => (1_usize..100).prop_map(Step::ReadSlowly),
        1 => (0_usize..100).prop_map(Step::TakeOnly),
        2 => Just(Step::TakeEverything),
        1 => Just(Step::RequireFlush),
        1 => rare,
    ]
}

/// What the application saw, what the peer received, and how the connection ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<Vec<u8>>,
    received: Vec<Frame>,
    reads_and_writes: (usize, usize),
    end: Option<String>,
}

fn ended(info: &CloseInfo) -> String {
    format!("{:?} {:?} {:?} {:?}", info.initiator, info.received, info.sent, info.error)
}

async fn run(steps: Vec<Step>, statistics: bool, connect: &dyn Fn(Config) -> Connection) -> Outcome {
    let mut config = config();
    config.statistics = statistics;
    let log = Log::default();
    let (mut server, peer) = serve_connection(connect(config), |ws| obey(ws, Arc::clone(&log)));
    let (task, mut end, mut received) = (Task::new(), None, Vec::new());
    task.cx().waker().wake_by_ref();
    let steps = steps.into_iter().flat_map(Step::in_parts);
    for step in steps.chain([Step::TakeEverything, Step::End]) {
        step.run(&peer);
        for _ in 0..MOST_POLLS {
            // What yields is woken then.
            yield_now().await;
            if end.is_some() || !task.was_woken() {
                break;
            }
            if let std::task::Poll::Ready(info) = task.poll(&mut server) {
                end = Some(ended(&info));
            }
        }
        received.extend(peer.received());
    }
    let counts = peer.counts();
    let seen = std::mem::take(&mut *log.lock().unwrap());
    Outcome { seen, received, reads_and_writes: (counts.reads, counts.writes), end }
}

/// Takes the same steps in the short way, where it can be taken, and in the other one.
fn both_ways(steps: Vec<Step>, connect: impl Fn(Config) -> Connection) -> [Outcome; 2] {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    [false, true].map(|statistics| runtime.block_on(run(steps.clone(), statistics, &connect)))
}

proptest! {
    #[test]
    fn whatever_happens_the_short_way_shows_what_the_long_way_does(
        steps in prop::collection::vec(steps(), 1..20),
    ) {
        let [short, long] = both_ways(steps, |config| connection(Role::Server, config));
        prop_assert_eq!(short, long);
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
        fn whatever_happens_the_short_way_of_a_connection_that_compresses_shows_what_the_long_way_does(
            steps in prop::collection::vec(compressed_steps(), 1..20),
            takeover in any::<bool>(),
        ) {
            let mut deflate = DeflateConfig::server();
            (deflate.send_takeover, deflate.receive_takeover) = (takeover, takeover);
            let [short, long] = both_ways(steps, |config| deflating(config, deflate.clone()));
            prop_assert_eq!(short, long);
        }
    }
}
