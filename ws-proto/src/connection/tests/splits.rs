//! How the bytes are cut must not matter: every split of every sequence gives the same events and the same answer.

use crate::{BufferPool, BufferPoolConfig, Config, ReceiveBuffer, Role};

use super::{
    bench::{Endpoint, Seen, config},
    wire::{CLOSE, Frame, binary, close, continuation, empty_close, frame, ping, pong, text},
};

/// All that an application and a peer can see.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    sent: Vec<u8>,
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

fn limits() -> std::sync::Arc<Config> {
    config(|config| {
        config.limits.max_message_size = 400;
        config.limits.max_fragments = 6;
    })
}

/// An echo that gets `pieces`, one read each, and then the end of the stream.
fn outcome<'a>(
    role: Role,
    config: &std::sync::Arc<Config>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    let mut end = Endpoint::with_buffer(role, config, ReceiveBuffer::new(512, pool));
    end.echoes = true;
    for piece in pieces {
        end.receives_bytes(piece);
    }
    end.peer_hangs_up();
    assert!(matches!(end.seen.back(), Some(Seen::Closed(_))));
    Outcome { seen: end.seen.into(), sent: end.outbound.bytes }
}

/// What may come first; some of it leaves a message open.
fn beginnings() -> [Vec<Frame>; 5] {
    [
        vec![],
        vec![text("a€")],
        vec![text(b"a\xe2\x82").not_final()],
        vec![binary("b").not_final(), ping("p"), continuation("").not_final()],
        vec![pong(""), binary("")],
    ]
}

fn legal() -> Vec<Frame> {
    let mut frames = vec![
        text(""),
        text("Hello"),
        text("é€😀"),
        text("x").not_final(),
        text(b"\xf0\x9f").not_final(),
        binary([0; 125]),
        binary([1; 126]),
        binary(b"\x00\xff").not_final(),
        continuation(""),
        continuation(b"\xac!"),
        continuation(b"\xac!").not_final(),
        continuation("").not_final(),
        ping(""),
        ping("ping"),
        ping([9; 125]),
        pong(""),
        pong("pong"),
        empty_close(),
    ];
    frames.extend([close(1000, ""), close(1001, "going"), close(3000, "ü€"), close(4999, [b'r'; 60])]);
    frames
}

fn illegal() -> Vec<Frame> {
    let mut frames: Vec<Frame> = (3..8).chain(11..16).map(|opcode| frame(opcode, b"x")).collect();
    frames.extend([0x40, 0x20, 0x10].map(|bit| text("x").with_reserved_bits(bit)));
    frames.extend([
        text("x").masked_wrongly(),
        ping("x").masked_wrongly(),
        continuation("x").masked_wrongly(),
    ]);
    frames.extend([
        text("x").length_in_16_bits(),
        binary("x").length_in_64_bits(),
        ping("x").length_in_16_bits(),
    ]);
    frames.extend([1 << 63, u64::MAX, 1 << 40, 401].map(|length| binary("x").announcing(length)));
    frames.extend([
        ping("x").not_final(),
        close(1000, "").not_final(),
        pong([0; 126]),
        frame(CLOSE, &[7; 130]),
    ]);
    frames.extend([text(b"\xff"), text(b"ab\xc3("), text(b"\xc3"), text(b"\xf4\x90").not_final()]);
    frames.extend([
        frame(CLOSE, b"x"),
        close(1005, ""),
        close(1000, b"\xff"),
        close(999, b"\xff"),
        close(65535, ""),
    ]);
    frames
}

/// More than one fault: the answer must be to the same one however the bytes are cut.
fn doubly_illegal() -> Vec<Frame> {
    vec![
        frame(3, b"x").masked_wrongly(),
        frame(3, b"x").with_reserved_bits(0x40),
        frame(11, b"x").not_final().with_reserved_bits(0x20).masked_wrongly(),
        text("x").with_reserved_bits(0x10).masked_wrongly(),
        text("x").length_in_16_bits().masked_wrongly(),
        text("x").announcing(1 << 63).masked_wrongly(),
        binary("x").announcing(5).length_in_64_bits().with_reserved_bits(0x40),
        ping([0; 126]).not_final(),
        ping([0; 126]).masked_wrongly(),
        ping("x").not_final().with_reserved_bits(0x70),
        close(1005, b"\xff").masked_wrongly(),
        text(b"\xff").announcing(401),
    ]
}

fn corpus() -> Vec<Vec<Frame>> {
    let mut corpus = Vec::new();
    for beginning in beginnings() {
        for frame in legal().into_iter().chain(illegal()).chain(doubly_illegal()) {
            corpus.push([beginning.clone(), vec![frame, text("tail")]].concat());
        }
    }
    corpus.push((0..7).map(|at| if at == 0 { text("") } else { continuation("") }.not_final()).collect());
    corpus.push(vec![binary([1; 300]).not_final(), continuation([2; 100]), text("fits")]);
    corpus.push(vec![binary([1; 300]).not_final(), continuation([2; 101]), text("does not fit")]);
    corpus
}

