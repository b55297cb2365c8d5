//! Redirects (RFC 9110 section 15.4).

use http::{HeaderName, Response, StatusCode, header};

use crate::{
    error::{ConnectError, RedirectError},
    refusal::Refusal,
    request::RequestOptions,
    url::{Target, redacted},
};

/// Headers that are never sent to another origin, even if the caller marked them as safe.
const CREDENTIAL_HEADERS: [HeaderName; 3] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// Whether a response redirects: it has a redirect status and a `Location`.
pub(crate) fn is_redirect(response: &Response<()>) -> bool {
    is_redirect_status(response.status()) && response.headers().contains_key(header::LOCATION)
}

const fn is_redirect_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

impl RequestOptions {
    /// Keeps only what may be sent to another origin: the headers whose names are in `safe`. Subprotocols are
    /// removed because some applications put tokens into them. The caller's `Host` names the first origin.
    fn strip_for_other_origin(&mut self, safe: &[HeaderName]) {
        let names: Vec<HeaderName> = self.headers.keys().cloned().collect();
        for name in names.iter().filter(|name| CREDENTIAL_HEADERS.contains(name) || !safe.contains(name)) {
            self.headers.remove(name);
        }
        self.subprotocols.clear();
        self.host = None;
    }
}

/// The target of a redirect, or `None` if `refusal` is not a redirect.
///
/// If the target has another origin, removes from `request_options` what must not be sent there.
pub(crate) fn redirect_target(
    from: &Target,
    refusal: &Refusal,
    request_options: &mut RequestOptions,
    safe: &[HeaderName],
) -> Result<Option<Target>, ConnectError> {
    let location = refusal.headers().get(header::LOCATION).filter(|_| is_redirect_status(refusal.status()));
    let Some(location) = location else { return Ok(None) };
    let not_followed = |source: RedirectError| {
        let location = redacted(&String::from_utf8_lossy(location.as_bytes())).to_owned();
        ConnectError::Redirect { location, source }
    };
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| not_followed(RedirectError::NotUtf8))?;
    let mut next = from.resolve_location(text).map_err(|error| not_followed(error.into()))?;
    if from.secure && !next.secure {
        return Err(not_followed(RedirectError::Downgrade));
    }
    if from.is_same_origin(&next) {
        next.authorization = next.authorization.or_else(|| from.authorization.clone());
    } else {
        request_options.strip_for_other_origin(safe);
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_location_stay_out_of_errors() {
        let from = Target::parse("wss://example.com/").expect("valid");
        for location in [
            "ws://user:secret@example.com/",
            "wss://user:secret@:x/",
            "wss://user:s%zzecret@b/",
            "ws://example.com/?token=secret",
            "ws://example.com/#secret",
        ] {
            let response = Response::builder().status(302).header(header::LOCATION, location).body(());
            let refusal = Refusal::without_body(response.expect("valid"));
            let error = redirect_target(&from, &refusal, &mut RequestOptions::default(), &[])
                .expect_err("the redirect is invalid");
            let texts = [error.to_string(), format!("{error:?}")];
            assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");
        }
    }
}
