//! The same with compression.

use http::{HeaderMap, header};

use super::*;
use crate::{
    Role,
    deflate::{DeflateConfig, SharedDeflate, accept_answer, accept_offer, offer},
    handshake::{Extensions, parse_extensions},
};

fn deflates() -> impl Strategy<Value = DeflateConfig> {
    let bits = || prop::sample::select(vec![9, 12, 15]);
    (prop::sample::select(vec![1, 5, 9]), bits(), bits(), sizes(), sizes(), any::<[bool; 2]>()).prop_map(
        |(level, sent, received, threshold, budget, [send_takeover, receive_takeover])| {
            let mut deflate = DeflateConfig::server();
            deflate.level = level;
            deflate.send_window_bits = sent;
            deflate.receive_window_bits = received;
            deflate.threshold = threshold;
            deflate.codec_budget = budget;
            deflate.send_takeover = send_takeover;
            deflate.receive_takeover = receive_takeover;
            deflate
        },
    )
}

fn listed(header: &str) -> Vec<crate::handshake::Extension> {
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, header.parse().unwrap());
    parse_extensions(&headers).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_compression_is_safe(
        client in deflates(),
        server in deflates(),
        ours in configs(),
        theirs in configs(),
        steps in steps(),
        [client_closes, receives] in any::<[bool; 2]>(),
    ) {
        let client = SharedDeflate::new(client);
        let Some((accepted, answer)) = accept_offer(&SharedDeflate::new(server), &listed(&offer(&client))) else { return Ok(()) };
        let agreed = accept_answer(&client, &listed(&answer)).expect("an answer to its own offer");
        let agreed = agreed.expect("an answer that it accepts");
        let agree = |connection: Connection| {
            let deflate = if connection.role() == Role::Client { &agreed } else { &accepted };
            connection.with_extensions(Extensions { deflate: Some(deflate.clone()) })
        };
        let mut pair = Pair::new(&ours, &theirs, agree);
        pair.runs(&steps)?;
        pair.ends_after_a_close_of(client_closes, receives)?;
    }
}
