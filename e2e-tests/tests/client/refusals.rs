//! Servers that refuse the upgrade: the error has the status, headers and body.

use std::time::Duration;

use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::RawAcceptor;
use ws_client::{
    Connector,
    error::{ConnectError, Refusal},
};

use crate::support::{SHORT, answered_with, run, soon};

async fn refusal(response: &str) -> Refusal {
    match answered_with(&Connector::new(), response).await {
        Err(ConnectError::Refused(refusal)) => *refusal,
        other => panic!("{response:?}: {other:?}"),
    }
}

#[test]
fn status_headers_and_body_are_reported() {
    run(async {
        let response =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 7\r\n\r\nGo away";
        let refusal = refusal(response).await;
        assert_eq!(refusal.status(), 401);
        assert_eq!(refusal.headers()["WWW-Authenticate"], "Bearer");
        assert_eq!(refusal.body().as_ref(), b"Go away");
    });
}

#[test]
fn a_refusal_is_reported_as_one_whatever_other_faults_it_has() {
    run(async {
        for (response, status) in [
            ("HTTP/1.0 503 Busy\r\nRetry-After: 5\r\n\r\nlater", 503),
            ("HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\n\r\n", 302),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html>", 200),
            ("HTTP/1.1 426\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 426),
        ] {
            assert_eq!(refusal(response).await.status(), status);
        }
    });
}

#[test]
fn a_refusal_is_reported_however_its_head_is_written() {
    run(async {
        for head in [
            "HTTP/1.1 403 No\r\nX-Policy: a\r\n b\r\nX-Why: policy\r\n\r\n",
            "HTTP/1.1 403 No\nX-Why: policy\n\n",
            "HTTP/1.1 403 No\r\nX-Why: policy\n\r\n",
            "HTTP/1.1  403  No\r\nX-Why: policy\r\n\r\n",
            "HTTP/1.1 403 No\r\nX-Why : policy\r\n\r\n",
            "HTTP/1.1 403 No\r\n X-First: a\r\nX-Why: policy\r\n\r\n",
            "HTTP/1.1 403 No\r\nno colon\r\nX-Why: policy\r\n\r\n",
            "HTTP/1.1 403 No\r\nX Y: a\r\nX-Why: policy\r\nX-Control: \u{1}\r\n\r\n",
            "HTTP/1.1 403 N\u{f6}\r\nX-Why: policy\r\nX-\u{fc}: a\r\n\r\n",
        ] {
            let refusal = refusal(&format!("{head}body")).await;
            assert_eq!((refusal.status().as_u16(), refusal.body().as_ref()), (403, &b"body"[..]), "{head:?}");
            assert_eq!(refusal.headers()["X-Why"], "policy", "{head:?}");
        }
    });
}

#[test]
fn a_refusal_with_a_long_policy_is_reported() {
    run(async {
        let policy = "default-src 'self'; ".repeat(2000);
        let lines: String = (0..240).map(|number| format!("X-{number}: y\r\n")).collect();
        let head = format!("HTTP/1.1 403 No\r\nContent-Security-Policy: {policy}\r\n{lines}\r\n");
        let refusal = refusal(&format!("{head}body")).await;
        assert_eq!((refusal.status().as_u16(), refusal.headers().len()), (403, 241));
        assert_eq!(refusal.body().as_ref(), b"body");
    });
}

#[test]
fn overload_is_temporary_and_a_missing_page_is_not() {
    run(async {
        for (status, temporary) in
            [(503, true), (429, true), (502, true), (404, false), (401, false), (301, false)]
        {
            let result = answered_with(&Connector::new(), &format!("HTTP/1.1 {status} X\r\n\r\n")).await;
            assert_eq!(result.unwrap_err().is_temporary(), temporary, "{status}");
        }
    });
}

#[test]
fn a_body_without_a_length_goes_up_to_the_end() {
    run(async {
        assert_eq!(refusal("HTTP/1.1 403 No\r\n\r\nto the end").await.body().as_ref(), b"to the end");
    });
}

#[test]
fn a_body_that_is_shorter_or_longer_than_announced_is_taken_as_far_as_it_goes() {
    run(async {
        let short = refusal("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nshort").await;
        assert_eq!(short.body().as_ref(), b"short");
        let long = refusal("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nlonger").await;
        assert_eq!(long.body().as_ref(), b"long");
    });
}

#[test]
fn a_body_without_end_is_cut_off() {
    run(async {
        let response =
            format!("HTTP/1.1 403 No\r\nContent-Length: 10000000\r\n\r\n{}", "x".repeat(1_000_000));
        assert_eq!(refusal(&response).await.body().len(), 64 * 1024);
    });
}

/// The refusal of a server that keeps the connection open after its response. `None`: this machine was slower than the
/// handshake's deadline.
async fn refusal_on_open_connection(deadline: Duration, response: &str) -> Option<Refusal> {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let connector = Connector::new().handshake_timeout(deadline);
    let pauses = Pauses::begin();
    let server = async {
        let mut server = acceptor.accept().await;
        if server.reader.try_recv_head().await.is_ok() {
            let _ = server.writer.try_send_bytes(response).await;
        }
        server.expect_end().await;
    };
    let (result, ()) = soon(async { tokio::join!(connector.open(&url), server) }).await;
    match result {
        Err(ConnectError::Refused(refusal)) => Some(*refusal),
        Err(ConnectError::TimedOut(_)) => {
            pauses.assert_missed(deadline);
            None
        }
        other => panic!("{response:?}: {other:?}"),
    }
}

#[test]
fn a_body_whose_end_is_known_is_not_waited_for() {
    run(async {
        for (response, body) in [
            ("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nend", "end"),
            ("HTTP/1.1 204 No Content\r\n\r\n", ""),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", ""),
            (
                "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGo \r\n4;x=y\r\naway\r\n0\r\n\r\n",
                "Go away",
            ),
        ] {
            // The deadline is longer than the test may take.
            let refusal = refusal_on_open_connection(Duration::from_secs(3600), response).await.unwrap();
            assert_eq!(refusal.body(), body);
        }
    });
}

#[test]
fn a_refusal_is_reported_although_its_body_never_ends() {
    run(async {
        for response in
            ["HTTP/1.1 401 No\r\n\r\nas far", "HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\nas far"]
        {
            within(SHORT, async |deadline| {
                let refusal = refusal_on_open_connection(deadline, response).await;
                if let Some(refusal) = &refusal {
                    assert_eq!((refusal.status().as_u16(), refusal.body().as_ref()), (401, &b"as far"[..]));
                }
                refusal.is_some()
            })
            .await;
        }
    });
}
