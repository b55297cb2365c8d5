//! The files of a web page, served on the port of the WebSocket server.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use ws_server::Request;

/// A file: its path, its media type and its content.
pub type File = (&'static str, &'static str, &'static str);

/// The media type of HTML.
pub const HTML: &str = "text/html; charset=utf-8";
/// The media type of style sheets.
pub const CSS: &str = "text/css; charset=utf-8";
/// The media type of JavaScript.
pub const JS: &str = "text/javascript; charset=utf-8";
/// The media type of SVG images.
pub const SVG: &str = "image/svg+xml";

const NOT_FOUND: &str = "<!doctype html><title>Not found</title>Page not found.";

/// The page runs only what this server has sent, and talks only to this server. `'self'` includes WebSockets.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers an HTTP request that is not a WebSocket upgrade with one of the files.
#[must_use]
pub fn respond(files: &[File], request: &Request) -> Response<Bytes> {
    let file = files.iter().find(|(path, ..)| *path == request.path());
    let (status, kind, body) = file
        .map_or((StatusCode::NOT_FOUND, HTML, NOT_FOUND), |&(_, kind, body)| (StatusCode::OK, kind, body));
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
