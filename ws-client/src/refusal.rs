use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::body::Body;

/// The answer of a server that refused the upgrade.
#[derive(Clone)]
pub struct Refusal {
    response: Response<Bytes>,
}

/// Without the values of headers, which may be cookies, and without the body.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status())
            .field("headers", &names(self.headers()))
            .field("body_len", &self.body().len())
            .finish()
    }
}

/// What is shown of headers for debugging.
pub(crate) fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(HeaderName::as_str).collect()
}

impl Refusal {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body, as far as it came before the handshake timeout: at most 64 KiB.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// A refusal whose body is not read.
    pub(crate) fn without_body(head: Response<()>) -> Self {
        Self { response: head.map(|()| Bytes::new()) }
    }

    /// Reads the body behind the head, to its end or for as long as `patience` lasts.
    pub(crate) async fn read<S: AsyncRead + Unpin>(
        io: &mut S,
        head: Response<()>,
        received: &[u8],
        patience: Duration,
    ) -> Self {
        let mut body = Body::new(&head, received);
        let rest = async {
            let mut read = Vec::with_capacity(4096);
            while body.room() > 0 {
                // Whatever came is better than nothing; an error here hides behind the refusal itself.
                match io.read_buf(&mut read).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => body.push(&read),
                }
                read.clear();
            }
        };
        // However long the server holds the rest back, the refusal itself is known.
        let _ = timeout(patience, rest).await;
        Self { response: head.map(|()| body.into_bytes()) }
    }
}
