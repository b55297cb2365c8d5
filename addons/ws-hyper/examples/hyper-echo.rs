//! `hyper-echo [ADDR]`: echoes messages inside a hyper server, over HTTP/1.1 and HTTP/2. Ends with status 0 on SIGINT,
//! after every connection was closed with 1001.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::net::TcpListener;
use ws_hyper::{Config, DeflateConfig, HyperStream, Upgrader, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::server());
    let upgrader = Upgrader::new(config.validate()?);
    let listener = TcpListener::bind(addr).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    let accepting = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let upgrader = upgrader.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = respond(&upgrader, request);
                    async { Ok::<_, Infallible>(response) }
                });
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http2().enable_connect_protocol();
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    upgrader.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

fn respond(upgrader: &Upgrader, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    match upgrader.begin(&mut request) {
        Ok(upgrade) => upgrade.on_upgrade(echo).unwrap_or_else(|error| error.into_response()),
        Err(error) => error.into_response(),
    }
}

async fn echo(mut ws: WebSocket<HyperStream>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}
