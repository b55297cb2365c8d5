//! Handshakes that are dropped after each number of polls: they free what they hold.
//!
//! | future | test |
//! |---|---|
//! | `Acceptor::accept`, `Acceptor::read_request`, `PendingUpgrade::accept`, `PendingUpgrade::reject` | `wherever_a_handshake_is_dropped_its_stream_is_released`, `wherever_a_stream_fails_the_handshake_says_so` |
//! | `Tls::accept` | `wherever_a_tls_handshake_is_dropped_its_stream_is_released` |
//!
//! Servers and shutdowns: `dropped_servers`.

use std::io;

use e2e_tests::{
    certificates::Authority,
    faults::{SlowTransport, dropped_after},
    harness::run,
    raw_peer::RequestHead,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpListener,
};
use ws_server::{Acceptor, Message, Rejection, WebSocket, error::AcceptError};

type Stream = SlowTransport<DuplexStream>;

/// A step of a handshake on an accepted stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Accept,
    ReadRequest,
    PendingAccept,
    PendingReject,
}

const STEPS: [Step; 4] = [Step::Accept, Step::ReadRequest, Step::PendingAccept, Step::PendingReject];

fn acceptor() -> Acceptor {
    Acceptor::new()
}

/// Runs the step and drops it after `polls` polls. `None`: it was dropped.
async fn take(
    step: Step,
    polls: usize,
    io: Stream,
) -> Option<Result<Option<WebSocket<Stream>>, AcceptError>> {
    let acceptor = acceptor();
    match step {
        Step::Accept => dropped_after(polls, acceptor.accept(io)).await.map(|result| result.map(Some)),
        Step::ReadRequest => {
            let read = dropped_after(polls, acceptor.read_request(io, Vec::new())).await?;
            Some(match read {
                Ok(pending) => pending.accept().await.map(Some),
                Err(error) => Err(error),
            })
        }
        Step::PendingAccept => match acceptor.read_request(io, Vec::new()).await {
            Ok(pending) => dropped_after(polls, pending.accept()).await.map(|result| result.map(Some)),
            Err(error) => Some(Err(error)),
        },
        Step::PendingReject => match acceptor.read_request(io, Vec::new()).await {
            Ok(pending) => {
                dropped_after(polls, pending.reject(Rejection::default())).await.map(|()| Ok(None))
            }
            Err(error) => Some(Err(error)),
        },
    }
}

/// An in-memory client that has sent its request and its first message.
async fn asked(fails_after: usize) -> (DuplexStream, Stream) {
    let (mut client, server) = duplex(4096);
    client.write_all(&RequestHead::new("localhost", "/").to_bytes()).await.unwrap();
    client.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
    (client, SlowTransport::new(server, 3).failing_after(fails_after))
}

/// Checks that the client receives at most a response, and then the end of the stream.
async fn sees_the_end(mut client: DuplexStream) {
    let mut rest = Vec::new();
    // Unread bytes of the client turn the end into a reset.
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest.starts_with(b"H"), "{rest:?}");
}

#[test]
fn wherever_a_handshake_is_dropped_its_stream_is_released() {
    run(async {
        for step in STEPS {
            let mut polls = 0;
            let done = loop {
                let (client, server) = asked(usize::MAX).await;
                if let Some(result) = take(step, polls, server).await {
                    break result.unwrap();
                }
                sees_the_end(client).await;
                polls += 1;
            };
            assert!(polls > 20, "{step:?}: only {polls} polls");
            match done {
                Some(mut ws) => assert_eq!(ws.recv().await, Some(Message::text("hello")), "{step:?}"),
                None => assert_eq!(step, Step::PendingReject),
            }
        }
    });
}

#[test]
fn wherever_a_stream_fails_the_handshake_says_so() {
    run(async {
        for step in [Step::Accept, Step::ReadRequest, Step::PendingAccept] {
            for fails_after in 0.. {
                let (client, server) = asked(fails_after).await;
                match take(step, usize::MAX, server).await.unwrap() {
                    Ok(_) => {
                        assert!(fails_after > 100, "{step:?}: it needs no more than {fails_after} polls");
                        break;
                    }
                    Err(AcceptError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
                    Err(error) => panic!("{step:?}: {error}"),
                }
                sees_the_end(client).await;
            }
        }
    });
}

#[test]
fn wherever_a_tls_handshake_is_dropped_its_stream_is_released() {
    run(async {
        let authority = Authority::new();
        let identity = authority.issue(&["127.0.0.1"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let trust = ws_client::Tls::builder()
            .roots(ws_client::tls::Roots::None)
            .authority(authority.pem())
            .build()
            .unwrap();
        let connector = ws_client::Connector::new().tls(trust);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        for polls in 0.. {
            let serve = async {
                let (io, _) = listener.accept().await.unwrap();
                let io = dropped_after(polls, tls.accept(SlowTransport::new(io, 64))).await?;
                Some(acceptor().accept(io.unwrap()).await.unwrap())
            };
            let (served, connected) = tokio::join!(serve, connector.connect(&url));
            assert_eq!(served.is_some(), connected.is_ok(), "after {polls} polls");
            if served.is_some() {
                assert!(polls > 10, "only {polls} polls");
                break;
            }
        }
    });
}
