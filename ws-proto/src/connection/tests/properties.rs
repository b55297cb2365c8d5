//! The state machine against the reference decoder: frames of every kind, valid or corrupted and split anywhere, give
//! the same events and the same close code.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index, strategy::ValueTree as _, test_runner::TestRunner};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

use crate::{
    CloseInfo, MessageKind, ReceiveBuffer, Role, ValidConfig,
    error::ConnectionError,
    memory::{BufferPool, BufferPoolConfig},
};

use super::{
    endpoint::{Endpoint, Seen, config},
    reference_decoder::{Item, decode},
    wire::{Frame, binary, continuation, frame, ping, pong, text},
};

const LIMIT: usize = 300;

fn limited() -> ValidConfig {
    config(|config| config.limits.max_message_size = LIMIT)
}

/// A corruption of the bytes of a valid sequence.
#[derive(Debug, Clone)]
enum Corruption {
    Flip(Index, u8),
    Cut(Index),
    Double(Index, u8),
    Insert(Index, u8),
}

impl Corruption {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Double(at, length) => {
                let at = at.index(bytes.len());
                let piece = bytes[at..].iter().copied().take(usize::from(*length)).collect::<Vec<_>>();
                bytes.splice(at..at, piece);
            }
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        }
    }
}

fn corruptions() -> impl Strategy<Value = Vec<Corruption>> {
    let one = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Corruption::Flip(at, bit)),
        1 => any::<Index>().prop_map(Corruption::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, length)| Corruption::Double(at, length)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Corruption::Insert(at, byte)),
    ];
    prop_oneof![2 => Just(Vec::new()), 3 => proptest::collection::vec(one, 1..3)]
}

/// Up to `most` characters of one to four bytes.
fn letters(most: usize) -> impl Strategy<Value = String> {
    (any::<u64>(), 0..=most).prop_map(|(seed, length)| {
        const LETTERS: [char; 8] = ['a', 'b', 'c', 'z', ' ', 'é', '€', '😀'];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..length).map(|_| LETTERS[rng.next_u32() as usize % LETTERS.len()]).collect()
    })
}

/// Up to `most` bytes.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..=most).prop_map(|(seed, length)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..length).map(|_| rng.next_u32() as u8).collect()
    })
}

fn control() -> impl Strategy<Value = Frame> {
    prop_oneof![bytes(125).prop_map(ping), bytes(125).prop_map(pong)]
}

fn close() -> impl Strategy<Value = Frame> {
    let code = prop_oneof![
        Just(1000),
        Just(1001),
        3000..5000_u16,
        prop::sample::select(vec![0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])
    ];
    let with_code = (code, letters(20)).prop_map(|(code, reason)| super::wire::close(code, reason));
    prop_oneof![4 => with_code, 1 => Just(super::wire::empty_close()), 1 => Just(frame(8, b"x"))]
}

/// A message in fragments, split anywhere, with control frames in between.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let payload = prop_oneof![
        6 => letters(60).prop_map(|text| (true, text.into_bytes())),
        1 => bytes(8).prop_map(|bytes| (true, bytes)),
        4 => bytes(200).prop_map(|bytes| (false, bytes)),
        1 => prop::sample::select(vec![125, 126, LIMIT, LIMIT + 1, LIMIT + 2]).prop_map(|length| (false, vec![7; length])),
    ];
    let cuts = proptest::collection::vec((any::<Index>(), proptest::option::of(control())), 0..4);
    (payload, cuts, any::<[u8; 4]>()).prop_map(|((is_text, payload), mut cuts, key)| {
        cuts.sort_by_key(|(at, _)| at.index(payload.len() + 1));
        let (mut frames, mut from) = (Vec::new(), 0);
        let count = cuts.len();
        for (nth, (at, between)) in cuts.into_iter().enumerate() {
            let to = at.index(payload.len() + 1);
            frames.push(fragment(nth == 0, is_text, &payload[from..to]).with_key(key).not_final());
            frames.extend(between);
            from = to;
        }
        frames.push(fragment(count == 0, is_text, &payload[from..]).with_key(key));
        frames
    })
}

fn fragment(first: bool, is_text: bool, payload: &[u8]) -> Frame {
    match (first, is_text) {
        (false, _) => continuation(payload),
        (true, true) => text(payload),
        (true, false) => binary(payload),
    }
}

/// Frames of any kind, in any order.
fn any_frame() -> impl Strategy<Value = Frame> {
    (0..16_u8, bytes(20), any::<bool>(), any::<[u8; 4]>(), 0..24_u8).prop_map(
        |(opcode, payload, fin, key, twist)| {
            let frame = frame(opcode, &payload).with_key(key);
            let frame = if fin { frame } else { frame.not_final() };
            match twist {
                0 => frame.with_reserved_bits(0x40),
                1 => frame.with_reserved_bits(0x10),
                2 => frame.masked_wrongly(),
                3 => frame.length_in_16_bits(),
                4 => frame.length_in_64_bits(),
                5 => frame.announcing(1 << 63),
                6 => frame.announcing(1 << 40),
                _ => frame,
            }
        },
    )
}

