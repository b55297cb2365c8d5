use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most that is read of a refusal's body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The answer of a server that refused the upgrade.
#[derive(Debug, Clone)]
pub struct Refusal {
    response: Response<Bytes>,
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

    /// The body, as far as it came: at most 64 KiB, and as it was on the wire if it was chunked.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// Reads the body behind the head, to its announced length or the end of the stream.
    pub(crate) async fn read<S: AsyncRead + Unpin>(
        io: &mut S,
        head: Response<()>,
        received: Vec<u8>,
    ) -> Self {
        let mut body = received;
        let length = head.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length = length.and_then(|value| value.parse().ok()).unwrap_or(MAX_BODY).min(MAX_BODY);
        while body.len() < length {
            let mut rest = (&mut *io).take((length - body.len()) as u64);
            // Whatever came is better than nothing; an error here hides behind the refusal itself.
            match rest.read_buf(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        body.truncate(length);
        Self { response: head.map(|()| Bytes::from(body)) }
    }
}
