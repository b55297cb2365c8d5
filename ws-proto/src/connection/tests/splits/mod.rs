//! The result must not depend on how the bytes are split: every split of every sequence gives the same events and the
//! same answer.

mod corpus;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use crate::{
    ReceiveBuffer, Role, ValidConfig,
    memory::{BufferPool, BufferPoolConfig},
};

use super::{
    endpoint::{Endpoint, Seen, config},
    wire::{Frame, binary, continuation, ping, text},
};

use corpus::{corpus, large};

/// Everything that the application and the peer can observe.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    sent: Vec<u8>,
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];
/// Sequences up to this many bytes are split in three everywhere.
const SHORT: usize = 200;
/// The limit for sequences that start with frames of other sequences, which are split on their own.
const VERY_SHORT: usize = 48;

fn limits() -> ValidConfig {
    config(|config| {
        config.limits.max_message_size = 400;
        config.limits.max_fragments = 6;
    })
}

/// An echo application that receives `pieces`, one read each, and then the end of the stream.
fn outcome<'a>(role: Role, config: &ValidConfig, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    outcome_of(Endpoint::with_buffer(role, config, small_buffer()), pieces)
}

fn small_buffer() -> ReceiveBuffer {
    let pool = BufferPool::new(BufferPoolConfig { preheat: 0, ..BufferPoolConfig::default() });
    ReceiveBuffer::new(512, pool)
}

fn outcome_of<'a>(mut end: Endpoint, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    end.echoes = true;
    for piece in pieces {
        end.receives_bytes(piece);
    }
    end.peer_hangs_up();
    assert!(matches!(end.seen.back(), Some(Seen::Closed(_))));
    Outcome { seen: end.seen.into(), sent: end.outbound.bytes }
}

fn bytes_of(frames: &[Frame], role: Role) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect()
}

/// The pieces between the cuts, which are sorted.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let edges = [&[0], cuts, &[bytes.len()]].concat();
    edges.windows(2).map(|edge| &bytes[edge[0]..edge[1]]).collect()
}

fn in_two(length: usize) -> Vec<Vec<usize>> {
    (0..=length).map(|at| vec![at]).collect()
}

fn in_three(length: usize) -> Vec<Vec<usize>> {
    (0..length).flat_map(|first| (first..length).map(move |second| vec![first, second])).collect()
}

/// Compares the outcome of `cuts`, which gets the frames and their length in bytes, with the outcome of one read.
fn check_corpus(roles: &[Role], cuts: impl Fn(&[Frame], usize) -> Vec<Vec<usize>>) -> usize {
    let config = limits();
    let mut runs = 0;
    for frames in corpus() {
        for role in roles {
            let bytes = bytes_of(&frames, *role);
            let whole = outcome(*role, &config, [&bytes[..]]);
            for cut in cuts(&frames, bytes.len()) {
                let cut_up = outcome(*role, &config, pieces(&bytes, &cut));
                assert!(cut_up == whole, "{role:?} {frames:?} cut at {cut:?}: {cut_up:?}, not {whole:?}");
                runs += 1;
            }
        }
    }
    println!("{runs} splits");
    runs
}