fn bytes_of(frames: &[Frame], role: Role) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect()
}

/// Compares what `cuts` give for every sequence of the corpus with what one read of it all gives.
fn holds_for_the_corpus(cuts: impl Fn(usize) -> Vec<Vec<usize>>) -> usize {
    let config = limits();
    let mut runs = 0;
    for frames in corpus() {
        for role in ROLES {
            let bytes = bytes_of(&frames, role);
            let whole = outcome(role, &config, [&bytes[..]]);
            for cut in cuts(bytes.len()) {
                let edges = [&[0], &cut[..], &[bytes.len()]].concat();
                let pieces = edges.windows(2).map(|edge| &bytes[edge[0]..edge[1]]);
                assert_eq!(outcome(role, &config, pieces), whole, "{role:?} {frames:?} cut at {cut:?}");
                runs += 1;
            }
        }
    }
    runs
}

#[test]
fn the_corpus_is_large_and_gives_all_kinds_of_outcomes() {
    let corpus = corpus();
    assert!(corpus.len() >= 200, "{}", corpus.len());
    let config = limits();
    let mut replies = std::collections::BTreeSet::new();
    for frames in &corpus {
        let outcome = outcome(Role::Server, &config, [&bytes_of(frames, Role::Server)[..]]);
        let Some(Seen::Closed(info)) = outcome.seen.last() else { panic!("not closed") };
        replies.insert(info.sent.as_ref().map(|close| close.code.map(u16::from)));
    }
    for code in [1000, 1001, 1002, 1007, 1008, 1009, 3000, 4999] {
        assert!(replies.contains(&Some(Some(code))), "{code}");
    }
    assert!(replies.contains(&None) && replies.contains(&Some(None)));
}

#[test]
fn every_split_in_two_is_equal_to_the_whole() {
    assert!(holds_for_the_corpus(|length| (0..=length).map(|at| vec![at]).collect()) > 10_000);
}

#[test]
fn every_split_of_a_short_sequence_in_three_is_equal_to_the_whole() {
    let runs = holds_for_the_corpus(|length| {
        let length = if length <= 26 { length } else { 0 };
        (0..length).flat_map(|first| (first..length).map(move |second| vec![first, second])).collect()
    });
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn byte_by_byte_is_equal_to_the_whole() {
    holds_for_the_corpus(|length| vec![(0..length).collect()]);
}

#[test]
fn pieces_of_every_small_size_are_equal_to_the_whole() {
    holds_for_the_corpus(|length| (2..8).map(|size| (0..length).step_by(size).collect()).collect());
}

#[test]
fn two_messages_at_every_offset_to_each_other_are_equal_to_the_whole() {
    // The same sequence in one window, at every place in it.
    let config = limits();
    for role in ROLES {
        for length in 0..140 {
            let frames = [binary(vec![7; length]), text("é").not_final(), ping("p"), continuation("€")];
            let bytes = bytes_of(&frames, role);
            let whole = outcome(role, &config, [&bytes[..]]);
            assert_eq!(whole.seen.len(), 4);
            for size in [1, 5, 64] {
                assert_eq!(outcome(role, &config, bytes.chunks(size)), whole, "{length} in pieces of {size}");
            }
        }
    }
}

#[test]
fn large_messages_are_equal_to_the_whole_however_they_are_cut() {
    let config = config(|_| ());
    let letters: String = ('a'..='z').chain("é€😀".chars()).cycle().take(70_000).collect();
    let bad = [letters.as_bytes(), b"\xff", letters.as_bytes()].concat();
    let sequences = [
        vec![text(&letters), ping("p"), binary(vec![1; 66_000])],
        vec![
            text(&letters.as_bytes()[..40_001]).not_final(),
            ping("p"),
            continuation(&letters.as_bytes()[40_001..]),
        ],
        vec![text(&bad), text("tail")],
        vec![binary(vec![1; 70_000]).not_final(), continuation(vec![2; 70_000]), frame(3, b"")],
        vec![binary(vec![1; 70_000]), close(1000, "")],
    ];
    for frames in sequences {
        for role in ROLES {
            let bytes = bytes_of(&frames, role);
            let whole = outcome(role, &config, [&bytes[..]]);
            for size in [97, 4096, 16_383, 16_385, 65_537] {
                let cut = outcome(role, &config, bytes.chunks(size));
                assert!(cut == whole, "{role:?} in pieces of {size}");
            }
            for at in [1, 2, 3, 9, 10, 11, 14, 15, 4100, 16_384, 16_398, 16_399, 65_536, 65_550] {
                let (head, tail) = bytes.split_at(at);
                assert!(outcome(role, &config, [head, tail]) == whole, "{role:?} cut at {at}");
            }
        }
    }
}
