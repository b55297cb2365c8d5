//! `close` ends the client in every state.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use ws_client::{
    CloseCode, Config, Message, Reconnecting,
    reconnecting::{Accepted, Cause, Event, Outcome, SendError, WhenFull, WhileAway},
};

use crate::support::{Io, Network, next, run, server_config, up};

const SECOND: Duration = Duration::from_secs(1);

/// Sets its flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn in_the_middle_of_an_attempt_it_ends_at_once() {
    run(async {
        for by_sender in [false, true] {
            let dropped = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&dropped);
            let mut client = Reconnecting::<Io>::dialling(move |_| {
                let flag = Flag(Arc::clone(&flag));
                async move {
                    let _flag = flag;
                    pending().await
                }
            })
            .build();
            let sender = client.sender();
            if by_sender {
                tokio::spawn(async move {
                    sleep(SECOND).await;
                    sender.close(CloseCode::NORMAL, "");
                });
            } else {
                assert!(tokio::time::timeout(SECOND, client.next_event()).await.is_err());
                client.close(CloseCode::NORMAL, "");
            }
            let start = Instant::now();
            assert!(client.next_event().await.is_none());
            assert!(start.elapsed() <= SECOND && dropped.load(Ordering::SeqCst));
            assert_eq!(client.outcome(), Some(Outcome::Closed));
            assert!(client.next_event().await.is_none());
        }
    });
}

#[test]
fn in_a_delay_it_ends_at_once_and_reports_what_was_kept() {
    run(async {
        let mut client = Reconnecting::<Io>::dialling(|_| async {
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
        })
        .while_away(WhileAway::Keep { bytes: 1000, when_full: WhenFull::Refuse })
        .build();
        assert!(matches!(next(&mut client).await, Event::AttemptFailed(_)));
        let sender = client.sender();
        assert_eq!(sender.try_send("kept"), Ok(Accepted::Kept));
        client.close(CloseCode::NORMAL, "");
        let start = Instant::now();
        assert!(matches!(next(&mut client).await, Event::Unsent(messages) if messages == ["kept"]));
        assert!(client.next_event().await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(sender.try_send("late"), Err(SendError::Over("late".into())));
    });
}

#[test]
fn a_connection_gets_a_closing_handshake_behind_what_was_sent() {
    run(async {
        let network = Network::default();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, mut server) = network.connect(16, Config::default());
            tokio::spawn(async move {
                server.send("last words").await.unwrap();
                assert_eq!(server.recv().await, Some(Message::binary(vec![7; 1000])));
                assert!(server.recv().await.is_none());
                let received = server.close_info().unwrap().received.unwrap();
                assert_eq!((received.code, &*received.reason), (Some(CloseCode::GOING_AWAY), "bye"));
            });
            async { Ok(client) }
        })
        .build();
        up(&mut client).await;
        assert_eq!(client.sender().try_send(vec![7; 1000]), Ok(Accepted::Queued { connection: 1 }));
        client.close(CloseCode::GOING_AWAY, "bye");
        client.sender().close(CloseCode::NORMAL, "the first call counts");
        assert!(matches!(next(&mut client).await, Event::Message(_)));
        let event = next(&mut client).await;
        let Event::Down(down) = event else { panic!("{event:?}") };
        assert!(matches!(&down.cause, Cause::Closed(info) if info.is_clean()), "{:?}", down.cause);
        assert_eq!((down.retry_in, down.accepted, down.in_doubt.len()), (None, 1, 0));
        assert!(client.next_event().await.is_none());
        assert_eq!(client.outcome(), Some(Outcome::Closed));
    });
}

#[test]
fn a_server_that_does_not_answer_holds_up_a_close_for_the_close_timeout() {
    run(async {
        let network = Network::default();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, server) = network.connect(1024, Config::default());
            async move {
                tokio::spawn(async move {
                    let _server = server;
                    pending::<()>().await;
                });
                Ok(client)
            }
        })
        .build();
        up(&mut client).await;
        client.close(CloseCode::NORMAL, "");
        let start = Instant::now();
        assert!(matches!(next(&mut client).await, Event::Down(down) if down.retry_in.is_none()));
        assert!(start.elapsed() <= 6 * SECOND, "{:?}", start.elapsed());
        assert!(client.next_event().await.is_none());
    });
}

/// The connection has no `write_timeout`. With one, the write ends it.
#[test]
fn a_server_that_reads_nothing_holds_up_a_close_for_twice_the_close_timeout_at_most() {
    run(async {
        let network = Network::default();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, server) = network.connect(16, server_config());
            async move {
                tokio::spawn(async move {
                    let _server = server;
                    pending::<()>().await;
                });
                Ok(client)
            }
        })
        .build();
        up(&mut client).await;
        assert_eq!(client.sender().try_send(vec![7; 1000]), Ok(Accepted::Queued { connection: 1 }));
        client.close(CloseCode::NORMAL, "");
        let start = Instant::now();
        let event = next(&mut client).await;
        let Event::Down(down) = event else { panic!("{event:?}") };
        assert!(start.elapsed() <= 11 * SECOND, "{:?}", start.elapsed());
        assert_eq!((down.retry_in, down.in_doubt.len()), (None, 1));
        assert!(client.next_event().await.is_none());
    });
}

#[test]
fn dropping_the_client_ends_its_connection_and_its_senders() {
    run(async {
        let network = Network::default();
        let dialled = network.clone();
        let mut client = Reconnecting::dialling(move |_| {
            let (client, server) = dialled.connect(16, Config::default());
            tokio::spawn(async move {
                let _server = server;
                pending::<()>().await;
            });
            async { Ok(client) }
        })
        .build();
        up(&mut client).await;
        let sender = client.sender();
        let waiting = tokio::spawn(async move {
            loop {
                if let Err(error) = sender.send(vec![0; 1 << 20]).await {
                    return error;
                }
            }
        });
        sleep(SECOND).await;
        assert_eq!(network.connections(), 1);
        drop(client);
        assert_eq!(network.connections(), 0);
        assert!(matches!(waiting.await.unwrap(), SendError::Over(_)));
    });
}
