//! Refusals over HTTP: 401 and 403, `Retry-After`, final statuses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderValue, header::AUTHORIZATION};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use ws_client::{
    CloseCode, Config, Connector, Reconnecting,
    error::ConnectError,
    reconnecting::{Attempt, Builder, Cause, Event, Outcome},
};
use ws_proto::{
    Limits,
    handshake::{RequestReader, ResponseParts, ServerHandshake},
};

use crate::support::{Io, Network, next, run, up};

const SECOND: Duration = Duration::from_secs(1);

/// Answers one request with what `answer` returns for the value of `Authorization`. `None` accepts it.
async fn answer(mut io: DuplexStream, answer: impl FnOnce(&str) -> Option<String>) {
    let (mut received, mut reader) = (Vec::new(), RequestReader::new(&Limits::default()));
    let request = loop {
        assert!(io.read_buf(&mut received).await.unwrap() > 0);
        if let Some((request, _)) = reader.read(&received).unwrap() {
            break request;
        }
    };
    let token = request.headers().get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    let response = match answer(token) {
        Some(head) => format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        None => ServerHandshake::new(&request).unwrap().accept(&ResponseParts::default()).unwrap().to_vec(),
    };
    io.write_all(&response).await.unwrap();
    if answer_is_101(&response) {
        std::future::pending::<()>().await;
    }
}

fn answer_is_101(response: &[u8]) -> bool {
    response.starts_with(b"HTTP/1.1 101")
}

/// A client whose requests have the token that `token` returns.
fn client(
    mut token: impl FnMut(Attempt) -> String + Send + 'static,
    server: impl Fn(&str) -> Option<String> + Clone + Send + 'static,
) -> Builder<Io> {
    let network = Network::default();
    Reconnecting::dialling(move |attempt| {
        let (io, peer) = network.open(4096);
        tokio::spawn(answer(peer, server.clone()));
        let value = HeaderValue::try_from(token(attempt)).unwrap();
        let connector = Connector::new().header(AUTHORIZATION, value);
        async move { Ok(connector.connect_on("ws://server.example/", io).await?.ws) }
    })
}

#[test]
fn a_refused_token_is_replaced_once() {
    run(async {
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&attempts);
        let token = move |attempt: Attempt| {
            log.lock().unwrap().push(attempt.credentials_refused);
            if attempt.credentials_refused { "new".to_owned() } else { "old".to_owned() }
        };
        let server = |token: &str| (token == "old").then(|| "401 Unauthorized".to_owned());
        let mut client = client(token, server).build();
        let event = next(&mut client).await;
        let Event::AttemptFailed(failed) = event else { panic!("{event:?}") };
        assert!(failed.retry_in.unwrap() < SECOND / 2);
        assert_eq!(up(&mut client).await, 1);
        assert_eq!(*attempts.lock().unwrap(), [false, true]);
    });
}

#[test]
fn a_second_refusal_in_a_row_is_final() {
    run(async {
        for status in ["401 Unauthorized", "403 Forbidden"] {
            let mut client = client(|_| "old".to_owned(), |_| Some(status.to_owned())).build();
            let retries = [next(&mut client).await, next(&mut client).await].map(|event| match event {
                Event::AttemptFailed(failed) => failed.retry_in.is_some(),
                other => panic!("{other:?}"),
            });
            assert_eq!(retries, [true, false]);
            assert!(client.next_event().await.is_none());
            assert_eq!(client.outcome(), Some(Outcome::Stopped));
        }
    });
}

/// A client whose server serves for `serve` and closes with 3000, which means the same as 401.
fn unauthorized_after(serve: Duration) -> Reconnecting<Io> {
    let network = Network::default();
    Reconnecting::dialling(move |_| {
        let (client, mut server) = network.connect(1024, Config::default());
        tokio::spawn(async move {
            tokio::time::sleep(serve).await;
            server.close(CloseCode::new(3000).unwrap(), "").await;
        });
        async { Ok(client) }
    })
    .build()
}

