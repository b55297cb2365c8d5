//! Our client in a loop of `feed`, `send` and `recv`. With one message in flight, that is `send` and `recv`. A stream
//! is received with `recv`, `recv_ref` or `recv_event`.

use bench_common::client::{self, Options, Receive};
use bench_common::server::MAX_MESSAGE;
use bytes::Bytes;
use std::error::Error;
use ws_client::{Connector, Event};

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut ws =
        Connector::new().keepalive(None).max_message_size(MAX_MESSAGE).connect(&options.url()).await?;
    let payload = Bytes::from(options.payload());
    let mut meter = options.meter();
    match options.receive {
        None => {}
        Some(Receive::Messages) => {
            while meter.goes_on() {
                let message = ws.recv().await.ok_or("the server closed")?;
                meter.check(message.as_bytes(), &payload)?;
            }
        }
        Some(Receive::Lent) => {
            while meter.goes_on() {
                let message = ws.recv_ref().await.ok_or("the server closed")?;
                meter.check(message.as_bytes(), &payload)?;
            }
        }
        Some(Receive::Events) => {
            while meter.goes_on() {
                let Some(Event::Message(message)) = ws.recv_event().await else {
                    return Err("not a message".into());
                };
                meter.check(message.as_bytes(), &payload)?;
            }
        }
    }
    while options.receive.is_none() && meter.goes_on() {
        for _ in 1..options.depth {
            ws.feed(payload.clone()).await?;
        }
        ws.send(payload.clone()).await?;
        for _ in 0..options.depth {
            let echo = ws.recv().await.ok_or("the server closed")?;
            client::check(echo.as_bytes(), &payload)?;
        }
    }
    meter.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_env();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(options))
}
