//! The header of the PROXY protocol, which comes before TLS and HTTP.

use std::io;

#[cfg(feature = "tls-core")]
use tokio::io::AsyncReadExt as _;

use crate::{
    admission::permits::Full,
    measure::HandshakeFailure,
    net::stream::ServerStream,
    options::Options,
    proxy::header::{self, Client, HeaderError, Parsed},
};

use super::{
    Handshake,
    read::{READ_SIZE, read_some},
};

/// Why a handshake ends at its header.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyHeaderError {
    #[error("I/O failed")]
    Io(#[from] io::Error),
    #[error("a trusted proxy sent no valid header of the PROXY protocol")]
    Header(#[from] HeaderError),
    #[error("the client has as many handshakes as an address may have")]
    Full(Full),
}

impl ProxyHeaderError {
    /// What the handshake counts as, if it is not answered.
    pub(super) const fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Io(_) => HandshakeFailure::Transport,
            Self::Header(_) => HandshakeFailure::Proxy,
            Self::Full(_) => HandshakeFailure::Overload,
        }
    }
}

impl Handshake {
    /// Takes the header from the bytes that were received. `Ok(false)`: it is not complete yet.
    pub(super) fn take_proxy_header(&mut self, options: &Options) -> Result<bool, ProxyHeaderError> {
        match header::parse(&self.received)? {
            Parsed::Incomplete { .. } => return Ok(false),
            Parsed::Absent if !is_optional(options) => return Err(HeaderError::Absent.into()),
            Parsed::Absent => self.take_client(Client::Unnamed, options)?,
            Parsed::Header { len, client } => {
                self.received.drain(..len);
                self.take_client(client, options)?;
            }
        }
        Ok(true)
    }

    /// Counts the handshake as one of the client, unless the request may still name another one.
    fn take_client(&mut self, client: Client, options: &Options) -> Result<(), ProxyHeaderError> {
        self.expects_proxy_header = false;
        let client = match client {
            Client::Unnamed => self.peer,
            Client::WithoutAddress => None,
            Client::Address(client) => Some(client),
        };
        if client != self.peer {
            self.proxy = std::mem::replace(&mut self.peer, client).map(Box::new);
            self.progress.set_peer(client);
        }
        if options.trusts_forwarded(client) {
            Ok(())
        } else {
            self.permit.assign(client).map_err(ProxyHeaderError::Full)
        }
    }

    /// Reads the header, and behind it no byte of TLS.
    pub(super) async fn read_proxy_header(
        &mut self,
        io: &mut ServerStream,
        options: &Options,
    ) -> Result<(), ProxyHeaderError> {
        #[cfg(feature = "tls-core")]
        if options.uses_tls() && io.is_tcp() {
            return self.read_proxy_header_before_tls(io, options).await;
        }
        // What was received before may hold a part, or all of it.
        while !self.take_proxy_header(options)? {
            let received = &mut self.received;
            if read_some(io, READ_SIZE, |bytes| received.extend_from_slice(bytes)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    #[cfg(feature = "tls-core")]
    async fn read_proxy_header_before_tls(
        &mut self,
        io: &mut ServerStream,
        options: &Options,
    ) -> Result<(), ProxyHeaderError> {
        if is_optional(options) && !header::may_begin_with(io.peek_byte().await?) {
            return self.take_client(Client::Unnamed, options);
        }
        while let Parsed::Incomplete { missing } = header::parse(&self.received)? {
            let before = self.received.len();
            self.received.resize(before + missing, 0);
            io.read_exact(&mut self.received[before..]).await?;
        }
        // TLS does not begin with such a byte, so bytes that are no header are neither.
        if !self.take_proxy_header(options)? || !self.received.is_empty() {
            return Err(HeaderError::Absent.into());
        }
        Ok(())
    }
}

fn is_optional(options: &Options) -> bool {
    options.proxy_protocol.as_ref().is_some_and(|protocol| protocol.is_optional())
}
