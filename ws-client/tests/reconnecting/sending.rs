//! Sends: while there is a connection, while there is none, and what is reported.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use ws_client::{
    CloseCode, Config, Message, Reconnecting,
    reconnecting::{Accepted, Builder, Cause, Event, SendError, WhenFull, WhileAway},
};

use crate::support::{Io, Network, ServerSocket, next, run, up};

const SECOND: Duration = Duration::from_secs(1);

/// The server's ends of the connections.
#[derive(Clone, Default)]
struct Servers(Arc<Mutex<Vec<ServerSocket>>>);

impl Servers {
    /// Takes the latest one.
    fn take(&self) -> ServerSocket {
        self.0.lock().unwrap().pop().expect("a connection")
    }
}

fn client(buffer: usize, config: Config) -> (Builder<Io>, Servers) {
    let (network, servers) = (Network::default(), Servers::default());
    let list = servers.clone();
    let builder = Reconnecting::dialling(move |_| {
        let (client, server) = network.connect(buffer, config.clone());
        list.0.lock().unwrap().push(server);
        async { Ok(client) }
    });
    (builder, servers)
}

/// Drops the server's end and returns the event that follows.
async fn lose(client: &mut Reconnecting<Io>, server: ServerSocket) -> ws_client::reconnecting::Down {
    drop(server);
    match next(client).await {
        Event::Down(down) => down,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_names_its_connection_and_a_sender_survives() {
    run(async {
        let (builder, servers) = client(1024, Config::default());
        let mut client = builder.build();
        let sender = client.sender();
        for connection in 1..=3 {
            assert_eq!(sender.connection(), None);
            assert_eq!(up(&mut client).await, connection);
            assert_eq!(sender.connection(), Some(connection));
            let text = format!("message {connection}");
            assert_eq!(sender.send(text.clone()).await, Ok(Accepted::Queued { connection }));
            assert_eq!(sender.try_send("second"), Ok(Accepted::Queued { connection }));
            let mut server = servers.take();
            assert_eq!(server.recv().await, Some(Message::text(text)));
            assert_eq!(server.recv().await, Some(Message::text("second")));
            let down = lose(&mut client, server).await;
            assert_eq!((down.connection, down.accepted, down.in_doubt.len()), (connection, 2, 0));
        }
    });
}

#[test]
fn while_away_a_message_is_refused_by_default() {
    run(async {
        let (builder, _servers) = client(1024, Config::default());
        let sender = builder.build().sender();
        assert_eq!(sender.try_send("early"), Err(SendError::Over("early".into())), "the client is dropped");
        let (builder, _servers) = client(1024, Config::default());
        let client = builder.build();
        assert_eq!(client.sender().send("early").await, Err(SendError::Away("early".into())));
        assert_eq!(client.sender().try_send("early"), Err(SendError::Away("early".into())));
    });
}

#[test]
fn or_it_waits_and_goes_out_in_order_behind_the_hook() {
    run(async {
        let (builder, servers) = client(1024, Config::default());
        let mut client = builder
            .while_away(WhileAway::Wait)
            .on_connected(|ws, _| {
                Box::pin(async move {
                    sleep(SECOND).await;
                    Ok(ws.send("hook").await?)
                })
            })
            .build();
        let mut sends = Vec::new();
        for n in 0..5 {
            let sender = client.sender();
            sends.push(tokio::spawn(async move { sender.send(n.to_string()).await }));
        }
        tokio::task::yield_now().await;
        assert_eq!(client.sender().try_send("impatient"), Err(SendError::Away("impatient".into())));
        assert_eq!(up(&mut client).await, 1);
        let server = tokio::spawn(async move {
            let mut server = servers.take();
            for expected in ["hook", "0", "1", "2", "3", "4"] {
                assert_eq!(server.recv().await, Some(Message::text(expected)));
            }
            server
        });
        for send in sends {
            assert_eq!(send.await.unwrap(), Ok(Accepted::Queued { connection: 1 }));
        }
        server.await.unwrap();
    });
}

#[test]
fn or_it_is_kept_and_what_does_not_fit_is_refused_or_reported() {
    run(async {
        for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
            let (builder, servers) = client(1024, Config::default());
            let keep = WhileAway::Keep { bytes: 3 * (64 + 1), when_full };
            let mut client = builder.while_away(keep).build();
            let sender = client.sender();
            for n in ["0", "1", "2"] {
                assert_eq!(sender.send(n).await, Ok(Accepted::Kept));
            }
            let fourth = sender.try_send("3");
            let expected = if when_full == WhenFull::Refuse {
                assert_eq!(fourth, Err(SendError::Full("3".into())));
                ["0", "1", "2"]
            } else {
                assert_eq!(fourth, Ok(Accepted::Kept));
                let event = next(&mut client).await;
                let Event::Discarded(discarded) = event else { panic!("{event:?}") };
                assert_eq!((discarded.messages, discarded.bytes), (1, 1));
                ["1", "2", "3"]
            };
            up(&mut client).await;
            assert!(timeout(SECOND, client.next_event()).await.is_err());
            let mut server = servers.take();
            for text in expected {
                assert_eq!(server.recv().await, Some(Message::text(text)));
            }
        }
    });
}

#[test]
fn what_the_transport_has_not_taken_is_reported_and_not_sent_again() {
    run(async {
        let (builder, servers) = client(16, Config::default());
        let keep = WhileAway::Keep { bytes: 1 << 20, when_full: WhenFull::Refuse };
        let mut client = builder.while_away(keep).build();
        up(&mut client).await;
        let sender = client.sender();
        let (small, large) = (Message::binary(vec![1; 4]), Message::binary(vec![2; 1000]));
        for message in [&small, &large, &small] {
            assert_eq!(sender.send(message.clone()).await, Ok(Accepted::Queued { connection: 1 }));
        }
        let down = lose(&mut client, servers.take()).await;
        // The small one was written, but nothing shows that before the flush that the large one stops.
        assert_eq!((down.accepted, &down.in_doubt[..]), (3, &[large, small.clone()][..]));
        assert_eq!(sender.send(small.clone()).await, Ok(Accepted::Kept));
        up(&mut client).await;
        assert!(timeout(SECOND, client.next_event()).await.is_err());
        assert_eq!(servers.take().recv().await, Some(small));
    });
}

#[test]
fn a_slow_server_makes_senders_wait_in_order() {
    run(async {
        let mut config = Config::default();
        config.write_queue_messages = 1;
        let (builder, servers) = client(16, config);
        let mut client = builder.build();
        up(&mut client).await;
        let sends: Vec<_> = (0..20_u8)
            .map(|n| {
                let sender = client.sender();
                tokio::spawn(async move { sender.send(vec![n; 100]).await })
            })
            .collect();
        sleep(SECOND).await;
        assert!(matches!(client.sender().try_send("no room"), Err(SendError::Full(_))));
        let mut server = servers.take();
        // Nothing polls the client: the senders move the bytes.
        for n in 0..19_u8 {
            assert_eq!(server.recv().await, Some(Message::binary(vec![n; 100])));
        }
        for send in sends {
            assert_eq!(send.await.unwrap(), Ok(Accepted::Queued { connection: 1 }));
        }
        // The last one is in the queue. The client's owner writes it.
        let (message, _) = tokio::join!(server.recv(), timeout(SECOND, client.next_event()));
        assert_eq!(message, Some(Message::binary(vec![19; 100])));
    });
}

#[test]
fn senders_that_wait_for_room_are_refused_when_the_connection_ends() {
    run(async {
        let mut config = Config::default();
        config.write_queue_messages = 1;
        let (builder, servers) = client(16, config);
        let mut client = builder.build();
        up(&mut client).await;
        let sends: Vec<_> = (0..10_u8)
            .map(|n| {
                let sender = client.sender();
                tokio::spawn(async move { sender.send(vec![n; 100]).await })
            })
            .collect();
        sleep(SECOND).await;
        let down = lose(&mut client, servers.take()).await;
        let (mut accepted, mut away) = (0, 0);
        for send in sends {
            match send.await.unwrap() {
                Ok(Accepted::Queued { connection: 1 }) => accepted += 1,
                Err(SendError::Away(_)) => away += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((down.accepted, down.in_doubt.len() as u64), (accepted, accepted));
        assert!(away > 0 && accepted > 0);
    });
}

#[test]
fn a_send_in_the_task_that_polls_the_client_does_not_wait_for_itself() {
    run(async {
        let (builder, servers) = client(8192, Config::default());
        let mut client = builder.build();
        up(&mut client).await;
        let mut server = servers.take();
        tokio::spawn(async move {
            sleep(SECOND).await;
            for _ in 0..100 {
                server.recv().await.unwrap();
            }
        });
        // More than the write queue holds. Then the server is gone.
        let mut accepted = 0;
        let refused = loop {
            match client.sender().send(vec![0; 100_000]).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, SendError::Away(_)) && accepted > 100);
        let event = next(&mut client).await;
        let Event::Down(down) = event else { panic!("{event:?}") };
        assert_eq!(down.accepted, accepted);
        // All that the server did not receive, and at most one write queue more.
        assert!((accepted - 100..30).contains(&(down.in_doubt.len() as u64)), "{}", down.in_doubt.len());
    });
}

#[test]
fn a_send_that_is_dropped_while_it_waits_is_not_accepted_and_gives_way() {
    run(async {
        let (builder, servers) = client(1024, Config::default());
        let mut client = builder.while_away(WhileAway::Wait).build();
        let (first, second) = (client.sender(), client.sender());
        assert!(timeout(SECOND, first.send("dropped")).await.is_err());
        let second = tokio::spawn(async move { second.send("second").await });
        up(&mut client).await;
        assert_eq!(second.await.unwrap(), Ok(Accepted::Queued { connection: 1 }));
        assert_eq!(servers.take().recv().await, Some(Message::text("second")));
    });
}

#[test]
fn senders_on_other_threads_lose_nothing_and_keep_their_order() {
    const SENDERS: u8 = 8;
    const MESSAGES: u32 = 2000;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        config.write_queue_messages = 3;
        let (builder, servers) = client(256, config);
        let mut client = builder.while_away(WhileAway::Wait).build();
        let senders: Vec<_> = (0..SENDERS)
            .map(|id| {
                let sender = client.sender();
                tokio::spawn(async move {
                    for n in 0..MESSAGES {
                        let payload = [&[id][..], &n.to_le_bytes()].concat();
                        assert_eq!(sender.send(payload).await, Ok(Accepted::Queued { connection: 1 }));
                    }
                })
            })
            .collect();
        up(&mut client).await;
        let owner = tokio::spawn(async move {
            match client.next_event().await {
                Some(Event::Down(down)) => down,
                other => panic!("{other:?}"),
            }
        });
        let (mut server, mut next) = (servers.take(), [0; SENDERS as usize]);
        for _ in 0..u32::from(SENDERS) * MESSAGES {
            let message = timeout(60 * SECOND, server.recv()).await.expect("a message").unwrap();
            let (id, n) = message.as_bytes().split_first().unwrap();
            assert_eq!(u32::from_le_bytes(n.try_into().unwrap()), next[usize::from(*id)]);
            next[usize::from(*id)] += 1;
        }
        for sender in senders {
            sender.await.unwrap();
        }
        server.close(CloseCode::NORMAL, "").await;
        assert_eq!(owner.await.unwrap().accepted, u64::from(SENDERS) * u64::from(MESSAGES));
    });
}

