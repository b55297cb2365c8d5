//! `json-rpc`: a task per request.

use std::net::SocketAddr;

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use serde_json::{Value, json};

use crate::program::{JSON_RPC, Program, run};

async fn open() -> (Program, RawClient) {
    let (server, addr) = Program::server(JSON_RPC, &["127.0.0.1:0"], "listening on ws://");
    let addr: SocketAddr = addr.parse().expect("an address");
    let client = RawClient::open(addr, "/").await;
    (server, client)
}

async fn answer(client: &mut RawClient) -> Value {
    serde_json::from_slice(&client.recv_frame().await.payload).unwrap()
}

fn call(id: u32, method: &str, params: Value) -> RawFrame {
    let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    RawFrame::text(request.to_string())
}

#[test]
fn a_slow_request_does_not_delay_the_next_one() {
    harness::run(async {
        let (_server, mut client) = open().await;
        // No answer to the first request comes within the test.
        client.send(call(1, "sleep", json!([86_400_000]))).await;
        client.send(call(2, "add", json!([1.5, 2]))).await;
        let expected = json!({ "jsonrpc": "2.0", "id": 2, "result": 3.5 });
        assert_eq!(answer(&mut client).await, expected);
        client.send(RawFrame::close(1000, "")).await;
        client.expect_close(1000).await;
        client.expect_eof().await;
    });
}

#[test]
fn errors_have_the_codes_of_the_specification() {
    harness::run(async {
        let (_server, mut client) = open().await;
        for (request, code) in [
            (RawFrame::text("{"), -32700),
            (RawFrame::text("{\"id\":1}"), -32600),
            (call(1, "subtract", json!([1, 2])), -32601),
            (call(1, "add", json!(["1", 2])), -32602),
        ] {
            client.send(request).await;
            assert_eq!(answer(&mut client).await["error"]["code"], code);
        }
    });
}

#[test]
fn a_notification_has_no_answer_and_binary_is_refused() {
    harness::run(async {
        let (_server, mut client) = open().await;
        client.send(RawFrame::text(json!({ "method": "add", "params": [1, 2] }).to_string())).await;
        client.send(call(7, "add", json!([1, 2]))).await;
        assert_eq!(answer(&mut client).await["id"], 7);
        client.send(RawFrame::binary("{}")).await;
        assert_eq!(client.expect_close(1003).await, "JSON-RPC is text");
    });
}

#[test]
fn a_wrong_command_line_is_refused_with_the_usage() {
    harness::run(async {
        run(JSON_RPC, &["--help"]).await.assert(0, "usage: json-rpc [ADDR]\n", "");
        run(JSON_RPC, &["a", "b"]).await.assert(2, "", "usage: json-rpc [ADDR]\n");
    });
}
