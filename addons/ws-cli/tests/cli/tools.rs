//! `ws listen`, `ping`, `bench`, `record`, `replay`, `completions` and `man`.

use std::time::{Duration, Instant};

use ws_server::{CloseCode, Message, Server};

use crate::support::{Folder, Running, echo_server, log, run, serve, signal};

/// Starts `ws listen` on a free port; returns it and its URL.
fn listen(args: &[&str]) -> (Running, String) {
    let child = Running::start(&[&["listen", "0"], args].concat());
    let url = child.error_line("listening on ");
    (child, url)
}

#[test]
fn listen_echoes_and_ends_with_a_signal() {
    let (server, url) = listen(&["--echo", "-s", "v1"]);
    assert_eq!(run(&[&url, "-n", "2"], b"a\nb\n").ok(), "a\nb\n");
    let ended = run(&[&url, "-n", "1", "-v", "-s", "v1"], b"a\n");
    assert!(ended.stderr.contains("sec-websocket-protocol: v1"), "{}", ended.stderr);
    let mut client = Running::start(&[&url]);
    client.send("c\n");
    assert_eq!(client.line(), "c");
    signal(server.id(), "TERM");
    assert_eq!(client.wait().code, 0, "the close code is 1001");
    assert_eq!(server.wait().code, 0);
}

#[test]
fn listen_broadcasts_to_all_others() {
    let (server, url) = listen(&["--broadcast"]);
    let mut clients: Vec<Running> = (0..3).map(|_| Running::start(&[&url])).collect();
    // Each client is in the room once another one gets its message; until then it repeats it.
    let mut sender = clients.remove(0);
    let (mut one, mut two) = (clients.remove(0), clients.remove(0));
    let (ready, stop) = std::sync::mpsc::channel::<()>();
    let repeats = std::thread::spawn(move || {
        while stop.recv_timeout(Duration::from_millis(5)).is_err() {
            sender.send("hello\n");
        }
        sender.send("last\n");
        sender
    });
    assert_eq!((one.line(), two.line()), ("hello".to_owned(), "hello".to_owned()));
    ready.send(()).unwrap();
    let mut sender = repeats.join().unwrap();
    for client in [&mut one, &mut two] {
        while client.line() != "last" {}
    }
    one.send("back\n");
    assert_eq!(
        (two.line(), sender.line()),
        ("back".to_owned(), "back".to_owned()),
        "and not to the one that sent it"
    );
    signal(server.id(), "INT");
    assert_eq!(server.wait().code, 0);
}

#[test]
fn listen_runs_a_command_for_each_connection() {
    let (_server, url) =
        listen(&["--exec", "echo $WS_PATH $WS_QUERY; while read line; do echo got $line; done"]);
    let url = format!("{url}the/path?a=b");
    assert_eq!(run(&[&url, "-n", "3"], b"one\ntwo\n").ok(), "/the/path a=b\ngot one\ngot two\n");
    let (_server, url) = listen(&["--exec", "echo bye; exit 3"]);
    let ended = run(&[&url, "--no-input"], b"");
    assert_eq!(ended.stdout, "bye\n");
    ended.failed(7, &["1011"]);
    let (_server, url) = listen(&["--exec", "seq 1000"]);
    let numbers: String = (1..=1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(run(&[&url, "--no-input"], b"").ok(), numbers);
}

#[test]
fn listen_needs_a_mode_and_a_free_address() {
    assert_eq!(run(&["listen", "0"], b"").code, 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    run(&["listen", &port, "--echo"], b"").failed(2, &["cannot listen on"]);
}

#[test]
fn ping_shows_round_trips_and_a_summary() {
    let output = run(&["ping", &echo_server(), "-c", "3", "-i", "1ms"], b"").ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 5, "{output}");
    for (index, line) in lines[..3].iter().enumerate() {
        assert!(line.starts_with(&format!("pong {}: time=", index + 1)), "{output}");
    }
    assert_eq!(lines[3], "3 pings, 3 pongs, 0% lost");
    assert!(lines[4].starts_with("round trip min/avg/p99/max = "), "{output}");
}

#[test]
fn a_reader_that_leaves_ends_the_pings() {
    let mut child = Running::start(&["ping", &echo_server(), "-i", "1ms"]);
    assert!(child.line().starts_with("pong 1: "));
    assert_eq!(child.drop_output(), 0);
}

#[test]
fn a_ping_without_a_pong_is_a_timeout() {
    let url = serve(Server::builder().protocol(|config| config.auto_pong = false), |mut ws, _| async move {
        while ws.recv().await.is_some() {}
    });
    let ended = run(&["ping", &format!("ws://{url}"), "-c", "1", "-W", "20ms"], b"");
    assert!(ended.stdout.contains("1 pings, 0 pongs, 100% lost"), "{ended:?}");
    ended.failed(124, &["no pong arrived"]);
}

#[test]
fn ping_ends_with_the_connection() {
    let url = serve(Server::builder(), |mut ws, _| async move {
        ws.close(CloseCode::new(4000).expect("valid"), "").await;
    });
    run(&["ping", &format!("ws://{url}"), "-i", "1ms"], b"").failed(7, &["4000"]);
}

#[test]
fn bench_counts_all_messages_and_prints_latencies() {
    let output =
        run(&["bench", &echo_server(), "-c", "4", "-r", "400", "-s", "100", "-d", "100ms"], b"").ok();
    assert!(output.starts_with("4 connections, 40 messages of 100 bytes, 40 answers, "), "{output}");
    assert!(output.contains("p99.9") && output.contains("max"), "{output}");
    let output = run(&["bench", &echo_server(), "-r", "100", "-d", "50ms", "--json"], b"").ok();
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json["answers"], 5);
    assert!(json["latency_us"]["p50"].as_u64().unwrap() > 0, "{output}");
}

