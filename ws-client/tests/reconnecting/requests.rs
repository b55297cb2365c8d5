//! What the request hook returns.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    thread,
};

use http::Uri;
use ws_client::{
    Connector, IntoClientRequest, Reconnecting,
    error::{ConnectError, HeaderError},
    reconnecting::{AttemptFailed, Cause, Event, Request},
};

fn connector() -> Connector {
    Connector::new().header("x-a", "connector").subprotocol("v1")
}

/// Runs one attempt, which fails.
fn attempt<R>(request: R) -> AttemptFailed
where
    R: IntoClientRequest + Clone + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hook = move |_| std::future::ready(Ok(request.clone()));
        let event = Reconnecting::builder(connector(), hook).build().next_event().await;
        let Some(Event::AttemptFailed(failed)) = event else { panic!("{event:?}") };
        failed
    })
}

/// The lines of the request that an attempt sends to a server that does not answer it.
fn sent<R>(request: impl FnOnce(String) -> R) -> Vec<String>
where
    R: IntoClientRequest + Clone + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/path", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let lines = BufReader::new(listener.accept().unwrap().0).lines();
        lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect()
    });
    let failed = attempt(request(url));
    assert!(matches!(failed.cause, Cause::Connect(ConnectError::Io(_))), "{failed:?}");
    server.join().unwrap()
}

/// The values of a header.
fn values(lines: &[String], name: &str) -> Vec<String> {
    let values = lines.iter().filter_map(|line| line.split_once(": "));
    let values = values.filter(|(line_name, _)| line_name.eq_ignore_ascii_case(name));
    values.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn the_hook_returns_what_a_connector_takes() {
    let as_request = |url: String| http::Request::get(url).header("x-b", "b").body(()).unwrap();
    for lines in [
        sent(|url| url),
        sent(|url| url.parse::<Uri>().unwrap()),
        sent(|url| Request::new(url).header("x-b", "b")),
        sent(as_request),
    ] {
        assert_eq!(lines[0], "GET /path HTTP/1.1");
        assert_eq!(values(&lines, "x-a"), ["connector"]);
    }
    assert_eq!(values(&sent(as_request), "x-b"), ["b"]);
}

#[test]
fn headers_and_subprotocols_of_a_request_replace_those_of_the_connector() {
    let own = |url| {
        let request = Request::new(url).header("X-A", "text").header(http::header::COOKIE, "a=b".to_owned());
        request.subprotocol("v2")
    };
    let lines = sent(own);
    assert_eq!(values(&lines, "x-a"), ["text"]);
    assert_eq!(values(&lines, "cookie"), ["a=b"]);
    assert_eq!(values(&lines, "sec-websocket-protocol"), ["v2"]);
    let replaced = |url: String| {
        let request = http::Request::get(url).header("x-a", "text");
        request.header("sec-websocket-protocol", "v2").body(()).unwrap()
    };
    let lines = sent(replaced);
    assert_eq!(values(&lines, "x-a"), ["text"]);
    assert_eq!(values(&lines, "sec-websocket-protocol"), ["v2"]);
}

#[test]
fn an_invalid_header_is_final_and_its_value_is_not_shown() {
    for (name, value) in [("x a", "secret"), ("x-a", "secret\n")] {
        let failed = attempt(Request::new("ws://127.0.0.1:1/").header(name, value).header("x-b", "\n"));
        let Cause::Connect(ConnectError::Header(error)) = &failed.cause else { panic!("{failed:?}") };
        assert!(matches!(error, HeaderError::Name(at) if at == "x") || name == "x-a", "{error}");
        assert!(failed.retry_in.is_none() && !format!("{failed:?} {error}").contains("secret"), "{failed:?}");
    }
}
