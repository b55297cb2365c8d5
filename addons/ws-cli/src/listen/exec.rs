//! `--exec`: a command per connection.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use ws_server::{CloseCode, Message, Request, Sender};

use super::{GRACE, Socket};
use crate::console;

/// Runs the command. Each message is a line of its input, each line of its output is a message. The connection closes
/// when the command's output ends, with 1000 if the command succeeded, and the input of the command ends with the
/// connection.
pub(super) async fn serve(mut socket: Socket, request: Request, command: String) {
    let mut child = match start(&socket, &request, &command) {
        Ok(child) => child,
        Err(error) => {
            console::err(format!("ws: cannot run the command: {error}"));
            socket.close(CloseCode::INTERNAL_ERROR, "the command cannot run").await;
            return;
        }
    };
    let output = child.stdout.take();
    let sender = socket.sender();
    let mut output_ended = tokio::spawn(async move {
        if let Some(output) = output {
            send_lines(output, sender).await;
        }
    });
    let mut input = child.stdin.take();
    let mut is_closing = false;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(message) => write_line(&mut input, &message).await,
                None => break,
            },
            _ = &mut output_ended, if !is_closing => {
                is_closing = true;
                input = None;
                let status = timeout(GRACE, child.wait()).await;
                let has_succeeded = matches!(status, Ok(Ok(status)) if status.success());
                let code = if has_succeeded { CloseCode::NORMAL } else { CloseCode::INTERNAL_ERROR };
                // Messages still arrive until the peer's Close.
                socket.sender().close(code, "");
            }
        }
    }
    drop(input);
    // A command that does not end with its input is killed when it is dropped.
    let _ = timeout(GRACE, child.wait()).await;
}

fn start(socket: &Socket, request: &Request, command: &str) -> std::io::Result<Child> {
    let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let peer = request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    Command::new(shell)
        .args([option, command])
        .env("WS_PATH", request.path())
        .env("WS_QUERY", request.query().unwrap_or_default())
        .env("WS_PEER", peer)
        .env("WS_SUBPROTOCOL", socket.subprotocol().unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// A command that has closed its input does not end the connection.
async fn write_line(input: &mut Option<ChildStdin>, message: &Message) {
    if let Some(open) = input {
        let mut line = message.as_bytes().to_vec();
        line.push(b'\n');
        if open.write_all(&line).await.is_err() {
            *input = None;
        }
    }
}

/// Lines that are not UTF-8 are binary messages.
async fn send_lines(output: ChildStdout, sender: Sender) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let message = String::from_utf8(std::mem::take(&mut line))
            .map_or_else(|error| error.into_bytes().into(), Message::text);
        if sender.send(message).await.is_err() {
            return;
        }
    }
}