#[test]
fn a_stall_counts_for_all_messages_that_were_due_in_it() {
    const STALL: Duration = Duration::from_millis(300);
    // From the first message on, the server answers nothing for a while, then everything.
    let url = serve(Server::builder(), |mut ws, _| async move {
        let mut next = ws.recv().await;
        tokio::time::sleep(STALL).await;
        while let Some(message) = next {
            let _ = ws.send(message).await;
            next = ws.recv().await;
        }
    });
    let output = run(&["bench", &format!("ws://{url}"), "-r", "1000", "-d", "300ms", "--json"], b"").ok();
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    // Messages were due evenly during the stall, so half of them waited for half of it. A load generator that waits for
    // each answer would have sent one message in the stall, and its median would be that of a fast server.
    let median = json["latency_us"]["p50"].as_u64().unwrap();
    assert!(median > 100_000, "{output}");
}

#[test]
fn bench_reports_missing_answers() {
    let url = serve(Server::builder(), |mut ws, _| async move { while ws.recv().await.is_some() {} });
    run(&["bench", &format!("ws://{url}"), "-d", "10ms", "-W", "20ms"], b"").failed(124, &["have no answer"]);
}

#[test]
fn messages_without_an_answer_are_reported_although_the_server_does_not_answer_the_close_either() {
    let url = serve(Server::builder(), |ws, _| async move {
        // It stays open, and nothing is read.
        let _io = ws.into_parts();
        std::future::pending::<()>().await;
    });
    run(&["bench", &format!("ws://{url}"), "-d", "10ms", "-W", "20ms"], b"").failed(124, &["have no answer"]);
}

#[test]
fn a_recording_is_replayed() {
    let folder = Folder::new("record");
    let file = folder.path("session.jsonl");
    let mut child = Running::start(&["record", &echo_server(), &file, "-n", "2"]);
    for text in ["one", "two"] {
        child.send(&format!("{text}\n"));
        assert_eq!(child.line(), text, "what is recorded is also printed");
    }
    assert_eq!(child.wait().code, 0);
    let lines: Vec<serde_json::Value> =
        folder.read("session.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shape: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["dir"].as_str().unwrap(), line["type"].as_str().unwrap())).collect();
    assert_eq!(shape, [("out", "text"), ("in", "text"), ("out", "text"), ("in", "text"), ("in", "close")]);

    let (saw, messages) = log::<Message>();
    let url = serve(Server::builder(), move |mut ws, _| {
        let saw = saw.clone();
        async move {
            while let Some(message) = ws.recv().await {
                saw(message);
            }
        }
    });
    let url = format!("ws://{url}");
    for direction in ["out", "in"] {
        let args = ["replay", &file, &url, "--speed", "max", "--linger", "0", "--direction", direction];
        run(&args, b"").ok();
        assert!([messages.next(), messages.next()] == [Message::text("one"), Message::text("two")]);
    }
}

#[test]
fn a_replay_keeps_the_pauses_at_its_speed() {
    let folder = Folder::new("pauses");
    let file = folder.write(
        "a.jsonl",
        "{\"t\":10,\"dir\":\"out\",\"data\":\"a\"}\n{\"t\":11,\"dir\":\"out\",\"data\":\"b\"}\n",
    );
    let begin = Instant::now();
    let output = run(&["replay", &file, &echo_server(), "--speed", "5x", "--linger", "50ms"], b"").ok();
    assert_eq!(output, "a\nb\n");
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_bad_recording_is_an_error() {
    let folder = Folder::new("bad");
    let url = echo_server();
    let bad = folder.write("bad.jsonl", "{\"dir\":\"out\",\"data\":\"a\"}\n\nnonsense\n");
    run(&["replay", &bad, &url], b"").failed(1, &["line 3 of the recording is not JSON"]);
    let empty = folder.write("empty.jsonl", "");
    run(&["replay", &empty, &url], b"").failed(1, &["no messages that were sent"]);
    run(&["replay", "/no/such/file", &url], b"").failed(1, &["/no/such/file: No such file"]);
}

#[test]
fn completions_and_man_pages_name_the_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell], b"").ok();
        assert!(script.contains("length-prefixed") && script.contains("bench"), "{shell}");
    }
    let page = run(&["man"], b"").ok();
    assert!(page.contains(".TH ws 1") && page.contains("Exit codes"), "{page}");
    let page = run(&["man", "bench"], b"").ok();
    assert!(page.contains("ws\\-bench") && page.contains("\\-\\-rate"), "{page}");
    run(&["man", "nothing"], b"").failed(1, &["no command \"nothing\""]);
}
