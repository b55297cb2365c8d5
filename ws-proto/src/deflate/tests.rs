use http::{HeaderMap, HeaderValue, header};

use crate::header_syntax::{Extension, parse_extensions};

use super::{
    DeflateConfig, DeflateParams, SharedDeflate, accept_answer, accept_offer,
    codec::{Deflater, Inflated, Inflater},
    offer, small_encoder,
};

fn parse(header: &str) -> Vec<Extension> {
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(header).unwrap());
    parse_extensions(&headers).unwrap()
}

fn server(change: impl FnOnce(&mut DeflateConfig)) -> SharedDeflate {
    let mut config = DeflateConfig::server();
    change(&mut config);
    SharedDeflate::new(config)
}

fn client(change: impl FnOnce(&mut DeflateConfig)) -> SharedDeflate {
    let mut config = DeflateConfig::client();
    change(&mut config);
    SharedDeflate::new(config)
}

fn with_takeover(config: &mut DeflateConfig) {
    config.send_takeover = true;
    config.receive_takeover = true;
}

/// The server's answer to an offer.
fn answer(config: &SharedDeflate, offered: &str) -> Option<String> {
    accept_offer(config, &parse(offered)).map(|(_, answer)| answer)
}

// The server's side of RFC 7692 sections 5 and 7.1.

