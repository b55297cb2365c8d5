//! The same for connections that compress.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use ws_proto::{
    Config, Connection,
    deflate::DeflateConfig,
    handshake::{RequestReader, ServerHandshake},
};

use super::{After, Fixture, frame, frames};
use crate::connection::handler_task::FAST_TURNS;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn config(takeover: bool) -> Config {
    let (mut config, mut deflate) = (Config::default(), DeflateConfig::server());
    (deflate.send_takeover, deflate.receive_takeover) = (takeover, takeover);
    config.deflate = Some(deflate);
    config
}

/// Sets that the handshake has agreed upon compression.
fn agree(connection: Connection) -> Connection {
    let read = RequestReader::new(&connection.config().limits).read(REQUEST);
    let (request, _) = read.expect("valid").expect("whole");
    let extensions = ServerHandshake::new(&request).expect("an upgrade").negotiate(connection.config());
    connection.with_extensions(extensions)
}

/// This message compressed, as a frame has it (RFC 7692 section 7.2.1).
fn compress(message: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(2 * message.len() + 64);
    let mut encoder = Compress::new(Compression::default(), false);
    encoder.compress_vec(message, &mut compressed, FlushCompress::Sync).expect("room");
    assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]));
    compressed.truncate(compressed.len() - 4);
    compressed
}

fn compressed_frames() -> impl Strategy<Value = Vec<u8>> {
    let orders = prop::sample::select(b"eeeeeeeeennnoopssllwx".to_vec());
    let message = (orders, prop::sample::select(vec![0, 1, 19, 125, 126, 1000, 30_000]));
    let data = message.prop_map(|(order, len)| [vec![order], vec![b'.'; len]].concat());
    let payload = data.prop_map(|data| compress(&data));
    let truncated = compress(b"eeeeeeeeeeeeeeeeeeee");
    let rare = prop::sample::select(vec![
        frame(0xc1, b"\xff\xff"),
        frame(0xc1, &truncated[..truncated.len() - 1]),
        frame(0xc1, b""),
        frame(0xc1, &compress(b"e\xff")),
        frame(0xc8, b""),
        frame(0x81, b"c"),
        // It is inflated in slices.
        frame(0xc2, &compress(&[b'n'; 600_000])),
    ]);
    let in_two = |payload: Vec<u8>| {
        let (first, second) = payload.split_at(payload.len() / 2);
        [frame(0x41, first), frame(0x89, b"between"), frame(0x80, second)].concat()
    };
    prop_oneof![
        15 => payload.clone().prop_map(|payload| frame(0xc1, &payload)),
        5 => payload.clone().prop_map(|payload| frame(0xc2, &payload)),
        3 => payload.prop_map(in_two),
        6 => frames(),
        1 => rare,
    ]
}

#[test]
fn an_echo_that_is_compressed_takes_a_fast_turn() {
    for takeover in [false, true] {
        FAST_TURNS.set(0);
        let request = frame(0xc1, &compress(&[b'e'; 1000]));
        let (seen, _, received) =
            Fixture::with(After::Event, config(takeover), agree).run(&request, &[request.len()]);
        assert_eq!(seen.events.len(), 2, "{seen:?}");
        assert_eq!(received.expect("all was read")[0], 0xc1);
        assert_eq!(FAST_TURNS.get(), 1, "one for the message, none for the end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_a_turn_of_a_connection_that_compresses_does_what_a_usual_turn_does(
        frames in prop::collection::vec(compressed_frames(), 1..20),
        parts in prop::collection::vec(1_usize..200, 1..6),
        whole in any::<bool>(),
        takeover in any::<bool>(),
    ) {
        let bytes = frames.concat();
        let parts: Vec<usize> = if whole { frames.iter().map(Vec::len).collect() } else { parts };
        let fixture = |after| Fixture::with(after, config(takeover), agree);
        let (seen, totals, received) = fixture(After::Event).run(&bytes, &parts);
        let (usual, usual_totals, usual_received) = fixture(After::Usual).run(&bytes, &parts);
        prop_assert_eq!(seen, usual);
        prop_assert_eq!(totals, usual_totals);
        if received.is_some() && usual_received.is_some() {
            prop_assert_eq!(received, usual_received);
        }
    }
}
