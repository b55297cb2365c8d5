//! `ws URL --reconnect`, with servers that are killed and started again.

use e2e_tests::free_port;
use ws_server::{CloseCode, Server};

use crate::support::{Running, log, run, serve, signal};

/// A server on this port. It may be started several times, one server after the other.
fn listen(port: &str) -> Running {
    let server = Running::start(&["listen", port, "--echo"]);
    server.error_line("listening on ");
    server
}

/// A server on a new port.
fn listen_anywhere() -> (Running, String) {
    let port = free_port().to_string();
    (listen(&port), port)
}

fn kill(mut server: Running) {
    signal(server.id(), "KILL");
    server.code();
}

#[test]
fn the_connection_comes_back_with_the_server_and_the_input_waits() {
    let (server, port) = listen_anywhere();
    let url = format!("ws://127.0.0.1:{port}/");
    let mut client = Running::start(&[&url, "--reconnect", "--linger", "0"]);
    client.error_line("* connected");
    client.send("one\n");
    assert_eq!(client.line(), "one");
    kill(server);
    let why = client.error_line("* the connection ended with code 1006");
    assert!(why.contains("; next attempt in "), "{why}");
    client.send("two\n");
    let _server = listen(&port);
    client.error_line("* connected again");
    assert_eq!(client.line(), "two");
    client.end_input();
    let ended = client.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
}

#[test]
fn the_first_connection_is_waited_for_too() {
    let (server, port) = listen_anywhere();
    kill(server);
    let mut client = Running::start(&[&format!("ws://127.0.0.1:{port}/"), "--reconnect", "-n", "1"]);
    client.send("hello\n");
    client.end_input();
    let why = client.error_line("* connecting failed: ");
    assert!(why.contains(": Connection refused") && why.contains("; next attempt in "), "{why}");
    let _server = listen(&port);
    assert_eq!(client.line(), "hello");
    assert_eq!(client.wait().code, 0);
}

#[test]
fn it_ends_when_the_time_without_a_connection_is_over() {
    let (server, port) = listen_anywhere();
    kill(server);
    let url = format!("ws://127.0.0.1:{port}/");
    let ended = run(&[&url, "--reconnect", "--reconnect-max", "1ms"], b"hello\n");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.starts_with("ws: cannot connect to 127.0.0.1:"), "{ended:?}");
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn it_ends_when_a_further_attempt_is_of_no_use() {
    let (connected, connections) = log();
    let url = serve(Server::builder(), move |mut ws, _| {
        connected(());
        async move { drop(ws.close(CloseCode::new(4000).expect("valid"), "no").await) }
    });
    let ended = run(&[&format!("ws://{url}"), "--reconnect", "--no-input"], b"");
    connections.next();
    let last = ended.stderr.lines().last().unwrap();
    assert_eq!((ended.code, last), (7, "ws: the server closed the connection: 4000 no"), "{ended:?}");
    run(&[&format!("http://{url}"), "--reconnect"], b"").failed(1, &[]);
}

#[test]
fn json_lines_show_the_end_of_each_connection() {
    let (server, port) = listen_anywhere();
    let url = format!("ws://127.0.0.1:{port}/");
    let mut client = Running::start(&[&url, "--reconnect", "--jsonl"]);
    client.error_line("* connected");
    kill(server);
    assert_eq!(close_code(&client.line()), 1006);
    // A ping while there is no connection is dropped.
    client.send("{\"type\":\"ping\"}\n");
    let server = listen(&port);
    client.error_line("* connected again");
    kill(server);
    assert_eq!(close_code(&client.line()), 1006);
    signal(client.id(), "INT");
    assert_eq!(client.code(), 130);
}

/// The code of a line that is a Close.
#[track_caller]
fn close_code(line: &str) -> serde_json::Value {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["type"], "close", "{line}");
    line["code"].clone()
}
