//! One transport type for TCP, TLS and Unix sockets. It also reports the pongs that arrive.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// The pongs of a connection: payload and time of arrival.
pub(crate) type Pongs = mpsc::Receiver<(Vec<u8>, Instant)>;

/// The most pongs that wait. Further ones are dropped: nothing may hold what a peer sends without a limit.
const MAX_PONGS: usize = 64;

pub(crate) struct Transport {
    io: Box<dyn Io>,
    frames: Frames,
}

impl Transport {
    /// `received` are bytes that were read with the handshake.
    pub(super) fn new(io: Box<dyn Io>, received: &[u8]) -> (Self, Pongs) {
        let (sender, pongs) = mpsc::channel(MAX_PONGS);
        let mut frames = Frames { pongs: sender, header: [0; 10], have: 0, left: 0, pong: None };
        frames.read(received);
        (Self { io, frames }, pongs)
    }
}

/// Follows the frames of a server (RFC 6455 section 5.2), which have no mask. Invalid frames end the connection
/// elsewhere, so they are not looked at here.
struct Frames {
    pongs: mpsc::Sender<(Vec<u8>, Instant)>,
    /// Two bytes, and up to eight of the extended length.
    header: [u8; 10],
    have: usize,
    /// The bytes of the payload that are still to come.
    left: u64,
    pong: Option<Vec<u8>>,
}

const PONG: u8 = 0xa;

impl Frames {
    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.read_header(bytes);
            } else {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(take);
                if let Some(pong) = &mut self.pong {
                    pong.extend_from_slice(payload);
                }
                self.left -= take as u64;
                bytes = rest;
            }
            if self.left == 0
                && let Some(pong) = self.pong.take()
            {
                // A full channel drops the pong.
                let _ = self.pongs.try_send((pong, Instant::now()));
            }
        }
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        self.header[self.have] = byte;
        self.have += 1;
        let short = self.header[1] & 0x7f;
        let header_len = match short {
            _ if self.have < 2 => return rest,
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.have == header_len {
            self.left = match short {
                126 | 127 => {
                    self.header[2..header_len].iter().fold(0, |len, byte| len << 8 | u64::from(*byte))
                }
                short => u64::from(short),
            };
            self.pong = (self.header[0] & 0xf == PONG && self.left <= 125).then(Vec::new);
            self.have = 0;
        }
        rest
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        this.frames.read(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(result)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_are_found_however_the_bytes_are_split() {
        let mut stream = b"\x81\x02hi\x8a\x03abc\x82\x7e\x01\x00".to_vec();
        stream.extend([0x8a; 256]);
        stream.extend(b"\x8a\x00\x82\x7f\0\0\0\0\0\0\0\x02xy\x8a\x01z");
        for size in 1..stream.len() {
            let (_transport, mut pongs) = {
                let (mut transport, pongs) = Transport::new(Box::new(tokio::io::empty()), &[]);
                stream.chunks(size).for_each(|chunk| transport.frames.read(chunk));
                (transport, pongs)
            };
            let found: Vec<Vec<u8>> = std::iter::from_fn(|| Some(pongs.try_recv().ok()?.0)).collect();
            assert_eq!(found, [&b"abc"[..], b"", b"z"], "{size}");
        }
    }
}
