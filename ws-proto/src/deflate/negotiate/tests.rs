use http::{HeaderMap, HeaderValue, header};

use super::{DeflateParams, accept_answer, accept_offer, offer};
use crate::{
    deflate::{DeflateConfig, SharedDeflate},
    header_syntax::{Extension, parse_extensions},
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
