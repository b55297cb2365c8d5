//! Redirections (RFC 9110 section 15.4).

use e2e_tests::raw_peer::{Head, RawAcceptor};
use http::{HeaderValue, header};
use ws_client::{Connector, error::ConnectError};

use crate::support::run;

/// Redirects the next client.
async fn redirect(acceptor: &RawAcceptor, status: u16, location: &str) -> Head {
    let mut server = acceptor.accept().await;
    let request = server.recv_head().await;
    let response =
        format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let _ = server.into_connection().writer.try_send_bytes(response).await;
    request
}

fn following(most: u8) -> Connector {
    Connector::new()
        .redirects(most)
        .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"))
        .header(header::COOKIE, HeaderValue::from_static("session=secret"))
        .header(header::USER_AGENT, HeaderValue::from_static("test"))
}

#[test]
fn they_are_not_followed_unless_asked_for() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let (result, _) = tokio::join!(ws_client::connect(&url), redirect(&acceptor, 302, "/other"));
        match result {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.status(), 302),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn they_are_followed_on_the_same_origin_with_everything() {
    run(async {
        for status in [301, 302, 303, 307, 308] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/a/b");
            let server = async {
                redirect(&acceptor, status, "c?x=1").await;
                let request = acceptor.accept().await.upgrade().await;
                assert_eq!(request.target(), "/a/c?x=1");
                assert_eq!(request.header("Authorization"), Some("Bearer secret"));
                assert_eq!(request.header("Cookie"), Some("session=secret"));
            };
            let connector = following(1);
            let (result, ()) = tokio::join!(connector.connect(&url), server);
            result.unwrap();
        }
    });
}

#[test]
fn credentials_stay_behind_when_they_lead_to_another_origin() {
    run(async {
        let (first, second) = (RawAcceptor::bind(), RawAcceptor::bind());
        let url = format!("ws://user:secret@{}/", first.addr());
        for scheme in ["ws", "http"] {
            let server = async {
                redirect(&first, 307, &format!("{scheme}://{}/new", second.addr())).await;
                let request = second.accept().await.upgrade().await;
                assert_eq!(request.target(), "/new");
                assert_eq!(request.header("Authorization"), None);
                assert_eq!(request.header("Cookie"), None);
                assert_eq!(request.header("User-Agent"), None);
            };
            let connector = following(5);
            let (result, ()) = tokio::join!(connector.connect(&url), server);
            result.unwrap();
        }
    });
}

#[test]
fn another_origin_gets_only_the_headers_that_are_marked_as_safe() {
    run(async {
        let (first, second) = (RawAcceptor::bind(), RawAcceptor::bind());
        let url = first.url("/");
        let server = async {
            redirect(&first, 307, &second.url("/there")).await;
            let there = redirect(&second, 307, &first.url("/back")).await;
            // A header that was removed at one redirection is not sent at a later one.
            for request in [there, first.accept().await.upgrade().await] {
                for name in ["Authorization", "Cookie", "X-Api-Key", "Sec-WebSocket-Protocol"] {
                    assert_eq!(request.header(name), None, "{name}");
                }
                assert_eq!(request.header("User-Agent"), Some("test"));
            }
        };
        let connector = following(2)
            .header(http::HeaderName::from_static("x-api-key"), HeaderValue::from_static("secret"))
            .subprotocol("token.secret")
            .carry_to_other_origins(header::USER_AGENT)
            .carry_to_other_origins(header::AUTHORIZATION)
            .carry_to_other_origins(header::COOKIE);
        let (result, ()) = tokio::join!(connector.connect(&url), server);
        result.unwrap();
    });
}

#[test]
fn a_location_is_encoded_as_browsers_do_it() {
    run(async {
        for (location, target) in [
            ("/\u{fc} \"<>?\u{fc} \"<>'#end", "/%C3%BC%20%22%3C%3E?%C3%BC%20%22%3C%3E%27"),
            ("c d", "/a/c%20d"),
            ("?\u{fc}", "/a/b?%C3%BC"),
            ("..\\c", "/c"),
        ] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/a/b");
            let server = async {
                redirect(&acceptor, 307, location).await;
                assert_eq!(acceptor.accept().await.upgrade().await.target(), target, "{location}");
            };
            let connector = following(1);
            let (result, ()) = tokio::join!(connector.connect(&url), server);
            result.unwrap();
        }
    });
}

#[test]
fn there_is_an_end_to_them() {
    run(async {
        for most in [1, 3, 5] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/");
            let server = async {
                for hop in 0..=most {
                    redirect(&acceptor, 302, &format!("/{hop}")).await;
                }
            };
            let connector = following(most);
            let (result, ()) = tokio::join!(connector.connect(&url), server);
            assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
        }
    });
}

#[test]
fn a_location_that_is_no_websocket_is_an_error() {
    run(async {
        for location in [
            "ftp://example.com/",
            "ws://",
            "ws+unix:/run/a.sock",
            "ws://a b/",
            "//[::1",
            "//[::1]evil.example/",
            "ws://[example.com]/",
            "http://example.com:+80/",
            "https:\\\\evil.example/",
        ] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/");
            let connector = following(1);
            let (result, _) = tokio::join!(connector.connect(&url), redirect(&acceptor, 302, location));
            match result {
                Err(ConnectError::Redirect { location: told, .. }) => assert_eq!(told, location),
                other => panic!("{location}: {other:?}"),
            }
        }
    });
}

#[test]
fn they_do_not_wait_for_a_body() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let server = async {
            let mut first = acceptor.accept().await;
            first.recv_head().await;
            // A body without a length or an end.
            first.send_bytes("HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\nwait for it").await;
            assert_eq!(acceptor.accept().await.upgrade().await.target(), "/there");
            drop(first);
        };
        let connector = following(1);
        let (result, ()) = tokio::join!(connector.connect(&url), server);
        result.unwrap();
    });
}
