use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};
use ws_proto::{Limits, handshake::RequestReader};

use super::error::AcceptError;

/// Bytes per read. Most requests are smaller.
pub(super) const READ_SIZE: usize = 2048;

/// Reads until `buffer` contains a whole request head. Returns the request and the length of its head.
pub(super) async fn read_request<S: AsyncRead + Unpin>(
    io: &mut S,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(http::Request<()>, usize), AcceptError> {
    let mut reader = RequestReader::new(limits);
    loop {
        if !buffer.is_empty()
            && let Some(request) = reader.read(buffer)?
        {
            return Ok(request);
        }
        let most = limits.max_head_size.saturating_sub(buffer.len()).max(1);
        if read_some(io, most, |bytes| buffer.extend_from_slice(bytes)).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Reads once, at most `most` bytes, and returns their number; 0 is the end of the stream. It holds no buffer while it
/// waits, because many peers may be silent at once.
pub(super) async fn read_some<S: AsyncRead + Unpin>(
    io: &mut S,
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut scratch = [0; READ_SIZE];
        let mut read = ReadBuf::new(&mut scratch[..most.min(READ_SIZE)]);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
        take(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}