#[test]
fn a_connection_that_is_accepted_and_closed_for_its_credentials_is_a_refusal_too() {
    run(async {
        let mut client = unauthorized_after(Duration::ZERO);
        let mut retries = Vec::new();
        while let Some(event) = client.next_event().await {
            if let Event::Down(down) = event {
                retries.push(down.retry_in.is_some());
            }
        }
        assert_eq!((retries, client.outcome()), (vec![true, false], Some(Outcome::Stopped)));
    });
}

#[test]
fn a_token_that_expires_again_and_again_is_replaced_each_time() {
    run(async {
        let mut client = unauthorized_after(60 * SECOND);
        for connection in 1..=10 {
            assert_eq!(up(&mut client).await, connection);
            assert!(matches!(next(&mut client).await, Event::Down(down) if down.retry_in.is_some()));
        }
    });
}

/// The first failure of a client whose server answers with `head`.
async fn failure(head: &str) -> (Cause, Option<Duration>) {
    let head = head.to_owned();
    let mut client = client(|_| String::new(), move |_| Some(head.clone())).build();
    match next(&mut client).await {
        Event::AttemptFailed(failed) => (failed.cause, failed.retry_in),
        other => panic!("{other:?}"),
    }
}

#[test]
fn retry_after_is_a_floor_and_a_far_one_is_capped() {
    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:00 GMT";
    run(async {
        for (head, floor) in [
            ("503 Unavailable\r\nRetry-After: 100".to_owned(), 100),
            ("429 Slow Down\r\nRetry-After: 7".to_owned(), 7),
            (format!("503 Unavailable\r\n{DATE}\r\nRetry-After: Sun, 06 Nov 1994 08:50:40 GMT"), 100),
            (format!("503 Unavailable\r\n{DATE}\r\nRetry-After: Sun, 06 Nov 1994 08:00:00 GMT"), 0),
            (format!("503 Unavailable\r\n{DATE}\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT"), 600),
            ("503 Unavailable\r\nRetry-After: 99999999999999999999".to_owned(), 600),
            ("503 Unavailable\r\nRetry-After: soon".to_owned(), 0),
            ("503 Unavailable".to_owned(), 0),
        ] {
            let (cause, delay) = failure(&head).await;
            assert!(matches!(cause, Cause::Connect(ConnectError::Refused(_))), "{cause:?}");
            let (delay, floor) = (delay.unwrap(), floor * SECOND);
            assert!(delay >= floor && delay < floor + SECOND / 2, "{head}: {delay:?}");
        }
    });
}

#[test]
fn clients_with_the_same_retry_after_do_not_come_back_together() {
    run(async {
        let mut delays = Vec::new();
        for _ in 0..20 {
            delays.extend(failure("503 Unavailable\r\nRetry-After: 100").await.1);
        }
        delays.sort();
        delays.dedup();
        assert_eq!(delays.len(), 20);
    });
}

#[test]
fn other_refusals_are_final() {
    run(async {
        for head in ["400 Bad Request", "404 Not Found", "302 Found\r\nLocation: /", "200 OK"] {
            assert_eq!(failure(head).await.1, None, "{head}");
        }
        for head in ["408 Timeout", "425 Too Early", "500 Oops", "502 Bad Gateway"] {
            assert!(failure(head).await.1.is_some(), "{head}");
        }
    });
}

#[test]
fn a_request_hook_that_fails_is_a_failed_attempt() {
    run(async {
        let mut client = Reconnecting::builder(Connector::new(), |_| async {
            let text: Result<String, std::io::Error> = Err(std::io::Error::other("no token"));
            Ok(text?)
        })
        .build();
        let event = client.next_event().await;
        let Some(Event::AttemptFailed(failed)) = event else { panic!("{event:?}") };
        assert!(matches!(failed.cause, Cause::Request(_)) && failed.retry_in.is_some());
        let source = std::error::Error::source(&failed.cause).unwrap();
        assert_eq!(
            (failed.cause.to_string().as_str(), source.to_string().as_str()),
            ("the request hook failed", "no token")
        );
    });
}
