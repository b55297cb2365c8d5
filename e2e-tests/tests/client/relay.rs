//! A relay between a client and its server. It forwards a few bytes at a time and counts its connections.

use std::{io, net::SocketAddr};

use e2e_tests::raw_peer::DEADLINE;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional, split},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, yield_now},
    time::timeout,
};

/// A running relay. Dropping it stops accepting. Its connections end with their peers.
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections, with a task for each. A task fails when its client is gone.
pub(crate) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Listening
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let serving = serve(listener.accept().await.unwrap().0);
            tokio::spawn(async { drop(serving.await) });
        }
    });
    Listening { addr, task }
}

/// Forwards bytes.
pub(crate) struct Relay {
    listening: Listening,
    present: watch::Receiver<usize>,
}

/// Counts one open connection.
struct Present(watch::Sender<usize>);

impl Present {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Relay {
    /// A relay to `to` that forwards this many bytes at a time.
    pub(crate) async fn new(to: SocketAddr, piece: usize) -> Self {
        let (count, present) = watch::channel(0);
        let listening = listen(move |client| pass_on(client, to, piece, Present::new(&count))).await;
        Self { listening, present }
    }

    /// The same, on a Unix socket at `path`.
    #[cfg(unix)]
    pub(crate) fn unix(path: &std::path::Path, to: SocketAddr, piece: usize) -> Self {
        let (count, present) = watch::channel(0);
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let task = tokio::spawn(async move {
            loop {
                let client = listener.accept().await.unwrap().0;
                let passing = pass_on(client, to, piece, Present::new(&count));
                tokio::spawn(async { drop(passing.await) });
            }
        });
        Self { listening: Listening { addr: to, task }, present }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listening.addr
    }

    /// Waits until no connection is left. `context` names the case in the failure message.
    pub(crate) async fn empty(&mut self, context: &str) {
        let empty = self.present.wait_for(|count| *count == 0);
        let empty = timeout(DEADLINE, empty).await;
        empty.unwrap_or_else(|_| panic!("{context}: a connection was not closed")).unwrap();
    }
}

async fn pass_on(
    client: impl AsyncRead + AsyncWrite,
    to: SocketAddr,
    piece: usize,
    present: Present,
) -> io::Result<()> {
    let server = TcpStream::connect(to).await?;
    let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
    let (there, back) =
        tokio::join!(drip(from_client, to_server, piece), drip(from_server, to_client, piece));
    drop(present);
    there.and(back)
}

async fn drip(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    piece: usize,
) -> io::Result<()> {
    let mut bytes = vec![0; piece];
    loop {
        match from.read(&mut bytes).await {
            Ok(n @ 1..) => to.write_all(&bytes[..n]).await?,
            _ => return to.shutdown().await,
        }
        yield_now().await;
    }
}

async fn head(client: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(())
}

/// An HTTP proxy that connects all tunnels to `to`.
pub(crate) async fn http_proxy(to: SocketAddr) -> Listening {
    listen(move |mut client| async move {
        head(&mut client).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        let mut server = TcpStream::connect(to).await?;
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    })
    .await
}

/// A SOCKS5 proxy (RFC 1928) that connects all tunnels to `to`.
pub(crate) async fn socks_proxy(to: SocketAddr) -> Listening {
    listen(move |mut client| async move {
        client.read_exact(&mut [0; 3]).await?;
        client.write_all(&[5, 0]).await?;
        let mut request = [0; 5];
        client.read_exact(&mut request).await?;
        client.read_exact(&mut vec![0; usize::from(request[4]) + 2]).await?;
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        let mut server = TcpStream::connect(to).await?;
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    })
    .await
}

/// A server that answers each request with `response` and waits until the client disconnects.
pub(crate) async fn answering(response: String) -> Listening {
    listen(move |mut client| {
        let response = response.clone();
        async move {
            head(&mut client).await?;
            client.write_all(response.as_bytes()).await?;
            client.shutdown().await?;
            client.read_to_end(&mut Vec::new()).await.map(drop)
        }
    })
    .await
}
