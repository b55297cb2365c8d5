//! Each option of a connector has an effect that can be seen from outside. (Headers, subprotocols, the message limit,
//! the deadlines, keepalive and the seed are tested in the files of their topics.)

use std::time::Duration;

use e2e_tests::raw_peer::{RawAcceptor, RawConnection, RawFrame, Side, switching_protocols};
use tokio::net::{TcpListener, TcpStream};
use ws_client::{
    CloseCode, Connector, Keepalive, Message,
    error::{ConnectError, SendError},
};

use crate::support::{open_with, run, soon};

#[test]
fn nodelay_is_on_unless_it_is_turned_off() {
    run(async {
        for (connector, expected) in [
            (Connector::new(), true),
            (Connector::new().tcp_nodelay(true), true),
            (Connector::new().tcp_nodelay(false), false),
        ] {
            let (ws, _server) = open_with(connector).await;
            let nodelay = ws.with_io(|io| io.tcp().unwrap().nodelay().unwrap());
            assert_eq!(nodelay, Some(expected));
        }
    });
}

#[test]
fn the_addresses_of_both_ends_are_known() {
    run(async {
        let (ws, server) = open_with(Connector::new()).await;
        let addresses = ws.with_io(|io| (io.local_addr().unwrap(), io.peer_addr().unwrap()));
        assert_eq!(addresses.unwrap().1, server.local_addr());
    });
}

#[test]
fn text_is_only_checked_if_that_is_wanted() {
    run(async {
        let (mut ws, mut server) = open_with(Connector::new().validate_utf8(false)).await;
        server.send(RawFrame::text([0xFF])).await;
        let message = soon(ws.recv()).await.unwrap();
        assert_eq!((message.is_text(), message.as_bytes(), message.as_text()), (true, &[0xFF][..], None));
    });
}

#[test]
fn a_timeout_of_any_length_is_taken() {
    run(async {
        let connector = Connector::new()
            .handshake_timeout(Duration::MAX)
            .close_timeout(Duration::MAX)
            .idle_timeout(Duration::MAX)
            .write_timeout(Duration::MAX)
            .message_timeout(Duration::MAX)
            .keepalive(Keepalive { interval: Duration::MAX, timeout: Duration::MAX });
        let (mut ws, mut server) = open_with(connector).await;
        server.send(RawFrame::text("hello")).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::text("hello")));
        let end = async {
            server.expect_close(1000).await;
            server.send(RawFrame::close(1000, "")).await;
            drop(server);
        };
        let (closed, ()) = tokio::join!(soon(ws.close(CloseCode::NORMAL, "")), end);
        assert!(closed.is_clean());
    });
}

#[test]
fn none_is_no_limit() {
    run(async {
        let connector = Connector::new()
            .idle_timeout(None)
            .keepalive(None)
            .write_timeout(None)
            .message_timeout(None)
            .deflate(None);
        let mut seen = None;
        let connector = connector.protocol(|config| seen = Some(config.clone()));
        let config = seen.unwrap();
        assert_eq!((config.idle_timeout, config.keepalive, config.deflate), (None, None, None));
        assert_eq!((config.write_timeout, config.message_timeout), (None, None));
        open_with(connector).await;
    });
}

#[test]
fn the_write_queue_has_its_limits_in_messages_and_in_bytes() {
    run(async {
        for (messages, bytes, has_room) in
            [(1, usize::MAX, false), (2, usize::MAX, true), (2, 64 << 20, true), (2, 1 << 20, false)]
        {
            let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
            let connector = Connector::new().write_queue_messages(messages).write_queue_bytes(bytes);
            let url = acceptor.url("/");
            let (ws, _server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
            let ws = ws.unwrap();
            let sender = ws.sender();
            // More than the kernel's buffers hold.
            sender.try_send(vec![7; 32 << 20]).unwrap();
            match sender.try_send("next") {
                Ok(()) => assert!(has_room, "{messages} messages, {bytes} bytes"),
                Err(error) => assert!(!has_room && matches!(error, SendError::Full(_))),
            }
        }
    });
}

#[test]
fn a_clone_of_a_connector_has_settings_of_its_own() {
    run(async {
        let connector = Connector::new().subprotocol("a");
        let changed = connector.clone().subprotocol("b").max_message_size(1);
        let texts = [format!("{connector:?}"), format!("{changed:?}")];
        assert!(texts[0].contains("max_message_size: 16777216") && texts[0].contains("subprotocols: 1"));
        assert!(texts[1].contains("max_message_size: 1,") && texts[1].contains("subprotocols: 2"));
    });
}

#[test]
fn a_bad_setting_is_an_error_without_a_connection() {
    run(async {
        for (connector, option) in [
            (Connector::new().close_timeout(Duration::ZERO), "close_timeout = 0ns"),
            (Connector::new().handshake_timeout(Duration::ZERO), "handshake_timeout = 0ns"),
            (Connector::new().write_queue_messages(0), "write_queue_messages = 0"),
            (Connector::new().idle_timeout(Duration::ZERO), "idle_timeout = 0ns"),
            (Connector::new().write_timeout(Duration::ZERO), "write_timeout = 0ns"),
            (Connector::new().message_timeout(Duration::ZERO), "message_timeout = 0ns"),
            (Connector::new().redirects(6), "redirects = 6"),
            (
                Connector::new().protocol(|config| config.limits.max_header_lines = 24_577),
                "max_header_lines = 24577",
            ),
        ] {
            let error = connector.connect("ws://127.0.0.1:1/").await.unwrap_err();
            assert!(matches!(error, ConnectError::Config(_)) && !error.is_temporary(), "{error}");
            assert!(error.to_string().contains(option), "{error}");
        }
    });
}

#[test]
fn the_head_of_the_response_has_the_limits_of_the_configuration() {
    run(async {
        let connector = Connector::new().protocol(|config| config.limits.max_header_lines = 5);
        let response = format!("{}A: 1\r\nB: 2\r\nC: 3\r\n\r\n", crate::support::SWITCHING);
        let result = crate::support::answered_with(&connector, &response).await;
        assert!(matches!(result, Err(ConnectError::Response(_))), "{result:?}");
    });
}

#[test]
fn the_handshake_runs_on_any_transport() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = RawConnection::new(stream, Side::Server).unwrap();
            let request = server.recv_head().await;
            assert_eq!(request.header("Host"), Some("example.com"));
            server.send_bytes(switching_protocols(request.header("Sec-WebSocket-Key").unwrap(), &[])).await;
            server.send(RawFrame::text("over a pipe")).await;
            server
        };
        let client = async {
            let stream = TcpStream::connect(addr).await.unwrap();
            // On the caller's transport, the caller is responsible for encryption.
            Connector::new().connect_on("wss://example.com/", stream).await.unwrap().ws
        };
        let (mut ws, _server) = tokio::join!(client, server);
        assert_eq!(soon(ws.recv()).await, Some(Message::text("over a pipe")));
    });
}

#[test]
fn the_handshake_on_a_transport_of_the_callers_has_its_deadline_too() {
    run(async {
        let (io, _silent) = tokio::io::duplex(1024);
        let connector = Connector::new().handshake_timeout(Duration::from_millis(50));
        let result = soon(connector.connect_on("ws://example.com/", io)).await;
        assert!(matches!(result, Err(ConnectError::TimedOut(_))), "{result:?}");
    });
}