#[test]
fn a_hook_that_fails_drops_the_connection_and_its_cause_is_the_connections_end_if_it_ended() {
    run(async {
        let (builder, _servers) = client(1024, Config::default());
        let mut client = builder.on_connected(|_, _| Box::pin(async { Err("not today".into()) })).build();
        let event = next(&mut client).await;
        let Event::AttemptFailed(failed) = event else { panic!("{event:?}") };
        assert!(matches!(failed.cause, Cause::Setup(_)) && failed.retry_in.is_some());

        let (builder, servers) = client_that_is_closed_in_its_hook();
        let mut client = builder.build();
        tokio::spawn(async move {
            sleep(SECOND).await;
            servers.take().close(CloseCode::POLICY_VIOLATION, "").await;
        });
        let event = next(&mut client).await;
        let Event::AttemptFailed(failed) = event else { panic!("{event:?}") };
        assert!(matches!(&failed.cause, Cause::Closed(info) if info.code() == 1008), "{:?}", failed.cause);
        assert_eq!(failed.retry_in, None);
    });
}

fn client_that_is_closed_in_its_hook() -> (Builder<Io>, Servers) {
    let (builder, servers) = client(1024, Config::default());
    let builder = builder.on_connected(|ws, _| {
        Box::pin(async move { ws.recv().await.map(drop).ok_or_else(|| "no answer to the login".into()) })
    });
    (builder, servers)
}
