//! `ws listen`: a server for tests and small tools.

mod broadcast;
mod echo;
mod exec;

use std::time::Duration;

use ws_server::{DeflateConfig, OriginPolicy, Request, Server, ServerBuilder, ServerStream, Tls, WebSocket};

use crate::{
    cli::{ListenArgs, Mode},
    connect::{interrupted, read_file},
    console,
    exit::{Code, Failure, Outcome, chain},
};

/// The time for open connections to close, when the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// A connection of the server.
type Socket = WebSocket<ServerStream>;

/// Listens until the process is interrupted.
pub(crate) async fn listen(args: ListenArgs) -> Outcome {
    let is_tls = args.cert.is_some();
    let builder = builder(&args)?;
    let server = bind(builder, &args.address).await?;
    let scheme = if is_tls { "wss" } else { "ws" };
    match server.local_addr() {
        Ok(address) => console::err(format!("listening on {scheme}://{address}/")),
        Err(_) => console::err(format!("listening on ws+{}", args.address)),
    }
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        interrupted().await;
        handle.start(GRACE);
    });
    match args.mode() {
        Mode::Echo => server.serve(echo::serve).await,
        Mode::Broadcast => {
            let room = broadcast::Room::default();
            server.serve(move |socket, _| broadcast::serve(socket, room.clone())).await
        }
        Mode::Exec(command) => {
            server.serve(move |socket, request| exec::serve(socket, request, command.clone())).await
        }
    };
    Ok(())
}

fn builder(args: &ListenArgs) -> Outcome<ServerBuilder> {
    let mut builder = Server::builder().max_connections(args.max_connections).max_message_size(args.max_size);
    if args.allow_origin.iter().any(|origin| origin == "any") {
        builder = builder.origin(OriginPolicy::Any);
    } else if !args.allow_origin.is_empty() {
        builder = builder.origin(OriginPolicy::List(args.allow_origin.clone()));
    }
    if !args.no_compress {
        builder = builder.deflate(Some(DeflateConfig::server()));
    }
    if !args.subprotocol.is_empty() {
        let supported = args.subprotocol.clone();
        builder = builder.on_request(move |request: &mut Request| {
            request.select_subprotocol(&supported);
            Ok(())
        });
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        let tls = Tls::from_pem(read_file("--cert", cert)?, read_file("--key", key)?);
        let invalid =
            |error| Failure::new(Code::Tls, format!("the TLS settings are invalid: {}", chain(&error)));
        builder = builder.tls(tls.map_err(invalid)?);
    }
    Ok(builder)
}

async fn bind(builder: ServerBuilder, address: &str) -> Outcome<Server> {
    let bound = match address.strip_prefix("unix:") {
        #[cfg(unix)]
        Some(path) => builder.bind_unix(path),
        #[cfg(not(unix))]
        Some(_) => Err(std::io::ErrorKind::Unsupported.into()),
        None => match address.strip_prefix(':').unwrap_or(address).parse::<u16>() {
            Ok(port) => builder.bind(("127.0.0.1", port)).await,
            Err(_) => builder.bind(address).await,
        },
    };
    bound.map_err(|error| {
        Failure::new(Code::Network, format!("cannot listen on {address}: {}", chain(&error)))
    })
}
