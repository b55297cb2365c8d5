//! `WebSocket::server` and `WebSocket::client`, for a handshake that was done elsewhere.

use ws_proto::{Message, Role};
use ws_tokio::WebSocket;

use crate::support::{Frame, TestTransport, config};

#[tokio::test]
async fn a_server_is_made_of_a_stream_and_a_configuration() {
    let (io, peer) = TestTransport::new(Role::Server);
    let early = Frame::text("came with the request").encode(true);
    let mut ws = WebSocket::server(io, config().validate().unwrap()).with_received(&early);
    peer.send(Frame::text("came later"));
    for text in ["came with the request", "came later"] {
        assert_eq!(ws.recv().await, Some(Message::text(text)));
    }
    ws.send("reply").await.unwrap();
    assert_eq!(peer.received(), [Frame::text("reply")]);
}

#[cfg(feature = "client")]
#[tokio::test]
async fn a_client_is_made_of_a_stream_and_a_configuration() {
    let (io, peer) = TestTransport::new(Role::Client);
    let early = Frame::text("came with the response").encode(false);
    let mut ws = WebSocket::client(io, config().validate().unwrap()).unwrap().with_received(&early);
    assert_eq!(ws.recv().await, Some(Message::text("came with the response")));
    ws.send("masked").await.unwrap();
    assert_eq!(peer.received(), [Frame::text("masked")]);
}

#[cfg(feature = "client")]
#[tokio::test]
async fn each_client_has_mask_keys_of_its_own() {
    use tokio::io::AsyncReadExt as _;

    let mut keys = Vec::new();
    for _ in 0..3 {
        let (io, mut peer) = tokio::io::duplex(100);
        let mut ws = WebSocket::client(io, config().validate().unwrap()).unwrap();
        for _ in 0..3 {
            ws.send("").await.unwrap();
            let mut frame = [0; 6];
            peer.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame[..2], [0x81, 0x80], "an empty text, masked");
            keys.push(u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    // Nine random keys of 32 bits hardly ever have two pairs of equal ones.
    assert!(keys.len() >= 8, "{keys:?}");
}
