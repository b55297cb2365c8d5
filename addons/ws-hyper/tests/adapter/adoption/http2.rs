//! Adoption of streams of HTTP/2 (RFC 8441).

use http::StatusCode;
use tokio::join;

use super::{for_each_server, front};
use crate::{
    http2_client::{ClientSocket, Http2, expect_echo},
    support::Serve,
};

#[test]
fn each_stream_of_http_2_is_a_connection_of_the_server() {
    for_each_server(
        |builder| builder,
        async |server| {
            let front = front(Serve::Auto, server.adopter()).await;
            let mut client = Http2::connect(front.addr).await;
            let mut sockets = Vec::new();
            for _ in 0..10 {
                sockets.push(client.open().await);
            }
            for (number, ws) in sockets.iter_mut().enumerate() {
                expect_echo(ws, number.to_string()).await;
            }
            assert_eq!(server.handle().connections(), 10);
            // More than the stream's window and hyper's buffers hold.
            expect_echo(&mut sockets[0], vec![7_u8; 4 << 20]).await;
            for mut ws in sockets {
                assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
            }
            server.wait_for_connections(0).await;
        },
    );
}

#[test]
fn requests_of_http_2_are_refused_without_headers_about_connections() {
    for_each_server(
        |builder| builder.max_connections(1),
        async |server| {
            let front = front(Serve::Auto, server.adopter()).await;
            let mut client = Http2::connect(front.addr).await;
            let request = client.request().header("origin", "https://evil.example");
            assert_eq!(client.send(request).await.status(), StatusCode::FORBIDDEN);
            let request = client.request().header("sec-websocket-version", "8");
            assert_eq!(client.send(request).await.status(), StatusCode::BAD_REQUEST);
            let mut ws = client.open().await;
            let refused = client.send(client.request()).await;
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(!refused.headers().contains_key("connection"));
            expect_echo(&mut ws, "still works").await;
            assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
        },
    );
}

#[test]
fn a_shutdown_of_the_server_reaches_each_stream() {
    for_each_server(
        |builder| builder,
        async |server| {
            let front = front(Serve::Auto, server.adopter()).await;
            let mut client = Http2::connect(front.addr).await;
            let (mut one, mut other) = (client.open().await, client.open().await);
            expect_echo(&mut one, "a").await;
            expect_echo(&mut other, "b").await;
            server.handle().start(e2e_tests::server::GRACE);
            assert_eq!(join!(one.recv(), other.recv()), (None, None));
            let code = |ws: &ClientSocket| ws.close_info().unwrap().received.unwrap().code;
            assert_eq!(code(&one), Some(1001.try_into().unwrap()));
            assert_eq!(code(&other), code(&one));
            assert_eq!(client.send(client.request()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        },
    );
}
