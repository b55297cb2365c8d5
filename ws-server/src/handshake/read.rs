//! What is read before a connection is one, and said instead.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use ws_proto::{
    Limits,
    handshake::{RequestError, RequestReader},
};

/// How long a refused peer may take to close once its answer is written.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at a time; most requests are smaller.
const SCRATCH: usize = 2048;
/// Reads in a turn of what a refused peer sends while its answer waits.
const DISCARDS_PER_TURN: usize = 32;

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
/// connection and destroy the answer on its way. It is given up once the peer has taken nothing for `patience`.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    answer: &[u8],
    patience: Duration,
) {
    if say(io, answer, patience).await.is_err() {
        return;
    }
    let listen = async {
        while read_some(io, SCRATCH, |_| {}).await? > 0 {
            // Else nobody looks at the time while a transport always has more, which not only tokio's own may be.
            tokio::task::consume_budget().await;
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, listen).await;
}

/// Writes all of `answer` and ends the stream. What the peer sends meanwhile is read and dropped, because it may not read
/// before it has sent everything.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    mut answer: &[u8],
    patience: Duration,
) -> io::Result<()> {
    let mut peer_sends = true;
    while !answer.is_empty() {
        let write = poll_fn(|cx| {
            let written = Pin::new(&mut *io).poll_write(cx, answer);
            if written.is_pending() && peer_sends {
                peer_sends = poll_discard(io, cx);
            }
            written
        });
        match tokio::time::timeout(patience, write).await?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => answer = &answer[written..],
        }
    }
    tokio::time::timeout(patience, io.shutdown()).await?
}

/// Reads for a turn, and drops what comes; false once there is no more.
fn poll_discard<S: AsyncRead + Unpin>(io: &mut S, cx: &mut Context<'_>) -> bool {
    for _ in 0..DISCARDS_PER_TURN {
        let mut scratch = [0; SCRATCH];
        let mut read = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *io).poll_read(cx, &mut read) {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
            // What is wrong with the transport shows in the write.
            Poll::Ready(_) => return false,
        }
    }
    cx.waker().wake_by_ref();
    true
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin};

    use tokio::{
        io::AsyncReadExt as _,
        time::{Instant, sleep},
    };

    use super::*;

    /// Always has more; counts the reads since the latest poll of whoever reads. (tokio's own `repeat` sees to it that
    /// others have their turn.)
    struct Endless<'a>(&'a Cell<usize>);

    impl AsyncRead for Endless<'_> {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() < 10_000, "nobody else gets a turn");
            buf.put_slice(&[0; 16]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_peer_that_never_stops_talking_is_left_in_time() {
        let reads = Cell::new(0);
        let mut io = tokio::io::join(Endless(&reads), tokio::io::sink());
        let mut responding = pin!(respond(&mut io, b"HTTP/1.1 400 Bad Request\r\n\r\n", PATIENCE));
        for (waited, over) in [(Duration::ZERO, false), (LINGER / 2, false), (LINGER / 2, true)] {
            tokio::time::advance(waited).await;
            reads.set(0);
            let poll = poll_fn(|cx| Poll::Ready(responding.as_mut().poll(cx))).await;
            assert_eq!(poll.is_ready(), over);
            tokio::task::yield_now().await;
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);
    /// What a transport of the tests takes at once.
    const PIECE: usize = 64;

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_on_for_as_long_as_the_peer_takes_some_of_it_in_time() {
        let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
        let answer = [b'x'; 20 * PIECE];
        let start = Instant::now();
        let read = async {
            let mut received = Vec::new();
            while received.len() < answer.len() {
                sleep(PATIENCE * 9 / 10).await;
                let mut piece = [0; PIECE];
                theirs.read_exact(&mut piece).await.unwrap();
                received.extend_from_slice(&piece);
            }
            assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
            drop(theirs);
            received
        };
        let ((), received) = tokio::join!(respond(&mut ours, &answer, PATIENCE), read);
        assert_eq!(received, answer);
        assert!(start.elapsed() >= PATIENCE * 18, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_which_the_peer_takes_nothing_is_given_up() {
        let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
        let start = Instant::now();
        let read = async {
            sleep(PATIENCE / 2).await;
            theirs.read_exact(&mut [0; PIECE]).await.unwrap();
        };
        tokio::join!(respond(&mut ours, &[b'x'; 4 * PIECE], PATIENCE), read);
        let (elapsed, expected) = (start.elapsed(), PATIENCE * 3 / 2);
        assert!((expected..expected + LINGER).contains(&elapsed), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_before_it_reads_gets_its_answer() {
        let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
        let answer = [b'x'; 4 * PIECE];
        let peer = async {
            theirs.write_all(&[b'y'; 1000 * PIECE]).await.unwrap();
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            drop(theirs);
            received
        };
        let ((), received) = tokio::join!(respond(&mut ours, &answer, PATIENCE), peer);
        assert_eq!(received, answer);
    }
}
