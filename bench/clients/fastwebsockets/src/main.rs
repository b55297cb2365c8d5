//! fastwebsockets' client after its own example: hyper's handshake, `FragmentCollector`, `write_frame` and
//! `read_frame`.

use bench_common::client::{self, Options};
use bench_common::server::MAX_MESSAGE;
use fastwebsockets::{FragmentCollector, Frame, Payload, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, UPGRADE};
use std::error::Error;
use tokio::net::TcpStream;

struct SpawnExecutor;

impl<Fut> hyper::rt::Executor<Fut> for SpawnExecutor
where
    Fut: Future + Send + 'static,
    Fut::Output: Send + 'static,
{
    fn execute(&self, future: Fut) {
        tokio::spawn(future);
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(options.addr).await?;
    stream.set_nodelay(true)?;
    let request = Request::builder()
        .uri(options.url())
        .header("Host", options.addr.to_string())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())?;
    let (mut ws, _response) = handshake::client(&SpawnExecutor, request, stream).await?;
    ws.set_max_message_size(MAX_MESSAGE);
    let mut ws = FragmentCollector::new(ws);
    let payload = options.payload();
    let mut meter = options.meter();
    while options.receive.is_some() && meter.goes_on() {
        meter.check(&ws.read_frame().await?.payload, &payload)?;
    }
    while options.receive.is_none() && meter.goes_on() {
        for _ in 0..options.depth {
            ws.write_frame(Frame::binary(Payload::Borrowed(&payload))).await?;
        }
        for _ in 0..options.depth {
            client::check(&ws.read_frame().await?.payload, &payload)?;
        }
    }
    meter.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))
}
