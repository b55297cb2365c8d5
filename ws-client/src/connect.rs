//! From a URL to a transport.

use std::io;

use tokio::net::TcpStream;

use crate::{error::ConnectError, stream::ClientStream, url::Target};

/// Resolves the host and connects to the first of its addresses that answers.
pub(crate) async fn dial(target: &Target, nodelay: bool) -> Result<ClientStream, ConnectError> {
    if target.secure {
        return Err(ConnectError::TlsNotBuiltIn);
    }
    let addrs = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|error| ConnectError::Resolve { host: target.host.clone(), error })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addrs {
        match TcpStream::connect(addr).await {
            Ok(stream) => {
                stream.set_nodelay(nodelay)?;
                return Ok(ClientStream::Tcp(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect { host: format!("{}:{}", target.host, target.port), error: last })
}
