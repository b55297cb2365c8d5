//! The files of the page.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use ws_server::Request;

/// Name, type and content.
const FILES: [(&str, &str, &str); 13] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/layout.css", CSS, include_str!("page/layout.css")),
    ("/messages.css", CSS, include_str!("page/messages.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/main.js", JS, include_str!("page/main.js")),
    ("/composer.js", JS, include_str!("page/composer.js")),
    ("/door.js", JS, include_str!("page/door.js")),
    ("/link.js", JS, include_str!("page/link.js")),
    ("/log.js", JS, include_str!("page/log.js")),
    ("/outbox.js", JS, include_str!("page/outbox.js")),
    ("/rooms.js", JS, include_str!("page/rooms.js")),
    ("/sides.js", JS, include_str!("page/sides.js")),
    ("/text.js", JS, include_str!("page/text.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const NOT_FOUND: &str = "<!doctype html><title>Not found</title>Page not found.";

/// The page runs only what this server has sent, and talks only to this server. `'self'` includes WebSockets.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers HTTP requests that are not WebSocket upgrades.
pub(crate) fn respond(request: &Request) -> Response<Bytes> {
    let file = FILES.iter().find(|(path, ..)| *path == request.path());
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
