//! Makes a server of the settings.

use std::{io, sync::Arc};

use tokio::net::{TcpListener, ToSocketAddrs};
use ws_proto::error::ConfigError;

use crate::{net::listener::Listener, server::Server, shard::server_state::ServerState};

use super::ServerBuilder;

impl ServerBuilder {
    /// Listens on `addr`.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] for a bad setting, with the setting and its value;
    /// - [`io::ErrorKind::Unsupported`] outside of a tokio runtime, and in a runtime without I/O or timers;
    /// - the error of the operating system if it cannot listen on the address.
    ///
    /// tokio reports a runtime without I/O or timers by a panic. The panic is caught, but the panic hook of the process
    /// runs before, and a program that is built to abort on panics aborts.
    ///
    /// # Cancel safety
    /// Safe. Nothing listens then.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> io::Result<Server> {
        let server = self.build_state()?;
        let listener = Listener::bind(addr, server.options.listener_settings()).await?;
        Ok(Server::new(Some(listener), server))
    }

    /// Listens on a Unix socket. The file must not exist; it is removed when the server ends. TLS is not used.
    ///
    /// The permissions of the file decide which processes may connect: see [`unix_mode`](Self::unix_mode). On Linux
    /// they are set before the socket listens, so no connection is made under other permissions. On other systems the
    /// socket listens for a moment with the permissions that the umask leaves: use a directory that only the right
    /// users can enter.
    ///
    /// It can be called outside of a tokio runtime, for example before the process drops its privileges. The server
    /// runs in a runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a bad setting, with the setting and its value; otherwise the error of the
    /// operating system.
    #[cfg(unix)]
    pub fn bind_unix(self, path: impl AsRef<std::path::Path>) -> io::Result<Server> {
        let server = self.build_state()?;
        let bound = crate::net::listener::unix::Bound::new(path.as_ref(), server.options.unix_mode)?;
        Ok(Server::new(Some(Listener::Unix(bound)), server))
    }

    /// Uses a listener that already exists, for example from socket activation.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a bad setting, with the setting and its value; otherwise the error of the
    /// operating system.
    pub fn listener(self, listener: TcpListener) -> io::Result<Server> {
        Ok(Server::new(Some(Listener::Tcp(listener.into_std()?)), self.build_state()?))
    }

    /// Creates a server that does not listen. All its connections come from its [`Adopter`](crate::adopt::Adopter):
    /// another server of the program, such as axum, accepts them and hands them over.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let server = ws_server::Server::builder().without_listener()?;
    /// let adopter = server.adopter();
    /// tokio::spawn(server.sharded(2).serve(|mut ws, _request| async move {
    ///     while let Some(message) = ws.recv().await {
    ///         if ws.send(message).await.is_err() {
    ///             break;
    ///         }
    ///     }
    /// }));
    /// // Give clones of `adopter` to the handlers of the HTTP server.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It can be called outside of a tokio runtime. The server runs in a runtime, with I/O and timers.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a bad setting, with the setting and its value.
    pub fn without_listener(self) -> io::Result<Server> {
        Ok(Server::new(None, self.build_state()?))
    }

    pub(super) fn build_state(self) -> io::Result<Arc<ServerState>> {
        let invalid = |error: ConfigError| io::Error::new(io::ErrorKind::InvalidInput, error);
        self.options.check().map_err(invalid)?;
        let mut protocol = self.options.protocol.clone().validate().map_err(invalid)?;
        if let Some(budget) = self.options.memory_budget() {
            protocol = protocol.with_memory_budget(budget).map_err(invalid)?;
        }
        // A handler's connections give pings to `Handler::on_ping`, whose default follows `protocol.auto_pong`.
        let handler_protocol = protocol.derive(|config| config.auto_pong = false).map_err(invalid)?;
        let options = self.options.with_topics(protocol.memory_budget()).map_err(invalid)?;
        Ok(ServerState::new(options, protocol, handler_protocol))
    }
}
