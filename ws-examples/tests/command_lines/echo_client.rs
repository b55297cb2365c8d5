//! `echo-client`: what it sends and prints, and its exit status.

use e2e_tests::{
    harness,
    raw_peer::{Head, RawAcceptor, RawFrame, RawServer},
};

use crate::program::{ECHO_CLIENT, Ended, Program, run};

/// Runs the client with `args` against a server that runs `script`.
async fn against<T>(args: &[&str], script: impl AsyncFnOnce(RawServer) -> T) -> (Ended, T) {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let args = [&[url.as_str()], args].concat();
    tokio::join!(run(ECHO_CLIENT, &args), async { script(acceptor.accept().await).await })
}

/// Echoes until the client closes, then returns the request.
async fn echo(mut server: RawServer) -> Head {
    let request = server.upgrade().await;
    loop {
        let frame = server.recv_frame().await;
        if frame.close_code().is_some() {
            assert_eq!(frame.close_code(), Some((1000, "")));
            server.send(RawFrame::close(1000, "")).await;
            return request;
        }
        server.send(RawFrame::new(frame.opcode, frame.payload)).await;
    }
}

#[test]
fn each_reply_is_printed_on_a_line_and_the_status_is_0() {
    harness::run(async {
        against(&[], echo).await.0.assert(0, "hello\n", "");
        against(&["--message", "grüße", "--count", "3"], echo).await.0.assert(0, "grüße\ngrüße\ngrüße\n", "");
        against(&["--count", "0"], echo).await.0.assert(0, "", "");
        let binary = &["--binary", "--message", "AB"];
        against(binary, echo).await.0.assert(0, "2 bytes: 41 42\n", "");
    });
}

#[test]
fn it_works_with_the_echo_server() {
    harness::run(async {
        for api in ["handler", "async"] {
            let (_server, addr) = Program::echo_server(&["--api", api]);
            let ended = run(ECHO_CLIENT, &[&format!("ws://{addr}/"), "--count", "100"]).await;
            ended.assert(0, &"hello\n".repeat(100), "");
        }
    });
}

#[test]
fn headers_and_subprotocols_are_sent() {
    harness::run(async {
        let args = [
            "--header",
            "Authorization: Bearer x",
            "--header",
            "X-Y: 1",
            "--subprotocol",
            "a",
            "--subprotocol",
            "b",
        ];
        let (ended, request) = against(&args, echo).await;
        ended.assert(0, "hello\n", "");
        assert_eq!(request.header("Authorization"), Some("Bearer x"));
        assert_eq!(request.header("X-Y"), Some("1"));
        assert_eq!(request.header("Sec-WebSocket-Protocol"), Some("a, b"));
    });
}

#[test]
fn a_refused_upgrade_is_printed_and_the_status_is_1() {
    harness::run(async {
        let response =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 7\r\n\r\nGo away";
        let (ended, _) = against(&[], async |mut server| server.answer(response).await).await;
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
        for part in ["401 Unauthorized", "www-authenticate: Bearer", "\n\nGo away"] {
            assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
        }
    });
}

#[test]
fn a_failed_connection_is_an_error_and_the_status_is_1() {
    harness::run(async {
        let ended = run(ECHO_CLIENT, &["ws://127.0.0.1:1/"]).await;
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.starts_with("echo-client: cannot connect to 127.0.0.1:1: "), "{}", ended.stderr);
        let ended = run(ECHO_CLIENT, &["http://127.0.0.1:1/"]).await;
        ended.assert(1, "", "echo-client: unsupported URL scheme \"http\", expected ws, wss or ws+unix\n");
    });
}

#[test]
fn a_close_before_the_last_reply_is_an_error_and_the_status_is_1() {
    harness::run(async {
        let (ended, ()) = against(&["--count", "2"], async |mut server| {
            server.upgrade().await;
            server.expect_text("hello").await;
            server.send(RawFrame::text("one")).await;
            server.expect_text("hello").await;
            server.send(RawFrame::close(1013, "too busy")).await;
            server.expect_close(1013).await;
        })
        .await;
        ended.assert(1, "one\n", "echo-client: closed by the peer: received 1013 \"too busy\", sent 1013\n");

        let (ended, ()) = against(&[], async |mut server| {
            server.upgrade().await;
            server.expect_text("hello").await;
        })
        .await;
        let message = "received no Close, sent no Close; the byte stream ended without a Close frame";
        ended.assert(1, "", &format!("echo-client: closed by the peer: {message}\n"));
    });
}

#[test]
fn an_invalid_option_is_an_error_and_the_status_is_2() {
    harness::run(async {
        for (args, message) in [
            (&[][..], "missing URL (--help shows all options)"),
            (&["ws://h", "--what"], "unknown option --what (--help shows all)"),
            (&["ws://h", "--count", "many"], "--count many: expected a whole number"),
            (&["ws://h", "--header", "no colon"], "--header \"no colon\": expected 'Name: value'"),
        ] {
            run(ECHO_CLIENT, args).await.assert(2, "", &format!("echo-client: {message}\n"));
        }
        let help = run(ECHO_CLIENT, &["--help"]).await;
        assert_eq!((help.status.code(), help.stderr.as_str()), (Some(0), ""));
        for option in [
            "URL",
            "--message",
            "--count",
            "--binary",
            "--header",
            "--subprotocol",
            "--deflate",
            "--ca",
            "--insecure",
        ] {
            assert!(help.stdout.contains(option), "{option}");
        }
    });
}