#[test]
fn a_plain_offer_is_accepted_without_takeover_by_default() {
    let answer = answer(&server(|_| ()), "permessage-deflate").unwrap();
    assert_eq!(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
}

#[test]
fn a_server_that_keeps_contexts_asks_for_nothing() {
    assert_eq!(answer(&server(with_takeover), "permessage-deflate").unwrap(), "permessage-deflate");
}

#[test]
fn each_requested_parameter_is_answered() {
    let cases = [
        ("server_no_context_takeover", "; server_no_context_takeover"),
        ("client_no_context_takeover", "; client_no_context_takeover"),
        ("server_max_window_bits=9", "; server_max_window_bits=9"),
        ("server_max_window_bits=15", "; server_max_window_bits=15"),
        ("server_max_window_bits=\"10\"", "; server_max_window_bits=10"),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=15", ""),
        ("client_max_window_bits=10", "; client_max_window_bits=10"),
        // A smaller window than the inflater's: its window of 32 KiB is large enough.
        ("client_max_window_bits=8", "; client_max_window_bits=8"),
        (
            "server_max_window_bits=11; client_max_window_bits=12; client_no_context_takeover",
            "; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
        ),
    ];
    for (asked, answered) in cases {
        let got = answer(&server(with_takeover), &format!("permessage-deflate; {asked}")).unwrap();
        assert_eq!(got, format!("permessage-deflate{answered}"), "{asked}");
    }
}

#[test]
fn an_invalid_offer_is_declined() {
    for asked in [
        "unknown",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "client_max_window_bits=0",
        "client_max_window_bits=99999999999999999999",
        "server_max_window_bits=10; server_max_window_bits=10",
    ] {
        assert_eq!(answer(&server(|_| ()), &format!("permessage-deflate; {asked}")), None, "{asked}");
    }
}

#[test]
fn a_window_that_zlib_does_not_support_is_declined() {
    assert_eq!(answer(&server(|_| ()), "permessage-deflate; server_max_window_bits=8"), None);
}

#[test]
fn the_first_acceptable_offer_is_accepted() {
    let offers = "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, \
        permessage-deflate; server_max_window_bits=10, permessage-deflate";
    let answer = answer(&server(with_takeover), offers).unwrap();
    assert_eq!(answer, "permessage-deflate; server_max_window_bits=10");
    assert!(accept_offer(&server(|_| ()), &parse("permessage-bzip2, foo; bar=1")).is_none());
    assert!(accept_offer(&server(|_| ()), &[]).is_none());
}

#[test]
fn a_server_limits_windows_if_the_client_supports_it() {
    let narrow = server(|config| {
        with_takeover(config);
        config.send_window_bits = 10;
        config.receive_window_bits = 11;
    });
    let answered = answer(&narrow, "permessage-deflate; client_max_window_bits").unwrap();
    assert_eq!(answered, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11");
    // A client that does not offer the parameter must not get it (section 7.1.2.2).
    assert_eq!(
        answer(&narrow, "permessage-deflate").unwrap(),
        "permessage-deflate; server_max_window_bits=10"
    );
}

// The client's side.

#[test]
fn a_client_offers_its_configuration() {
    let cases = [
        (client(|_| ()), "permessage-deflate; client_max_window_bits"),
        (
            server(|_| ()),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (
            client(|config| config.receive_window_bits = 10),
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits",
        ),
        (client(|config| config.send_window_bits = 9), "permessage-deflate; client_max_window_bits=9"),
    ];
    for (config, expected) in cases {
        assert_eq!(offer(&config), expected);
    }
}

#[test]
fn a_client_accepts_an_answer_to_its_offer() {
    let config = client(|_| ());
    let params = |header| accept_answer(&config, &parse(header)).unwrap().unwrap().params;
    let plain = DeflateParams {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    assert_eq!(params("permessage-deflate"), plain);
    assert_eq!(
        params("permessage-deflate; server_no_context_takeover"),
        DeflateParams { server_no_context_takeover: true, ..plain }
    );
    assert_eq!(
        params("permessage-deflate; client_no_context_takeover; client_max_window_bits=9"),
        DeflateParams { client_no_context_takeover: true, client_max_window_bits: 9, ..plain }
    );
    assert_eq!(
        params("permessage-deflate; server_max_window_bits=8"),
        DeflateParams { server_max_window_bits: 8, ..plain }
    );
    assert_eq!(accept_answer(&config, &[]), Ok(None));
}

#[test]
fn a_client_refuses_an_answer_that_does_not_match_its_offer() {
    let wide = client(|_| ());
    let strict = client(|config| {
        config.receive_takeover = false;
        config.receive_window_bits = 10;
        config.send_window_bits = 10;
    });
    let cases = [
        (&wide, "permessage-bzip2"),
        (&wide, "permessage-deflate, permessage-deflate"),
        (&wide, "permessage-deflate, foo"),
        (&wide, "permessage-deflate; foo"),
        (&wide, "permessage-deflate; server_max_window_bits"),
        (&wide, "permessage-deflate; server_max_window_bits=16"),
        // Only an offer may have the parameter without a value (section 7.1.2.2).
        (&wide, "permessage-deflate; client_max_window_bits"),
        (&wide, "permessage-deflate; client_max_window_bits=7"),
        (&wide, "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        // A requested parameter must be granted.
        (&strict, "permessage-deflate"),
        (&strict, "permessage-deflate; server_no_context_takeover"),
        (&strict, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11"),
        (
            &strict,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
        ),
    ];
    for (config, header) in cases {
        assert_eq!(accept_answer(config, &parse(header)), Err(()), "{header}");
    }
    let granted = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
    assert!(accept_answer(&strict, &parse(granted)).unwrap().is_some());
}

#[test]
fn every_offer_and_answer_of_this_crate_agree() {
    for bits in 0..16_u8 {
        let choose = |config: &mut DeflateConfig| {
            config.send_takeover = bits & 1 != 0;
            config.receive_takeover = bits & 2 != 0;
            config.send_window_bits = if bits & 4 != 0 { 15 } else { 9 };
            config.receive_window_bits = if bits & 8 != 0 { 15 } else { 10 };
        };
        for other in 0..16_u8 {
            let choose_other = |config: &mut DeflateConfig| {
                config.send_takeover = other & 1 != 0;
                config.receive_takeover = other & 2 != 0;
                config.send_window_bits = if other & 4 != 0 { 15 } else { 11 };
                config.receive_window_bits = if other & 8 != 0 { 15 } else { 9 };
            };
            let (client, server) = (client(choose), server(choose_other));
            let (agreed, answer) = accept_offer(&server, &parse(&offer(&client))).unwrap();
            let understood = accept_answer(&client, &parse(&answer)).unwrap().unwrap();
            assert_eq!(understood.params.server_max_window_bits, agreed.params.server_max_window_bits);
            assert!(understood.params.client_max_window_bits <= agreed.params.client_max_window_bits);
            assert_eq!(
                understood.params.server_no_context_takeover,
                agreed.params.server_no_context_takeover
            );
            assert!(
                understood.params.client_no_context_takeover || !agreed.params.client_no_context_takeover
            );
        }
    }
}

// The memory budget for contexts.

#[test]
fn no_context_is_kept_beyond_the_budget() {
    let config = server(|config| {
        with_takeover(config);
        let price = SharedDeflate::new(config.clone()).takeover_price();
        config.codec_budget = 2 * (price.sending + price.receiving);
    });
    let agree = || accept_offer(&config, &parse("permessage-deflate")).unwrap();
    let (first, answer) = agree();
    assert_eq!(answer, "permessage-deflate");
    let (second, answer) = agree();
    assert_eq!(answer, "permessage-deflate");
    let (_, answer) = agree();
    assert_eq!(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    assert_eq!(config.pool.reserved(), config.codec_budget);
    drop(first);
    assert_eq!(agree().1, "permessage-deflate", "released memory can be reserved again");
    drop(second);
    assert_eq!(config.pool.reserved(), 0);
}

#[test]
fn a_client_without_budget_keeps_only_the_context_that_the_server_requires() {
    let config = client(|config| config.codec_budget = 0);
    let agreed = accept_answer(&config, &parse("permessage-deflate")).unwrap().unwrap();
    assert!(agreed.params.client_no_context_takeover);
    assert!(!agreed.params.server_no_context_takeover);
    assert!(config.pool.reserved() > 0);
}

#[test]
fn an_error_names_the_option_and_the_value_out_of_range() {
    let error = |config: SharedDeflate| config.check().unwrap_err().to_string();
    for level in [0, 10] {
        let error = error(server(|config| config.level = level));
        assert!(error.starts_with(&format!("deflate.level = {level}: ")), "{error}");
    }
    let sent = error(server(|config| config.send_window_bits = 8));
    assert!(sent.starts_with("deflate.send_window_bits = 8: "), "{sent}");
    let received = error(server(|config| config.receive_window_bits = 16));
    assert!(received.starts_with("deflate.receive_window_bits = 16: "), "{received}");
}

// The codec: the examples of RFC 7692 section 7.2.3.

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
        let whole = compress_small(payload, 15);
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

// The encoder for small messages.

/// Inflates with a window of `window_bits`, using the library alone.
fn inflate_within(compressed: &[u8], window_bits: u8, len: usize) -> Vec<u8> {
    let mut raw = flate2::Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::with_capacity(len + 1);
    let input = [compressed, &[0, 0, 0xff, 0xff]].concat();
    raw.decompress_vec(&input, &mut out, flate2::FlushDecompress::Sync).expect("valid");
    assert_eq!(raw.total_in() as usize, input.len(), "all input is read");
    out
}

fn compress_small(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut out = Vec::new();
    small_encoder::deflate(payload, window_bits, &mut out);
    assert!((1..=payload.len() + payload.len() / 8 + 16).contains(&out.len()));
    assert_eq!(inflate_within(&out, window_bits, payload.len()), payload, "{window_bits} bits");
    assert_eq!(inflate(&mut Inflater::default(), &out).as_deref(), Ok(payload));
    out
}

#[test]
fn the_small_encoder_compresses_hello_as_the_rfc_does() {
    assert_eq!(compress_small(b"Hello", 15), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(compress_small(b"", 15), [0x02, 0x00]);
}

#[test]
fn repetitions_of_every_length_and_distance_are_found() {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let unique: Vec<u8> = (0..small_encoder::MOST).map(|_| random()).collect();
    for length in (4..=258).chain([259, 300, 515, 516, 517, 518, 1000]) {
        let payload = [&unique[..1000], &unique[..length]].concat();
        assert!(compress_small(&payload, 15).len() < 1100, "a repetition of {length} bytes");
    }
    for distance in [1, 2, 3, 4, 5, 100, 512, 513, 1024, 5000, 16_384, 30_000] {
        let payload =
            [&unique[..distance], &unique[..distance.min(1000)], &unique[..distance.min(4)]].concat();
        compress_small(&payload, 15);
        compress_small(&payload, 9);
        compress_small(&payload, 12);
    }
    compress_small(&vec![b'a'; small_encoder::MOST], 9);
    compress_small(&unique, 15);
    let text = b"{\"symbol\":\"BTC-EUR\",\"price\":42},".repeat(20);
    assert!(compress_small(&text, 15).len() < text.len() / 8);
}

proptest::proptest! {
    #[test]
    fn what_the_small_encoder_compresses_inflates_to_the_original(
        words in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 1..12), 1..30),
        order in proptest::collection::vec(0_usize..30, 0..400),
        window_bits in 9_u8..=15,
    ) {
        let payload: Vec<u8> = order.iter().flat_map(|at| words[at % words.len()].clone()).collect();
        compress_small(&payload, window_bits);
    }
}
