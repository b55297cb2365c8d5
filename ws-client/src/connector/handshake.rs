//! One opening handshake (RFC 6455 section 4.1): the request, the response and the connection.

use http::header;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use ws_proto::{
    Connection, ValidConfig,
    handshake::{ClientHandshake, ClientRequest, ResponseError},
    mask::{ChaChaMaskSource, MaskSource},
};

use super::{Connected, Connector};
use crate::{
    error::ConnectError, redirect::is_redirect, refusal::Refusal, request::RequestOptions,
    response::read_final_response, url::Target,
};

impl Connector {
    /// Performs the opening handshake on the transport that `dialling` returns. Errors of the caller's
    /// settings are reported before `dialling` is polled. With `follow_redirects`, the body of a redirect is
    /// not read.
    pub(super) async fn handshake<S>(
        &self,
        target: &Target,
        request_options: &RequestOptions,
        deadline: Instant,
        follow_redirects: bool,
        dialling: impl Future<Output = Result<S, ConnectError>>,
    ) -> Result<Connected<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.protocol.clone().validate()?;
        let mut masks = self.mask_source()?;
        let (handshake, request) =
            ClientHandshake::new(&Self::request(target, request_options, &config), masks.nonce())?;
        let attempt = async {
            let mut io = dialling.await?;
            io.write_all(&request).await?;
            io.flush().await?;
            let (response, rest) = read_final_response::<_, ConnectError>(&mut io, &config.limits).await?;
            Ok((io, response, rest))
        };
        let in_time = tokio::time::timeout_at(deadline, attempt).await;
        let (mut io, response, rest) =
            in_time.unwrap_or(Err(ConnectError::TimedOut(self.0.handshake_timeout)))?;
        match handshake.finish(&response) {
            Ok(accepted) => {
                let connection = Connection::client(config, masks, Instant::now().into_std())
                    .with_extensions(accepted.extensions);
                let ws = ws_tokio::WebSocket::new(io, connection)
                    .with_received(&rest)
                    .with_subprotocol(accepted.subprotocol);
                Ok(Connected { ws, response })
            }
            Err(ResponseError::Refused(_)) if follow_redirects && is_redirect(&response) => {
                Err(ConnectError::Refused(Box::new(Refusal::without_body(response))))
            }
            Err(ResponseError::Refused(_)) => {
                let time_left = deadline.saturating_duration_since(Instant::now());
                let refusal = Refusal::read(&mut io, response, &rest, time_left).await;
                Err(ConnectError::Refused(Box::new(refusal)))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn request(
        target: &Target,
        request_options: &RequestOptions,
        config: &ValidConfig,
    ) -> ClientRequest {
        let host = request_options.host.as_ref().unwrap_or(&target.host_header);
        let mut request = ClientRequest::new(host, &target.path).with_extensions(config);
        request.headers.clone_from(&request_options.headers);
        if let Some(authorization) = &target.authorization {
            request.headers.entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        request.subprotocols.clone_from(&request_options.subprotocols);
        request
    }

    pub(super) fn mask_source(&self) -> Result<Box<ChaChaMaskSource>, ConnectError> {
        match self.0.mask_seed {
            Some(seed) => Ok(Box::new(ChaChaMaskSource::from_seed(seed))),
            None => ws_tokio::internal::seeded_masks().map_err(ConnectError::Randomness),
        }
    }
}
