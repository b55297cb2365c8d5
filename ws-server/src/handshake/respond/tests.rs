use std::{cell::Cell, pin::pin};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::sleep,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a transport of these tests takes at once.
const PIECE: usize = 64;

/// Responds over a transport that has no send queue.
async fn respond(io: &mut (impl AsyncRead + AsyncWrite + Unpin), response: &[u8]) {
    send_response(io, response, PATIENCE, |_| None).await;
}

/// A reader that is always ready. It counts the reads since the test last reset the count. (`tokio::io::repeat` takes
/// part in tokio's cooperative budget.)
struct Endless<'a>(&'a Cell<usize>);

impl AsyncRead for Endless<'_> {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() < 10_000, "other tasks are not polled");
        buf.put_slice(&[0; 16]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_peer_that_never_stops_sending_is_closed_in_time() {
    let reads = Cell::new(0);
    let mut io = tokio::io::join(Endless(&reads), tokio::io::sink());
    let mut responding = pin!(respond(&mut io, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    for (waited, over) in [(Duration::ZERO, false), (LINGER / 2, false), (LINGER / 2, true)] {
        tokio::time::advance(waited).await;
        reads.set(0);
        let poll = poll_fn(|cx| Poll::Ready(responding.as_mut().poll(cx))).await;
        assert_eq!(poll.is_ready(), over);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_continues_while_the_peer_takes_some_of_it_in_time() {
    let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
    let response = [b'x'; 20 * PIECE];
    let start = Instant::now();
    let read = async {
        let mut received = Vec::new();
        while received.len() < response.len() {
            sleep(PATIENCE * 9 / 10).await;
            let mut piece = [0; PIECE];
            theirs.read_exact(&mut piece).await.unwrap();
            received.extend_from_slice(&piece);
        }
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        drop(theirs);
        received
    };
    let ((), received) = tokio::join!(respond(&mut ours, &response), read);
    assert_eq!(received, response);
    assert!(start.elapsed() >= PATIENCE * 18, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_response_of_which_the_peer_takes_nothing_is_given_up() {
    let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
    let start = Instant::now();
    let read = async {
        sleep(PATIENCE / 2).await;
        theirs.read_exact(&mut [0; PIECE]).await.unwrap();
    };
    tokio::join!(respond(&mut ours, &[b'x'; 4 * PIECE]), read);
    let (elapsed, expected) = (start.elapsed(), PATIENCE * 3 / 2);
    assert!((expected..expected + LINGER).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_before_it_reads_gets_its_response() {
    let (mut ours, mut theirs) = tokio::io::duplex(PIECE);
    let response = [b'x'; 4 * PIECE];
    let peer = async {
        theirs.write_all(&[b'y'; 1000 * PIECE]).await.unwrap();
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        drop(theirs);
        received
    };
    let ((), received) = tokio::join!(respond(&mut ours, &response), peer);
    assert_eq!(received, response);
}

/// A transport with a large send queue: it has no room while the peer acknowledges one byte per interval.
struct Queue {
    pipe: DuplexStream,
    start: Instant,
    interval: Duration,
    /// Acknowledgements end here.
    acknowledged_until: Instant,
}

impl Queue {
    fn state(&self) -> Option<SendQueue> {
        let time = Instant::now().min(self.acknowledged_until) - self.start;
        let acknowledged = (time.as_millis() / self.interval.as_millis()) as u64;
        Some(SendQueue { acknowledged, unacknowledged: 1, unanswered: Duration::ZERO })
    }
}

impl AsyncRead for Queue {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Queue {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// A transport whose peer acknowledges one byte each nine tenths of [`PATIENCE`], for so long; and the peer's end.
fn queue(acknowledges_for: Duration) -> (Queue, DuplexStream) {
    let (pipe, theirs) = tokio::io::duplex(PIECE);
    let (start, interval) = (Instant::now(), PATIENCE * 9 / 10);
    (Queue { pipe, start, interval, acknowledged_until: start + acknowledges_for }, theirs)
}

#[tokio::test(start_paused = true)]
async fn a_response_continues_while_the_peer_acknowledges_bytes_although_there_is_no_room() {
    let (mut ours, mut theirs) = queue(PATIENCE * 5);
    let response = [b'x'; 4 * PIECE];
    let peer = async {
        sleep(PATIENCE * 5).await;
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        drop(theirs);
        received
    };
    let respond = async move {
        send_response(&mut ours, &response, PATIENCE, Queue::state).await;
    };
    let ((), received) = tokio::join!(respond, peer);
    assert_eq!(received, response);
}

#[tokio::test(start_paused = true)]
async fn a_response_is_given_up_after_the_last_acknowledgement() {
    let (mut ours, _theirs) = queue(PATIENCE * 3);
    let start = Instant::now();
    send_response(&mut ours, &[b'x'; 4 * PIECE], PATIENCE, Queue::state).await;
    let last = PATIENCE * 27 / 10;
    let (earliest, latest) = (last + PATIENCE, last + PATIENCE + PATIENCE / LOOKS);
    assert!((earliest..=latest).contains(&start.elapsed()), "{:?}", start.elapsed());
}
