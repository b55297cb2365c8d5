//! The connection for commands to one server.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::{Cmd, RedisError, Value};
use tokio::sync::Mutex;

use super::scripts::{self, Script};
use crate::redis::endpoint::{Connecting, Connection, Endpoint};

/// The time after a failed attempt in which the next one fails at once.
const PAUSE: Duration = Duration::from_millis(50);

/// A server. The connection is made when it is needed.
#[derive(Debug)]
pub(super) struct Node {
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    failed: Option<Instant>,
}

/// A command, or a script with its keys and arguments.
#[derive(Debug)]
pub(in crate::redis) enum Request<'a> {
    Plain(Cmd),
    Script { script: &'static Script, keys: &'a [String], args: &'a [&'a [u8]] },
}

impl Node {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, state: Mutex::default() }
    }

    /// The connection. All callers wait for one attempt.
    pub(super) async fn connection(&self, connecting: &Connecting) -> Result<Arc<Connection>, RedisError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok(Arc::clone(connection));
        }
        if state.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        let opened = self.open(connecting).await;
        state.failed = opened.is_err().then(Instant::now);
        let connection = Arc::new(opened?);
        state.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn open(&self, connecting: &Connecting) -> Result<Connection, RedisError> {
        let connection = connecting.commands(&self.endpoint).await?;
        let mut load = ::redis::pipe();
        for script in scripts::all() {
            load.cmd("SCRIPT").arg("LOAD").arg(&script.text).ignore();
        }
        // Where loading is forbidden or fails, the scripts are sent as text.
        let _ = load.query_async::<()>(&mut connection.requests.clone()).await;
        Ok(connection)
    }

    /// Forgets this connection. A newer one stays.
    pub(super) async fn forget(&self, broken: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        if state.connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, broken)) {
            state.connection = None;
        }
    }

    /// Ends the connection, if there is one: its requests in flight fail.
    pub(super) fn end(&self) {
        let Ok(mut state) = self.state.try_lock() else { return };
        if let Some(connection) = state.connection.take() {
            connection.end();
        }
    }
}

impl Request<'_> {
    pub(super) async fn send(&self, connection: &Connection, asking: bool) -> Result<Value, RedisError> {
        match self {
            Self::Plain(command) => send(connection, command, asking).await,
            Self::Script { script, keys, args } => {
                let by_hash = invocation("EVALSHA", &script.hash, keys, args);
                match send(connection, &by_hash, asking).await {
                    Err(error) if error.code() == Some("NOSCRIPT") => {
                        send(connection, &invocation("EVAL", &script.text, keys, args), asking).await
                    }
                    answered => answered,
                }
            }
        }
    }
}

fn invocation(name: &str, script: &str, keys: &[String], args: &[&[u8]]) -> Cmd {
    let mut command = ::redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for arg in args {
        command.arg(*arg);
    }
    command
}

async fn send(connection: &Connection, command: &Cmd, asking: bool) -> Result<Value, RedisError> {
    let mut requests = connection.requests.clone();
    if !asking {
        return command.query_async(&mut requests).await;
    }
    // In one piece, because other requests share the connection.
    let mut both = ::redis::pipe();
    both.cmd("ASKING").ignore().add_command(command.clone());
    let (value,) = both.query_async(&mut requests).await?;
    Ok(value)
}
