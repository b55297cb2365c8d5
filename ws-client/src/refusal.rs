//! The response of a server that refuses the upgrade.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::body::Body;

/// The response of a server that refused the upgrade.
#[derive(Clone)]
pub struct Refusal {
    response: Response<Bytes>,
}

/// Omits the body and the values of headers, which may be cookies.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status())
            .field("headers", &header_names(self.headers()))
            .field("body_len", &self.body().len())
            .finish()
    }
}

/// The names of the headers, for `Debug` output without their values.
pub(crate) fn header_names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(HeaderName::as_str).collect()
}

impl Refusal {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The part of the body that arrived before the handshake timeout, at most 64 KiB on the wire.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// A refusal whose body is not read.
    pub(crate) fn without_body(head: Response<()>) -> Self {
        Self { response: head.map(|()| Bytes::new()) }
    }

    #[cfg(feature = "http2")]
    pub(crate) const fn new(response: Response<Bytes>) -> Self {
        Self { response }
    }

    /// Reads the body that follows the head until its end, its size limit, or until `time_left` has passed.
    /// `received` holds the bytes that were read with the head.
    pub(crate) async fn read<S: AsyncRead + Unpin>(
        io: &mut S,
        head: Response<()>,
        received: &[u8],
        time_left: Duration,
    ) -> Self {
        let mut body = Body::new(&head, received);
        let rest = async {
            let mut read = Vec::with_capacity(4096);
            while body.room() > 0 {
                // The refusal is the error to report. A read error only ends its body.
                match io.read_buf(&mut read).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => body.push(&read),
                }
                read.clear();
            }
        };
        // A timeout only truncates the body.
        let _ = timeout(time_left, rest).await;
        Self { response: head.map(|()| body.into_bytes()) }
    }
}
