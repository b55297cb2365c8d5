//! A server per socket, until SIGTERM.

use std::{io, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use ws_server::{CloseCode, Request, Server, ServerStream, WebSocket, close::Shutdown};

use super::sockets::Socket;

pub(crate) fn serve(sockets: Vec<(String, Socket)>) -> io::Result<()> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(run(sockets))
}

async fn run(sockets: Vec<(String, Socket)>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (mut servers, mut handles) = (JoinSet::new(), Vec::new());
    for (name, socket) in sockets {
        let (server, address) = bind(socket)?;
        println!("{name}: listening on {address}");
        handles.push(server.shutdown_handle());
        servers.spawn(server.serve(echo));
    }
    terminate.recv().await;
    // systemd starts the next process once this one has ended.
    let restart = Shutdown::new().code(CloseCode::SERVICE_RESTART).grace(Duration::from_secs(5));
    handles.iter().for_each(|handle| handle.start_with(restart.clone()));
    while servers.join_next().await.is_some() {}
    Ok(())
}

fn bind(socket: Socket) -> io::Result<(Server, String)> {
    match socket {
        Socket::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?.to_string();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok((Server::builder().listener(listener)?, address))
        }
        Socket::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let address = address.as_pathname().map_or_else(String::new, |path| path.display().to_string());
            let listener = tokio::net::UnixListener::from_std(listener)?;
            Ok((Server::builder().unix_listener(listener)?, address))
        }
    }
}

async fn echo(mut ws: WebSocket<ServerStream>, _request: Request) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}
