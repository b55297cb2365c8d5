//! The transport fails at every possible moment. Complete messages are delivered once, and the failure is reported.

use std::{io::ErrorKind, time::Duration};

use tokio::time::timeout;
use ws_proto::{CloseCode, Message, error::ConnectionError};

use crate::support::{Frame, Peer, ROLES, cancelled_after, config, echo, open, serve, text};

const POLLS: usize = 200;
const MESSAGES: usize = 8;

/// How the transport fails, and the error that is reported.
type Fault = (fn(&Peer), ConnectionError);

const FAULTS: [Fault; 4] = [
    (Peer::end, ConnectionError::Eof),
    (
        |peer| peer.fail_reads(ErrorKind::ConnectionReset),
        ConnectionError::Transport(ErrorKind::ConnectionReset),
    ),
    (|peer| peer.fail_writes(ErrorKind::BrokenPipe), ConnectionError::Transport(ErrorKind::BrokenPipe)),
    (Peer::refuse_writes, ConnectionError::Transport(ErrorKind::WriteZero)),
];

fn messages() -> Vec<String> {
    (0..MESSAGES).map(|number| text(number, 12)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_moment_ends_a_connection_that_receives_and_sends() {
    for role in ROLES {
        for polls in 0..POLLS {
            for (at, (fail, expected)) in FAULTS.iter().enumerate() {
                let context = format!("{role:?}, fault {at} after {polls} polls");
                let (mut ws, peer) = open(role);
                peer.move_single_bytes();
                peer.send_all(messages().into_iter().map(Frame::text));
                let mut got = Vec::new();
                let echo = async {
                    while let Some(message) = ws.recv().await {
                        got.push(message.clone());
                        let _ = ws.send(message).await;
                    }
                };
                cancelled_after(polls, echo).await;
                fail(&peer);
                // Something must be written too, so that a failure of writes shows.
                let _ = ws.feed("behind").await;
                let rest = async {
                    while let Some(message) = ws.recv().await {
                        got.push(message);
                    }
                };
                timeout(Duration::from_secs(60), rest).await.expect(&context);
                let expected_messages: Vec<Message> = messages().into_iter().map(Message::from).collect();
                assert_eq!(got, expected_messages[..got.len()], "{context}");
                let info = ws.close_info().unwrap();
                assert_eq!((info.code(), info.error), (1006, Some(*expected)), "{context}");
                let echoes = peer.received();
                let echoed: Vec<Frame> = messages().into_iter().map(Frame::text).collect();
                let sent = echoes.strip_suffix(&[Frame::text("behind")]).unwrap_or(&echoes);
                assert_eq!(sent, &echoed[..sent.len()], "{context}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_moment_ends_a_close() {
    for role in ROLES {
        for polls in 0..40 {
            for (fail, _) in FAULTS {
                let (mut ws, peer) = open(role);
                peer.move_single_bytes();
                cancelled_after(polls, ws.close(CloseCode::NORMAL, "enough")).await;
                fail(&peer);
                let info =
                    timeout(Duration::from_secs(60), ws.close(CloseCode::NORMAL, "enough")).await.unwrap();
                assert!(!info.is_clean() && info.error.is_some(), "{role:?}, {polls} polls: {info:?}");
                assert!(peer.is_disconnected());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_moment_ends_a_connection_under_a_server() {
    for polls in 0..POLLS {
        for (fail, expected) in FAULTS {
            let (mut server, peer) = serve(config(), echo);
            peer.move_single_bytes();
            peer.send_all(messages().into_iter().map(Frame::text));
            cancelled_after(polls, &mut server).await;
            fail(&peer);
            peer.send(Frame::ping("its pong is written"));
            let info = timeout(Duration::from_secs(60), server).await.expect("it ends");
            assert_eq!((info.code(), info.error), (1006, Some(expected)), "{polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn under_a_server_a_transport_that_moves_single_bytes_loses_nothing() {
    let (server, peer) = serve(config(), echo);
    peer.move_single_bytes();
    let messages: Vec<Frame> = (0..100).map(|number| Frame::text(text(number, number))).collect();
    peer.send_all(messages.clone());
    peer.send(Frame::close(1000, ""));
    peer.end();
    assert!(server.await.is_clean());
    let mut received = peer.received();
    assert_eq!(received.pop(), Some(Frame::close(1000, "")));
    assert_eq!(received, messages);
}
