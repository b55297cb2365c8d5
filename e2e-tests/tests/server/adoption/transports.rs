//! Transports that are not plain TCP sockets.

use super::{Arrived, Front, expect_echo};
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, SAMPLE_KEY};
use e2e_tests::server::{Event, Script, ServerRunner, close_normally, echo_test};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use ws_server::{Adopter, ServerStream};

/// Hands the connection over in another transport.
async fn adopt_in<S>(adopter: &Adopter, arrived: Arrived, wrap: impl FnOnce(TcpStream) -> S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reservation, mut stream, received) = arrived.reserve(adopter).await.expect("the server takes it");
    stream.write_all(&reservation.encode_response()).await?;
    reservation.adopt(ServerStream::from_io(wrap(stream)), received).expect("the server still runs");
    Ok(())
}

/// A TCP stream behind another type, which panics once the flag is set.
struct Wrapped {
    stream: TcpStream,
    panics: bool,
}

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.panics, "on purpose");
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        assert!(!self.panics, "on purpose");
    }
}

async fn open_in(server: &ServerRunner, panics: bool) -> RawClient {
    let (mut client, arrived) = Front::bind().await.arrive().await;
    adopt_in(server.adopter(), arrived, |stream| Wrapped { stream, panics }).await.unwrap();
    client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
    client
}

#[test]
fn a_transport_of_any_type_is_adopted() {
    echo_test(async |server| {
        let mut client = open_in(server, false).await;
        for size in [1, 1000, 300_000] {
            expect_echo(&mut client, &"x".repeat(size)).await;
        }
        close_normally(client).await;
        server.wait_for_connections(0).await;
    });
}

#[test]
fn a_transport_that_panics_ends_its_own_connection() {
    let options = Options { allow_panics: true, ..Options::default() };
    harness::run_with(options, async {
        for api in e2e_tests::server::Api::ALL {
            let server = e2e_tests::server::start_echo(api, ws_server::Server::builder()).await;
            let mut other = server.open().await;
            open_in(&server, true).await.expect_end().await;
            expect_echo(&mut other, "still works").await;
            close_normally(other).await;
            server.wait_for_connections(0).await;
            server.stop().await;
        }
    });
}

#[test]
fn a_connection_without_a_socket_has_no_address() {
    echo_test(async |_server| {
        let stream = ServerStream::from_io(tokio::io::empty());
        assert_eq!(stream.peer_addr().unwrap_err().kind(), io::ErrorKind::Unsupported);
        #[cfg(unix)]
        assert!(stream.socket().is_none());
    });
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_adopted() {
    harness::run(async {
        let mut server = Script::new()
            .on_message(|conn, message| drop(conn.send(message)))
            .start(ws_server::Server::builder())
            .await;
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let (_client, arrived) = Front::bind().await.arrive().await;
        let reservation = server.adopter().reserve(arrived.request).await.unwrap();
        reservation.adopt(far, Vec::new()).unwrap();
        server.expect(Event::Opened).await;
        drop(near);
        server.closed().await;
        server.stop().await;
    });
}
