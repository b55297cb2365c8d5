//! Reads the final response to a request, after any interim responses.

use std::io;

use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use ws_proto::{
    Limits,
    handshake::{ResponseError, ResponseReader},
};

/// A client's default limits. They are larger than a server's, because refusals may have long policy headers.
pub(crate) fn client_limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_head_size = 64 * 1024;
    limits.max_header_lines = 256;
    limits
}

/// Reads the head of the final response. Returns it and the bytes that were received after it. A 101 is
/// final.
///
/// Interim responses, such as 103, are skipped (RFC 9110 section 15.2). All of them together may have at most
/// `max_head_size` bytes. A timeout alone would not stop an endless sequence: a transport that is always
/// ready lets this future run without returning to the timer.
pub(crate) async fn read_final_response<S, E>(
    io: &mut S,
    limits: &Limits,
) -> Result<(Response<()>, Vec<u8>), E>
where
    S: AsyncRead + Unpin,
    E: From<io::Error> + From<ResponseError>,
{
    let mut reader = ResponseReader::new(limits);
    let mut buffer = Vec::with_capacity(1024);
    let mut interim = 0;
    loop {
        if io.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        while let Some((response, head_len)) = reader.read(&buffer)? {
            let rest = buffer.split_off(head_len);
            if is_final(response.status()) {
                return Ok((response, rest));
            }
            interim += head_len;
            if interim > limits.max_head_size {
                return Err(ResponseError::HeadTooLarge.into());
            }
            reader = ResponseReader::new(limits);
            buffer = rest;
        }
    }
}

fn is_final(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::ReadBuf;

    use super::*;
    use crate::error::ConnectError;

    const EARLY_HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

    /// A transport that sends interim responses without end, at most `read_size` bytes per read.
    struct Endless {
        read_size: usize,
        sent: usize,
    }

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            assert!(self.sent < 100_000, "the reader has no limit");
            for _ in 0..self.read_size.min(buf.remaining()) {
                buf.put_slice(&EARLY_HINTS.as_bytes()[self.sent % EARLY_HINTS.len()..][..1]);
                self.sent += 1;
            }
            Poll::Ready(Ok(()))
        }
    }

    async fn read(mut io: impl AsyncRead + Unpin) -> Result<(Response<()>, Vec<u8>), ConnectError> {
        read_final_response(&mut io, &Limits::default()).await
    }

    #[tokio::test]
    async fn interim_responses_without_end_are_given_up() {
        for read_size in [1, 10, 1000, usize::MAX] {
            let error = read(Endless { read_size, sent: 0 }).await.unwrap_err();
            assert!(matches!(error, ConnectError::Response(ResponseError::HeadTooLarge)), "{error}");
        }
    }

    #[tokio::test]
    async fn interim_responses_are_skipped_up_to_the_size_of_one_head() {
        let most = Limits::default().max_head_size / EARLY_HINTS.len();
        for (count, passes) in [(0, true), (1, true), (most, true), (most + 1, false)] {
            let responses = EARLY_HINTS.repeat(count) + "HTTP/1.1 101 Switching Protocols\r\n\r\nrest";
            let result = read(responses.as_bytes()).await;
            assert_eq!(result.is_ok(), passes, "{count}");
            if let Ok((response, rest)) = result {
                assert_eq!(response.status(), 101);
                assert!(b"rest".starts_with(&rest), "{rest:?}");
            }
        }
    }

    #[tokio::test]
    async fn eof_before_the_final_response_is_an_error() {
        for responses in ["", EARLY_HINTS, "HTTP/1.1 101 Switching Protocols\r\n"] {
            let error = read(responses.as_bytes()).await.unwrap_err();
            let is_eof =
                matches!(&error, ConnectError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof);
            assert!(is_eof, "{error}");
        }
    }
}
