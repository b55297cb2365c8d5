//! A client: the latest price of each symbol.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpSocket, TcpStream};
use ws_client::{Connector, WebSocket};

use crate::board::{Board, Quote};

pub(crate) struct Watcher {
    ws: WebSocket<TcpStream>,
    board: Arc<Board>,
    /// The latest round of each symbol.
    rounds: Vec<u64>,
    /// The prices that came, without the snapshot.
    pub(crate) received: u64,
    /// From publishing to here, in microseconds, for one price of each hundred.
    pub(crate) latencies: Vec<u64>,
}

impl Watcher {
    /// Connects, and waits for the snapshot.
    pub(crate) async fn connect(addr: SocketAddr, board: &Arc<Board>) -> io::Result<Self> {
        Self::connect_on(TcpStream::connect(addr).await?, board).await
    }

    /// As [`connect`](Self::connect), with so small a buffer in the kernel that prices soon wait in the server.
    pub(crate) async fn connect_slow(addr: SocketAddr, board: &Arc<Board>) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_recv_buffer_size(4096)?;
        Self::connect_on(socket.connect(addr).await?, board).await
    }

    async fn connect_on(stream: TcpStream, board: &Arc<Board>) -> io::Result<Self> {
        let url = format!("ws://{}/", stream.peer_addr()?);
        let ws = Connector::new().connect_on(url, stream).await.map_err(io::Error::other)?.ws;
        let rounds = vec![0; board.symbols()];
        let mut watcher = Self { ws, board: Arc::clone(board), rounds, received: 0, latencies: Vec::new() };
        let snapshot = watcher.text().await?;
        snapshot
            .lines()
            .filter_map(Quote::decode)
            .for_each(|quote| watcher.rounds[quote.symbol] = quote.round);
        Ok(watcher)
    }

    /// The next price. A price that the snapshot had comes again.
    pub(crate) async fn next(&mut self) -> io::Result<Quote> {
        let text = self.text().await?;
        let quote = Quote::decode(&text).ok_or_else(|| io::Error::other(format!("not a price: {text}")))?;
        let known = &mut self.rounds[quote.symbol];
        if quote.round < *known {
            return Err(io::Error::other(format!(
                "round {} of {} after round {known}",
                quote.round, quote.symbol
            )));
        }
        *known = quote.round;
        self.received += 1;
        if self.received.is_multiple_of(100) {
            self.latencies.push(self.board.now().saturating_sub(quote.at));
        }
        Ok(quote)
    }

    /// Counts from now on.
    pub(crate) fn fresh(mut self) -> Self {
        self.received = 0;
        self.latencies.clear();
        self
    }

    /// Whether it has the latest price of each symbol.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.rounds.iter().enumerate().all(|(symbol, &round)| round == self.board.round(symbol))
    }

    async fn text(&mut self) -> io::Result<String> {
        let message =
            self.ws.recv().await.ok_or_else(|| io::Error::other("the server has closed the connection"))?;
        Ok(message.as_text().unwrap_or_default().to_owned())
    }
}
