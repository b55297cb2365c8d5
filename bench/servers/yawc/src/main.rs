//! Echo server on yawc: the hyper upgrade of its crate documentation and the `next` / `send` loop shown beside it.

use bench_common::server::{self, MAX_MESSAGE};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use yawc::frame::OpCode;
use yawc::{Options, UpgradeFut, WebSocket};

/// UTF-8 is checked because RFC 6455 asks for it and all others do; yawc leaves it off unless told.
fn options() -> Options {
    Options::default().with_limits(MAX_MESSAGE, 2 * MAX_MESSAGE).with_utf8()
}

async fn echo(fut: UpgradeFut) -> yawc::Result<()> {
    let mut ws = fut.await?;
    while let Some(frame) = ws.next().await {
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => ws.send(frame).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn upgrade(mut req: Request<Incoming>) -> yawc::Result<Response<Empty<Bytes>>> {
    let (response, fut) = WebSocket::upgrade_with_options(&mut req, options())?;
    tokio::spawn(echo(fut));
    Ok(response)
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            http1::Builder::new().serve_connection(io, service_fn(upgrade)).with_upgrades().await
        });
    }
}

fn main() -> std::io::Result<()> {
    let options = server::options();
    options.rest.finish().unwrap_or_else(|message| server::refuse(&message));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move { serve(TcpListener::from_std(server::listen(options.listen)?)?).await })
}
