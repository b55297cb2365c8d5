//! The grammar of `Sec-WebSocket-Extensions`, and a server's answers to arbitrary offers.

use http::{HeaderMap, HeaderValue, header};
use ws_proto::{
    Config,
    deflate::DeflateConfig,
    handshake::{ExtensionParam, Request, ServerHandshake, parse_extensions},
};

use crate::input::Input;

fn config(choice: u8) -> Config {
    let mut deflate = DeflateConfig::server();
    deflate.send_takeover = choice & 1 != 0;
    deflate.receive_takeover = choice & 2 != 0;
    deflate.send_window_bits = 9 + (choice >> 2) % 7;
    deflate.receive_window_bits = 9 + (choice >> 5) % 7;
    let mut config = Config::default();
    config.deflate = Some(deflate);
    config
}

fn request(offer: &HeaderValue) -> Request {
    let mut request = Request::new(());
    *request.uri_mut() = "/".parse().expect("a path");
    for (name, value) in [
        (header::HOST, "example.com"),
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, offer.clone());
    request
}

pub fn extensions(data: &[u8]) {
    let mut input = Input::new(data);
    let config = config(input.byte());
    let Ok(offer) = HeaderValue::from_bytes(input.rest()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer.clone());
    let parsed = parse_extensions(&headers);
    let handshake = ServerHandshake::new(&request(&offer));
    assert_eq!(parsed.is_some(), handshake.is_ok(), "what cannot be parsed fails the handshake");
    let (Some(parsed), Ok(mut handshake)) = (parsed, handshake) else { return };

    // A parsed header that is written and parsed again gives the same value.
    let said: Vec<String> = parsed
        .iter()
        .map(|extension| {
            let params = extension.params.iter().map(|ExtensionParam { name, value }| match value {
                Some(value) => format!("; {name}={value}"),
                None => format!("; {name}"),
            });
            extension.name.clone() + &params.collect::<String>()
        })
        .collect();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, said.join(", ").parse().expect("tokens"));
    assert_eq!(parse_extensions(&headers), Some(parsed.clone()));

    let agreed = handshake.negotiate(&config.clone().validate().expect("valid")).deflate();
    let offers = parsed.iter().any(|extension| extension.name.eq_ignore_ascii_case("permessage-deflate"));
    assert!(agreed.is_none() || offers);
    if let (Some(agreed), Some(deflate)) = (agreed, &config.deflate) {
        assert!((9..=deflate.send_window_bits).contains(&agreed.server_max_window_bits));
        assert!((8..=15).contains(&agreed.client_max_window_bits));
        assert!(deflate.send_takeover || agreed.server_no_context_takeover);
        assert!(deflate.receive_takeover || agreed.client_no_context_takeover);
    }
}
