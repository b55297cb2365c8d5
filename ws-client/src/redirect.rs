//! Redirections (RFC 9110 section 15.4), for clients that follow them.

use http::{HeaderMap, Response, StatusCode, header};

use crate::{error::ConnectError, refusal::Refusal, url::Target};

/// What must not go to another origin than it was meant for.
const SECRETS: [header::HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// Whether a response leads elsewhere.
pub(crate) fn is_redirection(response: &Response<()>) -> bool {
    redirects(response.status()) && response.headers().contains_key(header::LOCATION)
}

const fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a refusal leads, if it is a redirection; `headers` lose what does not belong there.
pub(crate) fn next_hop(
    from: &Target,
    refusal: &Refusal,
    headers: &mut HeaderMap,
) -> Result<Option<Target>, ConnectError> {
    let location = refusal.headers().get(header::LOCATION).filter(|_| redirects(refusal.status()));
    let Some(location) = location else { return Ok(None) };
    let shown = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let refused = |reason: String| ConnectError::Redirect { location: shown.clone(), reason };
    let location = location.to_str().map_err(|_| refused("not a valid URL".to_owned()))?;
    let mut next = from.redirected(location).map_err(|error| refused(error.to_string()))?;
    if from.secure && !next.secure {
        return Err(refused("it leads from wss to ws".to_owned()));
    }
    if from.is_same_origin(&next) {
        next.authorization = next.authorization.or_else(|| from.authorization.clone());
    } else {
        SECRETS.iter().for_each(|name| drop(headers.remove(name)));
    }
    Ok(Some(next))
}
