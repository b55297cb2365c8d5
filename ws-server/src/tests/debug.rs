//! Public types have a `Debug` that prints no secrets and no payloads.

use std::fmt::Debug;

use ws_proto::handshake::Rejection;

use crate::{
    Acceptor, Conn, OriginPolicy, PendingUpgrade, Request, Server, ServerBuilder, ServerStream,
    ShardedServer, ShutdownHandle, ShutdownReport,
    adopt::{Adopter, OpeningRequest, Reservation},
    close::Shutdown,
    error::{AcceptError, AdoptError, ReserveError},
    proxy::{Forwarded, Network, NetworkError, Networks, ProxyProtocol},
};

const fn is_debug<T: Debug>() {}

/// A stream without `Debug`.
struct Stream;

#[test]
fn every_public_type_has_debug() {
    is_debug::<Acceptor>();
    is_debug::<AcceptError>();
    is_debug::<Adopter>();
    is_debug::<AdoptError>();
    is_debug::<Conn<'_>>();
    is_debug::<Forwarded>();
    is_debug::<Network>();
    is_debug::<NetworkError>();
    is_debug::<Networks>();
    is_debug::<OpeningRequest>();
    is_debug::<OriginPolicy>();
    is_debug::<PendingUpgrade<Stream>>();
    is_debug::<ProxyProtocol>();
    is_debug::<Rejection>();
    is_debug::<Request>();
    is_debug::<Reservation>();
    is_debug::<ReserveError>();
    is_debug::<Server>();
    is_debug::<ServerBuilder>();
    is_debug::<ServerStream>();
    is_debug::<ShardedServer>();
    is_debug::<Shutdown>();
    is_debug::<ShutdownHandle>();
    is_debug::<ShutdownReport>();
    #[cfg(feature = "tls-core")]
    is_debug::<crate::Tls>();
    #[cfg(feature = "tls-core")]
    is_debug::<crate::tls::TlsStream<tokio::net::TcpStream>>();
}

#[test]
fn a_builder_prints_its_limits() {
    let builder = Server::builder().max_connections(1000).on_request(|_| Ok(()));
    let printed = format!("{builder:?}");
    assert!(printed.contains("max_connections: Some(1000)"), "{printed}");
    assert!(printed.contains("max_handshakes: None"), "{printed}");
}

#[tokio::test]
async fn a_request_that_waits_for_a_decision_prints_no_bytes_and_no_subprotocols() {
    let request = "GET /chat?token=secret HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: token.secret\r\n\r\nsecret";
    let pending = Acceptor::new().read_request(tokio::io::empty(), request.into()).await.unwrap();
    let printed = format!("{pending:?}");
    assert!(printed.contains("/chat") && !printed.contains("secret"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", b"secret")), "{printed}");
}
