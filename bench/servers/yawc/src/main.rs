//! Echo server on yawc: the hyper upgrade of its crate documentation and the `next` / `send` loop shown there.

use bench_common::server::MAX_MESSAGE;
use bench_runtime::{Clock, Start};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use yawc::frame::OpCode;
use yawc::{DeflateOptions, DeflatePool, Options, UpgradeFut, WebSocket};

/// UTF-8 is checked because RFC 6455 requires it and all other servers do. It is off by default in yawc.
fn options(deflate: Option<&DeflatePool>) -> Options {
    let options = Options::default().with_limits(MAX_MESSAGE, 2 * MAX_MESSAGE).with_utf8();
    // Its profile without context takeover, with the pool that it offers for that.
    let deflate =
        deflate.map(|pool| DeflateOptions { pool: Some(pool.clone()), ..DeflateOptions::low_latency() });
    Options { compression: deflate, ..options }
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

async fn upgrade(
    mut req: Request<Incoming>,
    deflate: Option<DeflatePool>,
) -> yawc::Result<Response<Empty<Bytes>>> {
    let (response, fut) = WebSocket::upgrade_with_options(&mut req, options(deflate.as_ref()))?;
    tokio::spawn(echo(fut));
    Ok(response)
}

async fn serve(listener: TcpListener, deflate: Option<DeflatePool>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let deflate = deflate.clone();
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let service = service_fn(move |request| upgrade(request, deflate.clone()));
            http1::Builder::new().serve_connection(io, service).with_upgrades().await
        });
    }
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    // One thread compresses one message at a time.
    let deflate = start.flag("deflate").then(|| DeflatePool::new(1));
    start.run(Clock::On, |listener| serve(listener, deflate))
}
