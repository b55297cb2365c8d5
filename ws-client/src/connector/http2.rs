//! WebSockets over HTTP/2 (RFC 8441).

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use http::Response;
use hyper::{
    body::{Body, Incoming},
    ext::Protocol,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Instant, timeout_at},
};
use ws_proto::{
    Connection,
    handshake::{ClientHandshake, ResponseError, TransportSecurity},
};

use super::{Attempt, Connected, Connector, check_runtime};
use crate::{
    body::MAX_BODY,
    error::ConnectError,
    http2::{Builder, Executor, FRAME_HEADER, FirstSettings, Http2, Http2Stream},
    refusal::Refusal,
    request::IntoClientRequest,
};

impl Connector {
    /// Makes an HTTP/2 connection to the server of a URL, and waits for the server's settings. Names, addresses,
    /// proxies and TLS are those of [`connect`](Self::connect). The path of the URL and the headers of a request are
    /// not used.
    ///
    /// For `wss`, only the protocol `h2` is offered by ALPN (RFC 7301), in place of those of the TLS settings. For `ws`
    /// and `ws+unix`, the server must speak HTTP/2 from the first byte (RFC 9113 section 3.3).
    ///
    /// # Errors
    /// - [`Http2NotNegotiated`](ConnectError::Http2NotNegotiated): the server did not choose `h2`. Use
    ///   [`connect`](Self::connect), by HTTP/1.1. Some servers end the TLS handshake instead, which is
    ///   [`TlsHandshake`](ConnectError::TlsHandshake).
    /// - [`TimedOut`](ConnectError::TimedOut): [`handshake_timeout`](Self::handshake_timeout) passed before the
    ///   settings arrived.
    /// - Errors of the URL, the network and TLS, as for [`connect`](Self::connect), and those of
    ///   [`http2_on`](Self::http2_on).
    ///
    /// # Panics
    /// In a tokio runtime without time or without I/O. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection.
    pub async fn http2(&self, request: impl IntoClientRequest) -> Result<Http2, ConnectError> {
        let Attempt { target, deadline, .. } = self.prepare(request)?;
        let dialler = self.0.dialler.for_http2(target.secure)?;
        let attempt = async {
            let io = dialler.dial(&target).await?;
            #[cfg(feature = "tls-core")]
            if io.tls().is_some_and(|tls| tls.alpn_protocol() != Some(crate::dial::H2)) {
                return Err(ConnectError::Http2NotNegotiated);
            }
            handshake(&self.http2_builder(), io).await
        };
        timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::TimedOut(self.0.handshake_timeout)))
    }

    /// Makes an HTTP/2 connection on a transport that the caller provides, and waits for the server's settings. A task
    /// of the current runtime moves the connection's bytes. Of this connector's settings, only `handshake_timeout` and
    /// the size of response heads apply.
    ///
    /// The server is expected to speak HTTP/2. Over TLS, ALPN must have chosen `h2`.
    ///
    /// # Errors
    /// - [`Http2`](ConnectError::Http2) or [`Io`](ConnectError::Io): the transport ended, or the server does not speak
    ///   HTTP/2.
    /// - [`TimedOut`](ConnectError::TimedOut): the settings did not arrive within the
    ///   [`handshake_timeout`](Self::handshake_timeout).
    /// - [`Config`](ConnectError::Config), [`Header`](ConnectError::Header) and [`NoRuntime`](ConnectError::NoRuntime),
    ///   as for [`connect`](Self::connect).
    ///
    /// It is no error if the server does not offer WebSockets: see [`Http2::offers_websockets`].
    ///
    /// # Panics
    /// In a tokio runtime without time. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection.
    pub async fn http2_on<S>(&self, io: S) -> Result<Http2, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.http2_with(&self.http2_builder(), io).await
    }

    fn http2_builder(&self) -> Builder<Executor> {
        let mut builder = crate::http2::builder();
        let head_size = self.0.protocol.limits.max_head_size;
        builder.max_header_list_size(head_size.try_into().unwrap_or(u32::MAX));
        builder
    }

    /// Makes an HTTP/2 connection as [`http2_on`](Self::http2_on) does, with settings of hyper. `B` is the type of the
    /// bodies of ordinary requests on the connection.
    ///
    /// # Errors
    /// The same as [`http2_on`](Self::http2_on).
    ///
    /// # Panics
    /// The same as [`http2_on`](Self::http2_on). Also if the builder has a keepalive interval and no timer.
    ///
    /// # Cancel safety
    /// The same as [`http2_on`](Self::http2_on).
    pub async fn http2_with<B, S>(&self, builder: &Builder<Executor>, io: S) -> Result<Http2<B>, ConnectError>
    where
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        check_runtime()?;
        self.0.check()?;
        let deadline = ws_tokio::internal::deadline_in(self.0.handshake_timeout);
        let attempt = handshake(builder, io);
        timeout_at(deadline, attempt).await.unwrap_or(Err(ConnectError::TimedOut(self.0.handshake_timeout)))
    }

    /// Opens a WebSocket as a stream of an HTTP/2 connection (RFC 8441 section 5).
    ///
    /// The URL names the host and the path of the request, and its scheme is `https` for `wss` and `http` for `ws`. The
    /// settings of this connector apply, except those for dialling, TLS, proxies and redirects: redirects are not
    /// followed.
    ///
    /// # Errors
    /// - [`ExtendedConnectNotOffered`](ConnectError::ExtendedConnectNotOffered): the server does not offer WebSockets.
    ///   No request was sent.
    /// - [`Refused`](ConnectError::Refused): the server answered with another status than 200. The error has the
    ///   status, the headers and the body.
    /// - [`Response`](ConnectError::Response): for example, the server selected a subprotocol that was not offered.
    /// - [`Http2`](ConnectError::Http2): the stream was reset, or the connection takes no more requests.
    /// - [`TimedOut`](ConnectError::TimedOut): [`handshake_timeout`](Self::handshake_timeout) passed, possibly because
    ///   the connection had as many streams as the server allows.
    /// - Errors of the caller's URL, settings and headers, as for [`connect`](Self::connect).
    ///
    /// # Panics
    /// In a tokio runtime without time. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future resets the stream. The connection stays open.
    pub async fn connect_http2<B>(
        &self,
        request: impl IntoClientRequest,
        http2: &Http2<B>,
    ) -> Result<Connected<Http2Stream>, ConnectError>
    where
        B: Body + Default + 'static,
    {
        let Attempt { target, request_options, deadline } = self.prepare(request)?;
        let config = self.0.protocol.clone().validate()?;
        let masks = self.mask_source()?;
        let security = if target.secure { TransportSecurity::Tls } else { TransportSecurity::Plain };
        let request = Self::request(&target, &request_options, &config);
        let (handshake, connect) = ClientHandshake::extended_connect(&request, security)?;
        if !http2.offers_websockets() {
            return Err(ConnectError::ExtendedConnectNotOffered);
        }
        let mut connect = connect.map(|()| B::default());
        connect.extensions_mut().insert(Protocol::from_static(ClientHandshake::PROTOCOL));
        let response = http2.sender().clone().send_request(connect);
        let timed_out = ConnectError::TimedOut(self.0.handshake_timeout);
        let response = timeout_at(deadline, response).await.map_err(|_| timed_out)?;
        let (mut head, body) = response.map_err(ConnectError::Http2)?.into_parts();
        // hyper has opened the stream if the status is 200.
        let stream = head.extensions.remove::<OnUpgrade>();
        let response = Response::from_parts(head, ());
        match (handshake.finish(&response), stream) {
            (Ok(accepted), Some(stream)) => {
                let stream = Http2Stream::new(stream.await.map_err(ConnectError::Http2)?);
                let connection = Connection::client(config, masks, Instant::now().into_std())
                    .with_extensions(accepted.extensions);
                let ws = ws_tokio::WebSocket::new(stream, connection).with_subprotocol(accepted.subprotocol);
                Ok(Connected { ws, response })
            }
            // Another 2xx than 200. What follows is not the body of a refusal.
            (Ok(_), None) => Err(ConnectError::Refused(Box::new(Refusal::without_body(response)))),
            (Err(ResponseError::Refused(_)), _) => {
                let body = read_body(body, deadline).await;
                Err(ConnectError::Refused(Box::new(Refusal::new(response.map(|()| body)))))
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// Makes the connection. Returns once hyper has handled the server's first settings.
async fn handshake<B, S>(builder: &Builder<Executor>, io: S) -> Result<Http2<B>, ConnectError>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (handled, mut told) = oneshot::channel();
    let io = TokioIo::new(FirstSettings::new(io, handled));
    let (sender, connection) = builder.handshake(io).await.map_err(ConnectError::Http2)?;
    let mut connection = Box::pin(connection);
    let early_end = poll_fn(|cx| {
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(Some(end)));
        }
        // An error means that the transport was dropped: the connection is about to end.
        Pin::new(&mut told).poll(cx).map(|told| told.err().map(|_| None))
    });
    if let Some(end) = early_end.await {
        let end = match end {
            Some(end) => end,
            None => connection.await,
        };
        let eof = || ConnectError::Io(io::ErrorKind::UnexpectedEof.into());
        return Err(end.err().map_or_else(eof, ConnectError::Http2));
    }
    let offers_websockets = connection.is_extended_connect_protocol_enabled();
    // The error of a connection reaches its streams.
    tokio::spawn(connection);
    Ok(Http2::with_offer(sender, offers_websockets))
}

/// Reads the body of a refusal until its end, its size limit or the deadline.
async fn read_body(body: Incoming, deadline: Instant) -> Bytes {
    let mut read = BytesMut::new();
    let mut room = MAX_BODY;
    let mut body = pin!(body);
    let rest = async {
        // The refusal is the error to report. A read error only ends its body.
        while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            // A frame's header counts too. So empty frames are not read without end.
            room = room.saturating_sub(FRAME_HEADER);
            let Ok(data) = frame.into_data() else { break };
            let taken = data.len().min(room);
            read.extend_from_slice(&data[..taken]);
            room -= taken;
            if room == 0 {
                break;
            }
        }
    };
    // A timeout only truncates the body.
    let _ = timeout_at(deadline, rest).await;
    read.freeze()
}
