//! Transports that are not plain TCP sockets.

use super::{Arrived, Front, expect_echo};
use e2e_tests::certificates::{Authority, Identity};
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::{RawClient, SAMPLE_KEY};
use e2e_tests::server::{Api, Event, Script, ServerRunner, close_normally, echo_test, start_echo};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use ws_proto::{Limits, handshake::RequestReader};
use ws_server::{
    Server, ServerStream, Tls,
    adopt::{Adopter, OpeningRequest},
};

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
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
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

/// A transport that says it has read more than it has.
struct Boasting(TcpStream);

impl AsyncRead for Boasting {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.advance(20);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Boasting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// All connections of a thread share its receive buffer.
#[test]
fn an_adopted_transport_that_claims_more_than_it_read_ends_its_own_connection() {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut other = server.open().await;
            expect_echo(&mut other, "a secret of 20").await;
            let (mut client, arrived) = Front::bind().await.arrive().await;
            adopt_in(server.adopter(), arrived, Boasting).await.unwrap();
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            // Nothing but the end arrives.
            client.expect_end().await;
            close_normally(other).await;
            server.stop().await;
        }
    });
}

/// The program has done the TLS handshake and the HTTP part. The application still sees the state of TLS.
#[test]
fn a_tls_stream_is_adopted() {
    harness::run(async {
        let authority = Authority::new();
        let Identity { chain, key, .. } = authority.issue(&["localhost"]);
        let tls = Tls::from_pem(&chain, &key).unwrap();
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            let is_seen = ws.with_io(|io| io.tls().is_some() && io.socket().is_some());
            ws.send(format!("{is_seen:?}")).await.expect("open");
        })
        .await;
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://localhost:{}/", front.local_addr().unwrap().port());
        let adopt = async {
            let (stream, peer) = front.accept().await.unwrap();
            let mut stream = tls.accept(stream).await.unwrap();
            let mut bytes = Vec::new();
            let (request, head) = loop {
                stream.read_buf(&mut bytes).await.unwrap();
                if let Some(read) = RequestReader::new(&Limits::default()).read(&bytes).unwrap() {
                    break read;
                }
            };
            let opening = OpeningRequest::new(request).peer_addr(peer).over_tls(true);
            let reservation = server.adopter().reserve(opening).await.unwrap();
            stream.write_all(&reservation.encode_response()).await.unwrap();
            stream.flush().await.unwrap();
            reservation.adopt(stream, bytes.split_off(head)).unwrap();
        };
        let roots = ws_client::Tls::builder().roots(ws_client::tls::Roots::None).authority(authority.pem());
        let connector = ws_client::Connector::new().tls(roots.build().unwrap());
        let (connected, ()) = tokio::join!(connector.connect(&url), adopt);
        let mut ws = connected.unwrap();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some("Some(true)"));
        drop(ws);
        server.stop().await;
    });
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_adopted() {
    harness::run(async {
        let mut server =
            Script::new().on_message(|conn, message| drop(conn.send(message))).start(Server::builder()).await;
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
