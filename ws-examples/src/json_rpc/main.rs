//! A JSON-RPC 2.0 server. Each request runs in a task of its own, so a slow one does not delay the others; tasks end
//! with their connection. Methods: `add` with two numbers, `sleep` with milliseconds.
//!
//! `cargo run --release --bin json-rpc -- [ADDR]`

use std::{process::ExitCode, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use ws_examples::{announce, arguments};
use ws_server::{CloseCode, Request, Sender, Server, ServerStream, WebSocket};

/// Requests of one connection that run at the same time. Further ones wait, and the peer with them.
const MOST_RUNNING: usize = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments("json-rpc [ADDR]", 0..=1) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let addr = arguments.first().map_or("127.0.0.1:9006", String::as_str);
    match Server::bind(addr).await {
        Ok(server) => {
            announce(&server);
            server.serve(serve).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("json-rpc: {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(mut ws: WebSocket<ServerStream>, _request: Request) {
    let running = Arc::new(Semaphore::new(MOST_RUNNING));
    while let Some(message) = ws.recv().await {
        let Some(text) = message.as_text() else {
            ws.close(CloseCode::UNSUPPORTED_DATA, "JSON-RPC is text").await;
            return;
        };
        let request = serde_json::from_str(text);
        let Ok(permit) = Arc::clone(&running).acquire_owned().await else { return };
        let sender = ws.sender();
        tokio::spawn(async move {
            tokio::select! {
                () = answer(request, &sender) => {}
                () = sender.closed() => {} // nothing can be answered any more
            }
            drop(permit);
        });
    }
}

async fn answer(request: serde_json::Result<Value>, sender: &Sender) {
    let answer = match request {
        Err(error) => failure(&Value::Null, -32700, &error.to_string()),
        Ok(request) => match (&request["method"], &request["id"]) {
            (Value::String(_), Value::Null) => return, // a notification has no answer
            (Value::String(method), id) => call(method, &request["params"]).await.map_or_else(
                |(code, reason)| failure(id, code, reason),
                |result| json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            ),
            (_, id) => failure(id, -32600, "no method"),
        },
    };
    let _ = sender.send(answer.to_string()).await;
}

async fn call(method: &str, params: &Value) -> Result<Value, (i32, &'static str)> {
    match (method, params.as_array().map(Vec::as_slice)) {
        ("add", Some([Value::Number(a), Value::Number(b)])) => {
            Ok(json!(a.as_f64().unwrap_or_default() + b.as_f64().unwrap_or_default()))
        }
        ("sleep", Some([Value::Number(milliseconds)])) => {
            tokio::time::sleep(Duration::from_millis(milliseconds.as_u64().unwrap_or_default())).await;
            Ok(Value::Null)
        }
        ("add" | "sleep", _) => Err((-32602, "invalid params")),
        _ => Err((-32601, "method not found")),
    }
}

fn failure(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
