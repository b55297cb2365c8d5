//! Echo server on fastwebsockets: its `echo_server` example (hyper's upgrade, `FragmentCollector`).

use bench_common::server::MAX_MESSAGE;
use bench_runtime::{Clock, Start, TlsAcceptor};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

async fn handle_client(fut: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = fut.await?;
    ws.set_max_message_size(MAX_MESSAGE);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn server_upgrade(mut req: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, fut) = upgrade::upgrade(&mut req)?;
    tokio::spawn(tokio::task::unconstrained(handle_client(fut)));
    Ok(response)
}

async fn serve_connection<S>(stream: S) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = hyper_util::rt::TokioIo::new(stream);
    http1::Builder::new().serve_connection(io, service_fn(server_upgrade)).with_upgrades().await
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls.clone() else {
            tokio::spawn(serve_connection(stream));
            continue;
        };
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                // An error means that the connection has ended.
                let _ = serve_connection(stream).await;
            }
        });
    }
}

fn main() -> std::io::Result<()> {
    let mut start = Start::from_env();
    let tls = start.tls();
    start.run(Clock::Off, |listener| serve(listener, tls))
}
