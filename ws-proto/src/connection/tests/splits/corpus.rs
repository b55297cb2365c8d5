//! Sequences of frames, valid and invalid, with several ways to start, continue and end.

use super::super::wire::{CLOSE, Frame, binary, close, continuation, empty_close, frame, ping, pong, text};

/// Text with characters of one to four bytes.
const LETTERS: &[u8] = "aé€😀".as_bytes();

/// First frames; some of them leave a message open.
fn beginnings() -> [Vec<Frame>; 5] {
    [
        vec![],
        vec![text("a€")],
        vec![text(b"a\xe2\x82").not_final()],
        vec![binary("b").not_final(), ping("p"), continuation("").not_final()],
        vec![pong(""), binary("")],
    ]
}

fn valid() -> Vec<Frame> {
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

fn invalid() -> Vec<Frame> {
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

/// Sequences with more than one fault: every split must give the answer to the same one.
fn invalid_twice() -> Vec<Frame> {
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

/// Every length around a boundary of the header's forms, and different keys.
fn lengths_and_keys() -> Vec<Vec<Frame>> {
    let mut sequences = Vec::new();
    for length in [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128] {
        sequences.push(vec![text("b").not_final(), continuation(vec![b'c'; length])]);
        sequences.push(vec![binary(vec![0x81; length])]);
    }
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [0x80, 0, 0, 0], [0xa5, 0x5a, 0xf0, 0x0f]] {
        sequences.push(vec![text(LETTERS).with_key(key), binary((0..40).collect::<Vec<u8>>()).with_key(key)]);
        sequences.push(vec![
            text(&LETTERS[..2]).not_final().with_key(key),
            continuation(&LETTERS[2..]).with_key([1, 2, 3, 4]),
        ]);
    }
    sequences
}

/// A message in fragments with control frames in between; text is split within characters.
fn fragments() -> Vec<Vec<Frame>> {
    let mut sequences = Vec::new();
    for cut in 0..=LETTERS.len() {
        let (head, tail) = LETTERS.split_at(cut);
        sequences.push(vec![text(head).not_final(), continuation(tail)]);
        sequences.push(vec![text(head).not_final(), ping(tail), pong(head), continuation(tail)]);
        sequences.push(vec![text(head).not_final(), continuation("").not_final(), close(1000, "")]);
    }
    for between in [ping([1; 125]), pong(""), empty_close(), close(1002, "no"), text("no"), binary("")] {
        sequences.push(vec![
            binary("1").not_final(),
            continuation("2").not_final(),
            between.clone(),
            continuation("3"),
        ]);
        sequences.push(vec![binary("").not_final(), between, continuation("").not_final(), continuation("")]);
    }
    sequences
}

/// Bytes that are not UTF-8, in one frame, in two, and at the end of a message.
fn invalid_text() -> Vec<Vec<Frame>> {
    let bad: [&[u8]; 14] = [
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc3(",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x28\xa1",
        b"\xe2\x82",
        b"\xf0\x80\x80\x80",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
    ];
    let mut sequences = Vec::new();
    for bad in bad {
        let payload = [b"a\xc3\xa9", bad].concat();
        sequences.push(vec![text(&payload)]);
        sequences.push(vec![text(&payload).not_final(), ping("p"), continuation("!")]);
        for cut in 3..payload.len() {
            let (head, tail) = payload.split_at(cut);
            sequences.push(vec![text(head).not_final(), continuation(tail)]);
        }
    }
    sequences
}

fn closes() -> Vec<Vec<Frame>> {
    let codes =
        [0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65_535];
    let mut frames: Vec<Frame> = codes.map(|code| close(code, "r")).into();
    frames.extend([
        close(1000, [b'r'; 123]),
        close(1000, "é€😀"),
        close(1000, b"\xe2\x82"),
        close(1000, b"\xed\xa0\x80"),
    ]);
    frames.extend([close(1000, [b'r'; 124]), frame(CLOSE, b"\x03")]);
    frames.into_iter().map(|close| vec![close, text("late"), empty_close()]).collect()
}

/// All short sequences. With `max_message_size` 400 and `max_fragments` 6, some of them exceed a limit.
pub(super) fn corpus() -> Vec<Vec<Frame>> {
    let mut corpus = Vec::new();
    for beginning in beginnings() {
        for frame in valid().into_iter().chain(invalid()).chain(invalid_twice()) {
            corpus.push([beginning.clone(), vec![frame, text("tail")]].concat());
        }
    }
    corpus.extend([lengths_and_keys(), fragments(), invalid_text(), closes()].concat());
    corpus.push((0..7).map(|at| if at == 0 { text("") } else { continuation("") }.not_final()).collect());
    corpus.push(vec![binary([1; 300]).not_final(), continuation([2; 100]), text("fits")]);
    corpus.push(vec![binary([1; 300]).not_final(), continuation([2; 101]), text("does not fit")]);
    corpus
}

/// Sequences too long for one read, with the largest forms of a length.
pub(super) fn large() -> Vec<Vec<Frame>> {
    let letters: String = ('a'..='z').chain("é€😀".chars()).cycle().take(70_000).collect();
    let bad = [letters.as_bytes(), b"\xff", letters.as_bytes()].concat();
    vec![
        vec![text(&letters), ping("p"), binary(vec![1; 66_000])],
        vec![
            text(&letters.as_bytes()[..40_001]).not_final(),
            ping("p"),
            continuation(&letters.as_bytes()[40_001..]),
        ],
        vec![text(&bad), text("tail")],
        vec![binary(vec![1; 70_000]).not_final(), continuation(vec![2; 70_000]), frame(3, b"")],
        vec![binary(vec![1; 70_000]), close(1000, "")],
        vec![binary(vec![3; 65_535]), text("between"), binary(vec![4; 65_536])],
        vec![binary(vec![5; 65_535]).length_in_64_bits(), text("tail")],
    ]
}

/// Compressed messages, whole and in fragments, and invalid ones.
#[cfg(feature = "deflate")]
pub(super) fn compressed() -> Vec<Vec<Frame>> {
    use super::super::compression::{HELLO, deflated};

    let long = deflated(&b"the same and the same again, ".repeat(40));
    let mut sequences = vec![
        vec![rsv1(text(HELLO)), text("tail")],
        vec![rsv1(text(HELLO)), rsv1(text(HELLO)), text("plain")],
        vec![rsv1(binary(&long)), ping("p")],
        vec![rsv1(text(b"\x00"))],
        vec![rsv1(text(""))],
        vec![rsv1(text(deflated("é€😀".as_bytes())))],
        vec![rsv1(text(deflated(b"\xff")))],
        vec![rsv1(binary(b"\xff\xff\xff")), text("tail")],
        vec![rsv1(binary(&HELLO[..4])), text("tail")],
        vec![rsv1(ping("p"))],
        vec![rsv1(text(&HELLO[..3])).not_final(), rsv1(continuation(&HELLO[3..]))],
        vec![rsv1(binary("")).announcing(1 << 40)],
    ];
    for cut in 0..=HELLO.len() {
        let (head, tail) = HELLO.split_at(cut);
        sequences.push(vec![rsv1(text(head)).not_final(), ping("p"), continuation(tail), rsv1(text(HELLO))]);
    }
    sequences
}

#[cfg(feature = "deflate")]
fn rsv1(frame: Frame) -> Frame {
    frame.with_reserved_bits(0x40)
}