fn sequence() -> impl Strategy<Value = Vec<Frame>> {
    let part = prop_oneof![
        6 => message(),
        3 => control().prop_map(|frame| vec![frame]),
        1 => close().prop_map(|frame| vec![frame]),
        1 => any_frame().prop_map(|frame| vec![frame]),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// The bytes as they arrive.
fn stream(frames: &[Frame], corruptions: &[Corruption], role: Role) -> Vec<u8> {
    let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect();
    corruptions.iter().for_each(|corruption| corruption.apply(&mut bytes));
    bytes
}

/// The events of the state machine.
fn machine(role: Role, bytes: &[u8], sizes: &[usize]) -> Vec<Item> {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    let mut end = Endpoint::with_buffer(role, &limited(), ReceiveBuffer::new(256, pool));
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(sizes.next().map_or(1, |size| *size).min(rest.len()));
        end.receives_bytes(piece);
        rest = behind;
    }
    end.peer_hangs_up();
    end.seen.into_iter().map(item).collect()
}

fn item(seen: Seen) -> Item {
    match seen {
        Seen::Text(text) => Item::Text(text.into_bytes()),
        Seen::Unchecked(payload) => panic!("unchecked text: {payload:?}"),
        Seen::Binary(payload) => Item::Binary(payload),
        Seen::Ping(payload) => Item::Ping(payload),
        Seen::Pong(payload) => Item::Pong(payload),
        Seen::Closed(info) => end(&info),
    }
}

fn end(info: &CloseInfo) -> Item {
    match (&info.error, &info.received) {
        (Some(ConnectionError::Eof), None) => Item::Eof,
        (None, Some(close)) => {
            let code = close.code.map(|code| code.get().to_be_bytes());
            Item::Close(code.map_or_else(Vec::new, |code| [&code, close.reason.as_bytes()].concat()))
        }
        (Some(error), None) if error.is_peer_fault() => {
            let sent = info.sent.as_ref().and_then(|close| close.code).expect("the Close is answered");
            Item::Violation(sent.get())
        }
        _ => panic!("unexpected end: {info:?}"),
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Server, Role::Client])
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![usize::MAX]),
        proptest::collection::vec(1..40_usize, 1..6),
        proptest::collection::vec(1..700_usize, 1..6)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_connection_agrees_with_the_reference_decoder(
        frames in sequence(),
        corruptions in corruptions(),
        role in roles(),
        sizes in sizes(),
    ) {
        let bytes = stream(&frames, &corruptions, role);
        let expected = decode(&bytes, role == Role::Server, LIMIT as u64);
        prop_assert_eq!(machine(role, &bytes, &sizes), expected);
    }

    #[test]
    fn the_connection_agrees_with_the_reference_decoder_on_frames_of_any_kind(
        frames in proptest::collection::vec(any_frame(), 0..6),
        role in roles(),
        sizes in sizes(),
    ) {
        let bytes = stream(&frames, &[], role);
        let expected = decode(&bytes, role == Role::Server, LIMIT as u64);
        prop_assert_eq!(machine(role, &bytes, &sizes), expected);
    }

    #[test]
    fn the_reference_decoder_reads_what_a_connection_sends(
        messages in proptest::collection::vec((any::<bool>(), letters(90), 0..126_usize), 0..10),
        large in prop::sample::select(vec![0, 125, 126, 65_535, 65_536, 140_000]),
        role in roles(),
    ) {
        let mut end = Endpoint::new(role);
        let mut expected = Vec::new();
        for (is_text, payload, ping) in messages {
            let (kind, item) = if is_text {
                (MessageKind::Text, Item::Text(payload.clone().into_bytes()))
            } else {
                (MessageKind::Binary, Item::Binary(payload.clone().into_bytes()))
            };
            end.connection.send(kind, payload.as_bytes(), &mut end.tx).unwrap();
            expected.push(item);
            end.sends_ping(&vec![b'p'; ping]);
            expected.push(Item::Ping(vec![b'p'; ping]));
        }
        end.sends_owned(vec![9; large]);
        expected.push(Item::Binary(vec![9; large]));
        end.closes(4000, "€");
        expected.push(Item::Close(b"\x0f\xa0\xe2\x82\xac".to_vec()));
        prop_assert_eq!(decode(&end.outbound.bytes, role == Role::Client, 1 << 20), expected);
    }
}

#[test]
fn the_generated_sequences_cover_every_item_and_every_end() {
    let (mut runner, mut seen) = (TestRunner::deterministic(), BTreeMap::new());
    for _ in 0..1000 {
        let frames = sequence().new_tree(&mut runner).unwrap().current();
        let corruptions = corruptions().new_tree(&mut runner).unwrap().current();
        for item in decode(&stream(&frames, &corruptions, Role::Server), true, LIMIT as u64) {
            let name = match item {
                Item::Violation(code) => code.to_string(),
                Item::Close(_) => "Close".to_owned(),
                item => format!("{item:?}").split('(').next().unwrap_or_default().to_owned(),
            };
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    println!("{seen:?}");
    for name in ["Text", "Binary", "Ping", "Pong", "Close", "Eof", "1002", "1007", "1009"] {
        assert!(seen.get(name).is_some_and(|count| *count > 20), "{name}: {seen:?}");
    }
}
