//! `ws URL` in a pipe.

use std::time::Duration;

use ws_server::{CloseCode, Server};

use crate::support::{Running, echo_server, log, run, run_bytes, serve, signal, ws};

#[test]
fn the_answer_to_piped_input_is_printed() {
    assert_eq!(run(&[&echo_server()], b"hello\n").ok(), "hello\n");
}

#[test]
fn a_slow_answer_is_waited_for_after_the_end_of_the_input() {
    // Longer than the time of silence that is enough once all answers are there.
    let url = serve(Server::builder(), |mut ws, _| async move {
        let message = ws.recv().await.expect("a message");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let _ = ws.send(message).await;
        while ws.recv().await.is_some() {}
    });
    assert_eq!(run(&[&format!("ws://{url}")], b"hello\n").ok(), "hello\n");
}

#[test]
fn every_line_is_a_message_in_order() {
    let lines: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(run(&["-n", "2000", &echo_server()], lines.as_bytes()).ok(), lines);
}

#[test]
fn the_input_may_stay_open_and_answers_come_at_once() {
    let mut child = Running::start(&[&echo_server(), "--linger", "0"]);
    for text in ["one", "two"] {
        child.send(&format!("{text}\n"));
        assert_eq!(child.line(), text);
    }
    child.end_input();
    assert_eq!(child.wait().code, 0);
}

#[test]
fn it_ends_with_the_peer_and_not_with_the_input() {
    let url = serve(Server::builder(), |mut ws, _| async move {
        for text in ["a", "b", "c"] {
            let _ = ws.send(text).await;
        }
        ws.close(CloseCode::NORMAL, "").await;
    });
    assert_eq!(run(&[&format!("ws://{url}"), "--linger", "inf"], b"").ok(), "a\nb\nc\n");
}

#[test]
fn it_ends_after_count_messages_and_prints_no_more() {
    let url = serve(Server::builder(), |mut ws, _| async move { while ws.send("tick").await.is_ok() {} });
    let url = format!("ws://{url}");
    assert_eq!(run(&[&url, "-n", "3", "--no-input"], b"").ok(), "tick\ntick\ntick\n");
    let mut child = Running::start(&[&url, "-n", "1"]);
    assert_eq!(child.line(), "tick");
    assert_eq!(child.wait().code, 0, "although the input is open");
}

#[test]
fn other_separators_keep_line_breaks() {
    let url = echo_server();
    assert_eq!(run(&[&url, "--null", "-n", "2"], b"a\nb\0c\0").ok(), "a\nb\0c\0");
    assert_eq!(run(&[&url, "--whole", "-n", "1"], b"a\nb\n").ok(), "a\nb\n");
    let prefixed = b"\0\0\0\x03a\nb\0\0\0\0";
    let output = run_bytes(&mut ws(&[&url, "--length-prefixed", "--binary", "-n", "2"]), prefixed);
    assert_eq!(output.stdout, prefixed);
}

#[test]
fn binary_data_comes_back_unchanged() {
    let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let output = run_bytes(&mut ws(&[&echo_server(), "--whole", "--binary", "-n", "1"]), &data);
    assert!(output.stdout == data, "{output:?}");
}

#[test]
fn json_lines_describe_messages_in_both_directions() {
    let input = b"{\"data\":\"a\\nb\"}\n{\"base64\":\"AP8=\"}\n{\"type\":\"close\",\"code\":4001,\"reason\":\"done\"}\n";
    let (saw, closes) = log();
    let url = serve(Server::builder(), move |mut ws, _| {
        let saw = saw.clone();
        async move {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
            saw(ws.close_info().unwrap().code());
        }
    });
    let output = run(&[&format!("ws://{url}"), "--jsonl"], input);
    assert_eq!(closes.next(), 4001);
    let lines: Vec<serde_json::Value> =
        output.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |index: usize, name: &str| lines[index][name].clone();
    assert_eq!(
        (field(0, "type"), field(0, "data"), field(0, "dir")),
        ("text".into(), "a\nb".into(), "in".into())
    );
    assert_eq!(
        (field(1, "type"), field(1, "base64"), field(1, "size")),
        ("binary".into(), "AP8=".into(), 2.into())
    );
    assert_eq!((field(2, "type"), field(2, "code")), ("close".into(), 4001.into()));
    assert!(field(0, "t").as_f64().unwrap() > 1.7e9);
}

#[test]
fn json_lines_show_pings_pongs_and_the_close_in_their_order() {
    let url = serve(Server::builder(), |mut ws, _| async move {
        // The library answers the ping of the input, before this message.
        let message = ws.recv().await.expect("a message");
        let _ = ws.send(message).await;
        let _ = ws.sender().ping(b"hi");
        ws.close(CloseCode::new(4002).expect("valid"), "over").await;
    });
    let input = b"{\"type\":\"ping\",\"base64\":\"AQI=\"}\n{\"data\":\"a\"}\n";
    let ended = run(&[&format!("ws://{url}"), "--jsonl"], input);
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> = lines.iter().map(|line| (line["type"].as_str().unwrap(), &line["base64"])).collect();
    assert_eq!(lines.iter().map(|line| line["dir"].as_str()).collect::<Vec<_>>(), [Some("in"); 4]);
    let null = serde_json::Value::Null;
    assert_eq!(
        shown,
        [("pong", &"AQI=".into()), ("text", &null), ("ping", &"aGk=".into()), ("close", &null)]
    );
    assert_eq!((&lines[3]["code"], &lines[3]["reason"]), (&4002.into(), &"over".into()));
    assert_eq!(ended.code, 7, "{ended:?}");
}