#[test]
fn the_corpus_is_large_and_gives_all_kinds_of_outcomes() {
    let corpus = corpus();
    println!("{} sequences", corpus.len());
    assert!(corpus.len() >= 450, "{}", corpus.len());
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
fn every_split_in_two_gives_the_result_of_the_whole() {
    let runs = check_corpus(&ROLES, |_, length| in_two(length));
    assert!(runs > 30_000, "{runs}");
}

fn every_split_in_three(role: Role) {
    let runs = check_corpus(&[role], |frames, length| {
        let most = if frames.len() <= 2 { SHORT } else { VERY_SHORT };
        if length <= most { in_three(length) } else { Vec::new() }
    });
    assert!(runs > 150_000, "{runs}");
}

#[test]
fn every_split_in_three_gives_the_result_of_the_whole_for_a_server() {
    every_split_in_three(Role::Server);
}

#[test]
fn every_split_in_three_gives_the_result_of_the_whole_for_a_client() {
    every_split_in_three(Role::Client);
}

#[test]
fn single_bytes_give_the_result_of_the_whole() {
    check_corpus(&ROLES, |_, length| vec![(0..length).collect()]);
}

#[test]
fn bytes_set_aside_after_each_event_give_the_result_of_the_whole() {
    let config = limits();
    for frames in corpus() {
        for role in ROLES {
            let bytes = bytes_of(&frames, role);
            let whole = outcome(role, &config, [&bytes[..]]);
            for cut in in_two(bytes.len()) {
                let mut end = Endpoint::with_buffer(role, &config, small_buffer());
                end.sets_aside = true;
                let set_aside = outcome_of(end, pieces(&bytes, &cut));
                assert!(
                    set_aside == whole,
                    "{role:?} {frames:?} cut at {cut:?}: {set_aside:?}, not {whole:?}"
                );
            }
        }
    }
}

#[test]
fn pieces_of_every_small_size_give_the_result_of_the_whole() {
    check_corpus(&ROLES, |_, length| (2..8).map(|size| (0..length).step_by(size).collect()).collect());
}

#[test]
fn two_messages_at_every_offset_give_the_result_of_the_whole() {
    // The same sequence at every position of a window.
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
fn large_messages_give_the_result_of_the_whole_for_any_split() {
    let config = config(|_| ());
    for frames in large() {
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

/// Positions around each header, and around the sizes at which the implementation changes its strategy.
fn positions_of_interest(frames: &[Frame], role: Role, length: usize) -> Vec<usize> {
    let mut places = vec![16_384, 65_536];
    let mut start = 0;
    for frame in frames {
        let header: [usize; 5] = [0, 1, 2, 10, 14];
        places.extend(header.map(|offset| start + offset));
        start += frame.encode(role == Role::Server).len();
        places.push(start - 1);
    }
    places.sort_unstable();
    places.dedup();
    places.retain(|at| *at < length);
    places
}

#[test]
fn large_messages_split_in_three_give_the_result_of_the_whole() {
    let (config, mut rng, mut runs) = (config(|_| ()), ChaCha8Rng::seed_from_u64(3), 0);
    for frames in large() {
        for role in ROLES {
            let bytes = bytes_of(&frames, role);
            let whole = outcome(role, &config, [&bytes[..]]);
            let places = positions_of_interest(&frames, role, bytes.len());
            let mut cuts: Vec<[usize; 2]> = Vec::new();
            for (at, first) in places.iter().enumerate() {
                cuts.extend(places[at + 1..].iter().map(|second| [*first, *second]));
            }
            for _ in 0..20 {
                let mut below = |bound: usize| rng.next_u32() as usize % bound;
                let (one, other) = (below(bytes.len()), below(bytes.len()));
                cuts.push([one.min(other), one.max(other)]);
            }
            for cut in cuts {
                assert!(outcome(role, &config, pieces(&bytes, &cut)) == whole, "{role:?} cut at {cut:?}");
                runs += 1;
            }
        }
    }
    println!("{runs} splits");
    assert!(runs > 1000, "{runs}");
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_give_the_result_of_the_whole_for_any_split() {
    use super::compression;

    let mut runs = 0;
    let with_takeover = compression::with_deflate(|_, deflate| {
        (deflate.send_takeover, deflate.receive_takeover) = (true, true);
    });
    for config in [compression::with_deflate(|_, _| ()), with_takeover] {
        for frames in corpus::compressed() {
            for role in ROLES {
                let bytes = bytes_of(&frames, role);
                let run =
                    |cuts: &[usize]| outcome_of(compression::endpoint(role, &config), pieces(&bytes, cuts));
                let whole = run(&[]);
                let three = if bytes.len() <= VERY_SHORT / 2 { in_three(bytes.len()) } else { Vec::new() };
                for cut in [in_two(bytes.len()), three, vec![(0..bytes.len()).collect()]].concat() {
                    let cut_up = run(&cut);
                    assert!(cut_up == whole, "{role:?} {frames:?} cut at {cut:?}: {cut_up:?}, not {whole:?}");
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} splits");
    assert!(runs > 5000, "{runs}");
}
