use super::{Deflater, Inflated, Inflater};
use crate::deflate::small_encoder;

fn deflate(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(deflater.deflate(payload, true, &mut out));
    out
}

/// Inflates into output of `room` bytes at a time.
fn inflate_by(inflater: &mut Inflater, mut input: &[u8], room: usize) -> Result<Vec<u8>, ()> {
    let mut out = Vec::new();
    loop {
        let mut piece = vec![0; room];
        match inflater.inflate(&mut input, true, &mut piece)? {
            Inflated::More(n) => out.extend(&piece[..n]),
            Inflated::Done(n) => {
                out.extend(&piece[..n]);
                assert!(input.is_empty());
                return Ok(out);
            }
        }
    }
}

/// An inflater with a context.
fn keeping() -> Inflater {
    let mut inflater = Inflater::default();
    inflater.keep_context(15);
    inflater
}

fn inflate(inflater: &mut Inflater, input: &[u8]) -> Result<Vec<u8>, ()> {
    inflate_by(inflater, input, 4096)
}

#[test]
fn hello_is_compressed_as_in_the_rfc() {
    let mut deflater = Deflater::new(6, 15);
    assert_eq!(deflate(&mut deflater, b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(
        deflate(&mut deflater, b"Hello"),
        [0xf2, 0x00, 0x11, 0x00, 0x00],
        "with the context of the message before"
    );
    deflater.reset();
    assert_eq!(deflate(&mut deflater, b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
}

#[test]
fn the_examples_of_the_rfc_inflate_to_hello() {
    let examples: [&[u8]; 5] = [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        // A block without compression.
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        // A last block.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        // Two blocks.
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        // With the tail, as a second, empty flush.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
    ];
    for example in examples {
        for room in [1, 4, 5, 6, 4096] {
            for mut inflater in [Inflater::default(), keeping()] {
                assert_eq!(inflate_by(&mut inflater, example, room), Ok(b"Hello".to_vec()), "{example:x?}");
                inflater.reset();
                assert_eq!(inflate_by(&mut inflater, examples[0], room), Ok(b"Hello".to_vec()));
            }
        }
    }
    let mut inflater = keeping();
    inflate(&mut inflater, examples[0]).unwrap();
    assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00]), Ok(b"Hello".to_vec()));
}

#[test]
fn an_empty_message_is_one_byte_compressed() {
    let mut deflater = Deflater::new(1, 15);
    let mut inflater = keeping();
    for _ in 0..3 {
        let compressed = deflate(&mut deflater, b"");
        assert_eq!(compressed, [0x00], "an empty message has one byte");
        assert_eq!(inflate(&mut inflater, &compressed), Ok(Vec::new()), "{compressed:x?}");
    }
    for mut inflater in [Inflater::default(), inflater] {
        assert_eq!(inflate(&mut inflater, &[]), Err(()), "the block's first byte is missing");
    }
}

#[test]
fn every_truncated_message_is_refused() {
    let text = b"All work and no play makes Jack a dull boy. ".repeat(40);
    let noise: Vec<u8> = (0..2000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for payload in [&text[..], &noise, b"Hello"] {
        for level in [1, 6, 9] {
            let whole = deflate(&mut Deflater::new(level, 15), payload);
            for len in 0..whole.len() {
                for room in [7, 4096] {
                    let inflated = inflate_by(&mut Inflater::default(), &whole[..len], room);
                    assert_eq!(inflated, Err(()), "{len} of {} bytes, level {level}", whole.len());
                }
            }
        }
        let mut whole = Vec::new();
        small_encoder::deflate(payload, 15, &mut whole);
        for len in 0..whole.len() {
            assert_eq!(inflate(&mut Inflater::default(), &whole[..len]), Err(()), "{len} of {}", whole.len());
        }
    }
}

#[test]
fn most_truncated_messages_are_refused_with_a_context() {
    let text = b"All work and no play makes Jack a dull boy. ".repeat(40);
    let whole = deflate(&mut Deflater::new(6, 15), &text);
    let refused = (0..whole.len()).filter(|len| inflate(&mut keeping(), &whole[..*len]).is_err()).count();
    assert!(refused * 4 >= whole.len() * 3, "{refused} of {}", whole.len());
    assert_eq!(inflate(&mut keeping(), &whole[..whole.len() - 1]), Err(()));
}

#[test]
fn deflated_messages_inflate_to_the_original() {
    let mut noise = 1_u32;
    let mut random = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    };
    let incompressible: Vec<u8> = (0..100_000).map(|_| random()).collect();
    let text = b"All work and no play makes Jack a dull boy. ".repeat(4000);
    for (level, bits) in [(1, 9), (1, 15), (6, 15), (9, 12)] {
        let mut deflater = Deflater::new(level, bits);
        let mut inflater = keeping();
        for payload in [&b"x"[..], &text, &incompressible, &text[..1000], &incompressible[..5]] {
            let compressed = deflate(&mut deflater, payload);
            assert!(compressed.len() <= payload.len() + payload.len() / 8 + 64);
            assert_eq!(inflate(&mut inflater, &compressed).as_deref(), Ok(payload));
        }
    }
}

#[test]
fn a_message_may_be_deflated_in_pieces() {
    let text = b"one, two, three, four, five, six, seven ".repeat(3000);
    let mut deflater = Deflater::new(1, 15);
    let mut compressed = Vec::new();
    let mut pieces = text.chunks(7_777).peekable();
    while let Some(piece) = pieces.next() {
        assert!(deflater.deflate(piece, pieces.peek().is_none(), &mut compressed));
    }
    assert_eq!(inflate(&mut Inflater::default(), &compressed), Ok(text));
}

#[test]
fn invalid_deflate_data_is_refused() {
    for nonsense in [&[0xff, 0xff, 0xff][..], &[0x07], b"hello world"] {
        assert_eq!(inflate(&mut Inflater::default(), nonsense), Err(()), "{nonsense:x?}");
    }
}

#[test]
fn a_reference_beyond_the_context_is_refused() {
    // The message refers to one that this inflater has not seen.
    assert_eq!(inflate(&mut Inflater::default(), &[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(()));
}

#[test]
fn the_deflater_stays_within_a_small_window() {
    // The data repeats beyond 512 bytes: a decoder with a window of that size must be able to read it.
    let mut random = 7_u32;
    let block: Vec<u8> = (0..600)
        .map(|_| {
            random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (random >> 16) as u8
        })
        .collect();
    let payload = block.repeat(4);
    let compressed = deflate(&mut Deflater::new(9, 9), &payload);
    let mut raw = flate2::Decompress::new_with_window_bits(false, 9);
    let mut out = Vec::with_capacity(payload.len() + 64);
    let input = [&compressed[..], &[0, 0, 0xff, 0xff]].concat();
    raw.decompress_vec(&input, &mut out, flate2::FlushDecompress::Sync).unwrap();
    assert_eq!(out, payload);
}
