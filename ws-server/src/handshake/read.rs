//! What is read before a connection is one, and said instead.

use std::{io, time::Duration};

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use ws_proto::{
    Limits,
    handshake::{RequestError, RequestReader},
};

/// How long a refused peer may take to read its answer.
const LINGER: Duration = Duration::from_secs(1);

/// A request's head, and what came behind it.
pub(crate) struct ReceivedRequest {
    pub(crate) request: http::Request<()>,
    pub(crate) rest: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    Bad(RequestError),
}

/// Reads a request's head; each byte is looked at once.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(
    io: &mut S,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> Result<ReceivedRequest, ReadError> {
    const FIRST: usize = 1024;
    let mut reader = RequestReader::new(limits);
    loop {
        if !buffer.is_empty()
            && let Some((request, head_len)) = reader.read(buffer).map_err(ReadError::Bad)?
        {
            return Ok(ReceivedRequest { request, rest: buffer.split_off(head_len) });
        }
        // What is left of the buffer is used first: of a peer that sends a byte now and then there may be many.
        let spare = buffer.capacity() - buffer.len();
        let more = if spare > 0 { spare } else { FIRST.max(buffer.len()) };
        let room = limits.max_head_size.saturating_sub(buffer.len()).clamp(1, more);
        buffer.reserve(room);
        let n = io.read_buf(&mut buffer.limit(room)).await.map_err(ReadError::Io)?;
        if n == 0 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Sends an answer that ends the connection, and lets the peer read it: closing with unread input would reset the
/// connection and destroy the answer on its way.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, answer: &[u8]) {
    let say_and_listen = async {
        io.write_all(answer).await?;
        io.shutdown().await?;
        // Not in the future itself, which every handshake carries.
        let mut sink = vec![0; 512];
        while io.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, say_and_listen).await;
}