#[test]
fn an_end_without_a_close_is_the_last_json_line() {
    let url = serve(Server::builder(), |ws, _| async move { drop(ws.into_parts()) });
    let ended = run(&[&format!("ws://{url}"), "--jsonl", "--no-input"], b"");
    let line: serde_json::Value = serde_json::from_str(ended.stdout.trim_end()).unwrap();
    assert_eq!((&line["type"], &line["code"]), (&"close".into(), &1006.into()));
    assert_eq!(ended.code, 6, "{ended:?}");
}

#[test]
fn bad_input_is_an_error_that_names_the_line() {
    let url = echo_server();
    let output = run_bytes(&mut ws(&[&url]), b"fine\n\xff\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.starts_with("ws: line 2 of the input is not UTF-8"), "{error}");
    run(&[&url, "--jsonl"], b"{\n").failed(1, &["line 1 of the input is not JSON"]);
}

#[test]
fn an_interrupt_ends_it_also_while_the_output_is_full() {
    // Each read of the client's has many thousands of these messages.
    let url = serve(Server::builder(), |ws, _| async move {
        let frames = b"\x81\x01y".repeat(20_000);
        let mut io = ws.into_parts().expect("open").io;
        while tokio::io::AsyncWriteExt::write_all(&mut io, &frames).await.is_ok() {}
    });
    let mut child = Running::start(&[&format!("ws://{url}")]);
    child.wait_until_output_waits(60_000);
    signal(child.id(), "INT");
    assert_eq!(child.code(), 130);
}

#[test]
fn a_reader_that_leaves_ends_the_connection() {
    let url = serve(Server::builder(), |mut ws, _| async move { while ws.send("tick").await.is_ok() {} });
    let mut child = Running::start(&[&format!("ws://{url}")]);
    assert_eq!(child.line(), "tick");
    assert_eq!(child.drop_output(), 0);
}

#[test]
fn the_exit_code_follows_the_close_code() {
    let url = serve(Server::builder(), |mut ws, request| async move {
        let code = request.path()[1..].parse().expect("the path is a code");
        ws.close(CloseCode::new(code).expect("a close code"), "the reason\u{1b}[2J").await;
    });
    for (close, code) in [(1000, 0), (1001, 0), (1011, 7), (4000, 7)] {
        let ended = run(&[&format!("ws://{url}/{close}"), "--no-input"], b"");
        assert_eq!(ended.code, code, "{ended:?}");
        if code == 7 {
            // The reason comes from the peer, so its control characters are escaped.
            ended.failed(7, &[&format!("{close} the reason\\x1b[2J")]);
        }
    }
}

#[test]
fn the_end_without_a_close_is_abnormal() {
    let url = serve(Server::builder(), |ws, _| async move { drop(ws.into_parts()) });
    run(&[&format!("ws://{url}"), "--no-input"], b"")
        .failed(6, &["the byte stream ended without a Close frame"]);
}

#[test]
fn a_violation_of_the_protocol_has_a_code_of_its_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            listener.set_nonblocking(true).unwrap();
            let (io, _) = tokio::net::TcpListener::from_std(listener).unwrap().accept().await.unwrap();
            let acceptor = ws_server::Acceptor::new();
            let mut io = acceptor.accept(io).await.unwrap().into_parts().unwrap().io;
            io.write_all(b"\x83\x00").await.unwrap(); // a reserved opcode
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
    });
    run(&[&format!("ws://{address}"), "--no-input"], b"")
        .failed(5, &["the peer violated the protocol: reserved opcode 3"]);
    server.join().unwrap();
}

#[test]
fn input_that_the_server_does_not_take_is_an_error() {
    let url = serve(Server::builder(), |mut ws, _| async move {
        let _ = ws.recv().await;
        ws.close(CloseCode::NORMAL, "enough").await;
    });
    // More lines than the buffers of both sides hold.
    let line = "x".repeat(1 << 16) + "\n";
    let ended = run(&[&format!("ws://{url}")], line.repeat(1000).as_bytes());
    ended.failed(7, &["before all input was sent: 1000 enough"]);
}

#[test]
fn a_timeout_has_exit_code_124() {
    run(&[&echo_server(), "--no-input", "--timeout", "50ms"], b"").failed(124, &["--timeout has passed"]);
    let url = serve(Server::builder(), |mut ws, _| async move {
        let _ = ws.send("before").await;
        while ws.recv().await.is_some() {}
    });
    // If this machine stands still for that long, nothing is received, and the time doubles.
    let received = (0..).find_map(|doubled| {
        let time = format!("{}ms", 300 << doubled);
        let ended = run(&[&format!("ws://{url}"), "--no-input", "--timeout", &time], b"");
        assert_eq!(ended.code, 124, "{ended:?}");
        (!ended.stdout.is_empty()).then_some(ended.stdout)
    });
    assert_eq!(received.as_deref(), Some("before\n"), "what was received is printed");
    // A listener that accepts and does not answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    run(&[&url, "--connect-timeout", "50ms"], b"").failed(124, &["connecting took longer than 50ms"]);
}

#[test]
fn an_interrupt_closes_the_connection_and_has_exit_code_130() {
    for name in ["INT", "TERM"] {
        let (saw, closes) = log();
        let url = serve(Server::builder(), move |mut ws, _| {
            let saw = saw.clone();
            async move {
                let _ = ws.send("ready").await;
                while ws.recv().await.is_some() {}
                saw(ws.close_info().unwrap().code());
            }
        });
        let mut child = Running::start(&[&format!("ws://{url}")]);
        assert_eq!(child.line(), "ready");
        signal(child.id(), name);
        assert_eq!(child.wait().code, 130);
        assert_eq!(closes.next(), 1000);
    }
}
