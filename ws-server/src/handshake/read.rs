//! What is read before a connection is one, and said instead.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use ws_proto::{
    Limits,
    handshake::{RequestError, RequestReader},
};

/// How long a refused peer may take to read its answer.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at a time; most requests are smaller.
const SCRATCH: usize = 2048;

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
    let mut reader = RequestReader::new(limits);
    loop {
        if !buffer.is_empty()
            && let Some((request, head_len)) = reader.read(buffer).map_err(ReadError::Bad)?
        {
            return Ok(ReceivedRequest { request, rest: buffer.split_off(head_len) });
        }
        let most = limits.max_head_size.saturating_sub(buffer.len()).max(1);
        let n = read_some(io, most, |bytes| buffer.extend_from_slice(bytes)).await.map_err(ReadError::Io)?;
        if n == 0 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Reads once, at most so many bytes; 0 is the end. While nothing comes it holds no memory: of peers that say nothing
/// there may be many.
async fn read_some<S: AsyncRead + Unpin>(
    io: &mut S,
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut scratch = [0; SCRATCH];
        let mut read = ReadBuf::new(&mut scratch[..most.min(SCRATCH)]);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
        take(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

/// Sends an answer that ends the connection, and lets the peer read it: closing with unread input would reset the
/// connection and destroy the answer on its way.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, answer: &[u8]) {
    let say_and_listen = async {
        io.write_all(answer).await?;
        io.shutdown().await?;
        while read_some(io, SCRATCH, |_| {}).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, say_and_listen).await;
}
