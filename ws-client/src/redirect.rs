//! Redirections (RFC 9110 section 15.4), for clients that follow them.

use http::{HeaderMap, HeaderName, Response, StatusCode, header};

use crate::{
    error::ConnectError,
    refusal::Refusal,
    url::{Target, shown},
};

/// What never goes to another origin than it was meant for, marked as safe or not.
const SECRETS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// Whether a response leads elsewhere.
pub(crate) fn is_redirection(response: &Response<()>) -> bool {
    redirects(response.status()) && response.headers().contains_key(header::LOCATION)
}

const fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What of the caller's goes along with a request.
#[derive(Clone, Default)]
pub(crate) struct Carried {
    pub(crate) headers: HeaderMap,
    pub(crate) subprotocols: Vec<String>,
}

impl Carried {
    /// Keeps what may go to another origin than it was meant for: headers of the names in `safe`. Subprotocols may be
    /// tokens, so they stay behind, too.
    fn leave_origin(&mut self, safe: &[HeaderName]) {
        let names: Vec<HeaderName> = self.headers.keys().cloned().collect();
        for name in names.iter().filter(|name| SECRETS.contains(name) || !safe.contains(name)) {
            self.headers.remove(name);
        }
        self.subprotocols.clear();
    }
}

/// Where a refusal leads, if it is a redirection; `carried` loses what does not belong there.
pub(crate) fn next_hop(
    from: &Target,
    refusal: &Refusal,
    carried: &mut Carried,
    safe: &[HeaderName],
) -> Result<Option<Target>, ConnectError> {
    let location = refusal.headers().get(header::LOCATION).filter(|_| redirects(refusal.status()));
    let Some(location) = location else { return Ok(None) };
    let refused = |reason: String| {
        let location = shown(&String::from_utf8_lossy(location.as_bytes())).to_owned();
        ConnectError::Redirect { location, reason }
    };
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| refused("not a valid URL".to_owned()))?;
    let mut next = from.redirected(text).map_err(|error| refused(error.to_string()))?;
    if from.secure && !next.secure {
        return Err(refused("it leads from wss to ws".to_owned()));
    }
    if from.is_same_origin(&next) {
        next.authorization = next.authorization.or_else(|| from.authorization.clone());
    } else {
        carried.leave_origin(safe);
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_with_credentials_stays_out_of_errors() {
        let from = Target::parse("wss://example.com/").expect("valid");
        for location in ["ws://user:secret@example.com/", "wss://user:secret@:x/", "wss://user:s%zzecret@b/"]
        {
            let response = Response::builder().status(302).header(header::LOCATION, location).body(());
            let refusal = Refusal::without_body(response.expect("valid"));
            let error = next_hop(&from, &refusal, &mut Carried::default(), &[]).expect_err("it is refused");
            let texts = [error.to_string(), format!("{error:?}")];
            assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");
        }
    }
}
