//! Futures that are dropped at every poll lose nothing.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::sleep;
use ws_client::{
    Config, Message, Reconnecting,
    reconnecting::{Accepted, Cause, Event},
};

use crate::support::{Io, Network, run};

/// Drops the future after this many polls without a result.
async fn cancelled_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

fn client() -> Reconnecting<Io> {
    let network = Network::default();
    Reconnecting::dialling(move |attempt| {
        let network = network.clone();
        async move {
            sleep(Duration::from_millis(100)).await;
            if attempt.number % 2 == 0 {
                return Err(Cause::Request("every other attempt fails".into()));
            }
            let (client, mut server) = network.connect(16, Config::default());
            tokio::spawn(async move {
                let hook = server.recv().await;
                for n in 0..5 {
                    server.send(format!("a message of more than one read, number {n}")).await.unwrap();
                }
                assert_eq!(hook, Some(Message::text("hook")));
                assert_eq!(server.recv().await, Some(Message::text("one")));
            });
            Ok(client)
        }
    })
    .on_connected(|ws, _| {
        Box::pin(async move {
            sleep(Duration::from_millis(100)).await;
            Ok(ws.send("hook").await?)
        })
    })
    .jitter_seed([3; 32])
    .build()
}

/// What happens on three connections, with `next_event` and `send` dropped after some polls.
async fn history(polls: usize) -> Vec<String> {
    let (mut client, mut history) = (client(), Vec::new());
    let sender = client.sender();
    loop {
        let event = match cancelled_after(polls, client.next_event()).await {
            Some(event) => event.expect("the client is not over"),
            None => {
                // Another task gets its turn, and time passes.
                sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        history.push(match event {
            Event::Up(up) => {
                let connection = up.connection;
                while cancelled_after(polls, sender.send("one")).await.is_none() {}
                if connection > 3 {
                    return history;
                }
                format!("up {connection}, {} attempts", up.attempts)
            }
            Event::Message(message) => message.as_text().unwrap().to_owned(),
            Event::Down(down) => format!("down {}, {:?}, {}", down.connection, down.retry_in, down.accepted),
            Event::AttemptFailed(failed) => format!("failed {}, {:?}", failed.attempt, failed.retry_in),
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn next_event_may_be_dropped_at_every_poll() {
    let expected = run(history(usize::MAX));
    assert_eq!(expected.len(), 3 * (1 + 5 + 1 + 1), "{expected:#?}");
    for polls in 0..20 {
        assert_eq!(run(history(polls)), expected, "{polls} polls");
    }
}

#[test]
fn a_send_that_is_polled_once_is_either_accepted_or_not_sent() {
    run(async {
        let network = Network::default();
        let mut config = Config::default();
        config.write_queue_messages = 2;
        let (list, dialled) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), network.clone());
        let servers = std::sync::Arc::clone(&list);
        let mut client = Reconnecting::dialling(move |_| {
            let (client, server) = dialled.connect(64, config.clone());
            list.lock().unwrap().push(server);
            async { Ok(client) }
        })
        .build();
        assert!(matches!(client.next_event().await, Some(Event::Up(_))));
        let mut server = servers.lock().unwrap().pop().unwrap();
        let (sender, mut accepted, mut received) = (client.sender(), Vec::new(), Vec::new());
        for n in 0..1000_u32 {
            let mut payload = n.to_le_bytes().to_vec();
            payload.resize(4 + n as usize % 100, 0);
            let message = Message::binary(payload);
            match cancelled_after(0, sender.send(message.clone())).await {
                Some(Ok(Accepted::Queued { connection: 1 })) => accepted.push(message),
                None => {}
                other => panic!("{other:?}"),
            }
            received.extend(cancelled_after(0, server.recv()).await.flatten());
            let _ = cancelled_after(0, client.next_event()).await;
        }
        while received.len() < accepted.len() {
            tokio::select! {
                message = server.recv() => received.extend(message),
                event = client.next_event() => panic!("{event:?}"),
            }
        }
        assert!(accepted.len() > 50 && accepted.len() < 950, "{}", accepted.len());
        assert_eq!(received, accepted);
    });
}
