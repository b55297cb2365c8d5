//! Invalid responses (RFC 6455 section 4.1).

use e2e_tests::raw_peer::{RawAcceptor, RawFrame, switching_protocols};
use ws_client::{Connector, Message, connect, error::ConnectError};
use ws_proto::handshake::ResponseError;

use crate::support::{SWITCHING, answered_with, run};

async fn refused_because(response: &str) -> ResponseError {
    match answered_with(&Connector::new(), response).await {
        Err(ConnectError::Response(error)) => error,
        other => panic!("{response:?}: {other:?}"),
    }
}

/// The valid response with one line replaced or removed.
fn with_line(line: &str, replacement: &str) -> String {
    assert!(SWITCHING.contains(line));
    format!("{}\r\n", SWITCHING.replace(line, replacement))
}

#[test]
fn a_101_that_lacks_something_is_no_upgrade() {
    run(async {
        for (line, replacement, expected) in [
            ("Upgrade: websocket\r\n", "", ResponseError::Upgrade),
            ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", ResponseError::Upgrade),
            ("Connection: Upgrade\r\n", "", ResponseError::Connection),
            ("Connection: Upgrade\r\n", "Connection: keep-alive\r\n", ResponseError::Connection),
            ("Sec-WebSocket-Accept: {accept}\r\n", "", ResponseError::AcceptMissing),
            ("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ResponseError::AcceptMismatch),
            ("{accept}", "", ResponseError::AcceptMismatch),
            ("HTTP/1.1 101", "HTTP/1.0 101", ResponseError::Version),
        ] {
            let response = with_line(line, replacement);
            assert_eq!(refused_because(&response).await, expected, "{response:?}");
        }
    });
}

#[test]
fn what_was_not_offered_cannot_be_chosen() {
    run(async {
        for (extra, expected) in [
            ("Sec-WebSocket-Protocol: chat", ResponseError::Subprotocol),
            ("Sec-WebSocket-Extensions: permessage-deflate", ResponseError::Extension),
            ("Sec-WebSocket-Extensions: x-unknown", ResponseError::Extension),
        ] {
            let response = format!("{SWITCHING}{extra}\r\n\r\n");
            assert_eq!(refused_because(&response).await, expected, "{extra}");
        }
    });
}

#[test]
fn a_choice_of_several_subprotocols_is_none() {
    run(async {
        let connector = Connector::new().subprotocol("a").subprotocol("b");
        for extra in
            ["Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b"]
        {
            let result = answered_with(&connector, &format!("{SWITCHING}{extra}\r\n\r\n")).await;
            assert!(
                matches!(result, Err(ConnectError::Response(ResponseError::Subprotocol))),
                "{extra}: {result:?}"
            );
        }
    });
}

#[test]
fn what_is_not_http_is_no_response() {
    run(async {
        let bare_feeds = format!("{SWITCHING}\r\n").replace("\r\n", "\n");
        let bare_header_feeds = format!("{}\r\n", SWITCHING.replace("websocket\r\n", "websocket\n"));
        for response in [
            bare_feeds.as_str(),
            &bare_header_feeds,
            "SSH-2.0-OpenSSH_9.6\r\n\r\n",
            "\x16\x03\x01\x02\x00",
            "HTTP/1.1 1O1 Switching Protocols\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/2 101\r\n\r\n",
            &with_line("Upgrade: websocket", "Upgrade websocket"),
            &with_line("Upgrade: websocket", "Upgrade : websocket"),
        ] {
            assert_eq!(refused_because(response).await, ResponseError::Malformed, "{response:?}");
        }
    });
}

#[test]
fn a_response_without_end_is_cut_off_at_its_limit() {
    run(async {
        let long = format!("{SWITCHING}X: {}", "x".repeat(100_000));
        assert_eq!(refused_because(&long).await, ResponseError::HeadTooLarge);
        let many = format!("{SWITCHING}{}", "X: y\r\n".repeat(300));
        assert_eq!(refused_because(&many).await, ResponseError::TooManyHeaders);
    });
}

#[test]
fn a_folded_header_line_is_joined_with_a_space() {
    run(async {
        let folded = "X-Policy: a; \r\n\t b;\r\n c\r\nX-Empty:\r\n \r\nX-Late:\r\n value";
        let connected =
            answered_with(&Connector::new(), &format!("{SWITCHING}{folded}\r\n\r\n")).await.unwrap();
        for (name, value) in [("X-Policy", "a; b; c"), ("X-Empty", ""), ("X-Late", "value")] {
            assert_eq!(connected.response.headers()[name], value, "{name}");
        }
    });
}

#[test]
fn a_101_that_is_not_written_as_http_has_it_is_no_upgrade() {
    run(async {
        for response in [
            with_line("Upgrade: websocket\r\n", "Upgrade: websocket\n"),
            with_line("Upgrade: websocket", "Upgrade : websocket"),
            with_line("Upgrade: websocket", "Upgrade: websocket\r\nno colon"),
            with_line("Upgrade: websocket", " X: before\r\nUpgrade: websocket"),
            with_line("HTTP/1.1 101", "HTTP/1.1  101"),
            with_line("Upgrade: websocket", "Upgrade: websocket\r\nX: \u{1}"),
        ] {
            assert_eq!(refused_because(&response).await, ResponseError::Malformed, "{response:?}");
        }
    });
}

#[test]
fn the_headers_that_a_cdn_adds_are_welcome() {
    run(async {
        let extra: String = (0..60).map(|number| format!("X-Cdn-{number}: {}\r\n", "v".repeat(60))).collect();
        let connected = answered_with(&Connector::new(), &format!("{SWITCHING}{extra}\r\n")).await.unwrap();
        assert_eq!(connected.response.headers().len(), 63);
    });
}

#[test]
fn case_and_lists_do_not_matter_where_http_says_so() {
    run(async {
        let response = "HTTP/1.1 101 Sure\r\nUPGRADE: h2c, WebSocket\r\nconnection: keep-alive, UPGRADE\r\n\
                        sec-websocket-accept:{accept}  \r\n\r\n";
        answered_with(&Connector::new(), response).await.unwrap();
        let without_reason = with_line("101 Switching Protocols", "101 ");
        answered_with(&Connector::new(), &without_reason).await.unwrap();
    });
}

#[test]
fn an_interim_response_is_not_the_answer() {
    run(async {
        let response = format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n{SWITCHING}\r\n"
        );
        let connected = answered_with(&Connector::new(), &response).await.unwrap();
        assert_eq!((connected.response.status().as_u16(), connected.response.headers().len()), (101, 3));
    });
}

#[test]
fn a_response_may_come_byte_by_byte() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let server = async {
            let mut server = acceptor.accept().await;
            let request = server.recv_head().await;
            let key = request.header("Sec-WebSocket-Key").unwrap();
            server.send_in_pieces(switching_protocols(key, &[]), 1).await;
            server.send(RawFrame::text("there")).await;
            server
        };
        let (ws, _server) = tokio::join!(connect(&url), server);
        assert_eq!(ws.unwrap().recv().await, Some(Message::text("there")));
    });
}
