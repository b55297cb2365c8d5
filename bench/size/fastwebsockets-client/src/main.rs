//! A minimal client with fastwebsockets. The feature `upgrade` is its only handshake.

use fastwebsockets::{FragmentCollector, Frame, Payload, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use std::error::Error;
use tokio::net::TcpStream;

struct Spawn;

impl<Task> hyper::rt::Executor<Task> for Spawn
where
    Task: Future + Send + 'static,
    Task::Output: Send + 'static,
{
    fn execute(&self, task: Task) {
        tokio::spawn(task);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect("127.0.0.1:9001").await?;
    let request = Request::builder()
        .uri("http://127.0.0.1:9001/")
        .header("Host", "127.0.0.1:9001")
        .header("Upgrade", "websocket")
        .header("Connection", "upgrade")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())?;
    let (ws, _response) = handshake::client(&Spawn, request, stream).await?;
    let mut ws = FragmentCollector::new(ws);
    ws.write_frame(Frame::text(Payload::Borrowed(b"hello"))).await?;
    println!("{:?}", &ws.read_frame().await?.payload[..]);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
