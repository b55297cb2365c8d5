//! `Reconnecting` on real sockets, with a server process that is killed or stopped.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e_tests::{
    harness,
    pauses::{Pauses, within},
};
use rustix::process::Signal;
use ws_client::{
    CloseCode, Connector, Keepalive, Reconnecting,
    error::{ConnectError, ConnectionError, TimedOut},
    reconnecting::{Accepted, Backoff, Cause, Event, Outcome, WhenFull, WhileAway},
};

use crate::program::{ECHO_SERVER, Program};

/// An address of its own: a client's own port cannot be the server's.
fn echo_server() -> (Program, String) {
    Program::server(ECHO_SERVER, &["--listen", "127.77.0.2:0"], "listening on ")
}

/// A client that connects to whatever URL is current.
fn client(connector: Connector, url: &str) -> (Reconnecting, Arc<Mutex<String>>) {
    let url = Arc::new(Mutex::new(url.to_owned()));
    let current = Arc::clone(&url);
    let client = Reconnecting::builder(connector, move |_| {
        let url = current.lock().unwrap().clone();
        async move { Ok(url) }
    })
    .backoff(Backoff::full_jitter(Duration::from_millis(10), Duration::from_millis(50)))
    .while_away(WhileAway::Keep { bytes: 1 << 20, when_full: WhenFull::Refuse })
    .build();
    (client, url)
}

/// The number of the next connection. Attempts may fail before.
async fn up(client: &mut Reconnecting) -> u64 {
    loop {
        match client.next_event().await {
            Some(Event::Up(up)) => return up.connection,
            Some(Event::AttemptFailed(failed)) => assert!(failed.retry_in.is_some(), "{failed:?}"),
            other => panic!("{other:?}"),
        }
    }
}

async fn expect_message(client: &mut Reconnecting, text: &str) {
    match client.next_event().await {
        Some(Event::Message(message)) => assert_eq!(message.as_text(), Some(text)),
        other => panic!("{other:?}"),
    }
}

async fn close(client: &mut Reconnecting) {
    client.close(CloseCode::NORMAL, "");
    while client.next_event().await.is_some() {}
    assert_eq!(client.outcome(), Some(Outcome::Closed));
}

#[test]
fn a_server_that_is_killed_and_restarted_is_found_again() {
    harness::run(async {
        let (mut server, url) = echo_server();
        let (mut client, current) = client(Connector::new().keepalive(None), &url);
        let sender = client.sender();
        for connection in 1..=5 {
            assert_eq!(up(&mut client).await, connection);
            let text = format!("hello {connection}");
            assert_eq!(sender.send(text.clone()).await, Ok(Accepted::Queued { connection }));
            expect_message(&mut client, &text).await;
            server.kill().await;
            match client.next_event().await {
                Some(Event::Down(down)) => {
                    assert_eq!((down.connection, down.accepted, down.in_doubt.len()), (connection, 1, 0));
                }
                other => panic!("{other:?}"),
            }
            let next;
            (server, next) = echo_server();
            *current.lock().unwrap() = next;
        }
        up(&mut client).await;
        close(&mut client).await;
    });
}

#[test]
fn a_server_that_is_stopped_is_found_dead_and_kept_messages_go_out_when_it_continues() {
    harness::run(within(Duration::from_secs(1), async |patience| {
        let (server, url) = echo_server();
        let keepalive = Keepalive::new(patience, patience);
        let connector = Connector::new().keepalive(Some(keepalive)).handshake_timeout(patience);
        let pauses = Pauses::begin();
        let (mut client, _) = client(connector, &url);
        up(&mut client).await;
        server.signal(Signal::STOP);
        match client.next_event().await {
            Some(Event::Down(down)) => {
                let Cause::Closed(info) = &down.cause else { panic!("{down:?}") };
                assert_eq!(info.error, Some(ConnectionError::TimedOut(TimedOut::Keepalive)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.sender().try_send("kept"), Ok(Accepted::Kept));
        // The kernel accepts the connection, and nothing answers.
        match client.next_event().await {
            Some(Event::AttemptFailed(failed)) => {
                assert!(matches!(failed.cause, Cause::Connect(ConnectError::TimedOut(_))), "{failed:?}");
            }
            // The first connection was given up before the server was stopped.
            Some(Event::Up(_)) => {
                pauses.assert_missed(patience);
                return false;
            }
            other => panic!("{other:?}"),
        }
        server.signal(Signal::CONT);
        assert_eq!(up(&mut client).await, 2);
        match client.next_event().await {
            Some(Event::Message(message)) => assert_eq!(message.as_text(), Some("kept")),
            // The second connection was given up too.
            Some(Event::Down(_)) => {
                pauses.assert_missed(patience);
                return false;
            }
            other => panic!("{other:?}"),
        }
        close(&mut client).await;
        true
    }));
}
