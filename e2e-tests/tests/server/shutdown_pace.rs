//! The pace of a shutdown that is spread over a time, with real connections and real time. `just drain` does it with
//! 10,000 connections over 60 s, on both engines.

use e2e_tests::harness;
use e2e_tests::raw_peer::RequestHead;
use e2e_tests::server::{Api, ServerRunner, bind, counts};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use ws_server::{
    CloseCode, Conn, Handler, MessageRef, Rejection, Request, Server, close::Shutdown, stats::StatsHandle,
};

const COUNT: usize = 400;
const SPREAD: Duration = Duration::from_secs(4);

async fn open(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&RequestHead::new(addr, "/").to_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    stream
}

/// Waits for a Close 1012, answers it, and waits for the end of the stream.
async fn answer_close(mut stream: TcpStream) {
    let mut close = [0; 4];
    stream.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xf4]);
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4]).await.unwrap();
    assert_eq!(stream.read(&mut close).await.unwrap(), 0);
}

struct Silent;

impl Handler for Silent {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

/// A server on the test's own thread.
async fn start(api: Api) -> ServerRunner {
    let server = bind(Server::builder().keepalive(None)).await;
    match api {
        Api::Handler => {
            ServerRunner::start(server, async |server| Ok(server.serve_handler::<Silent>(()).await))
        }
        Api::Async => ServerRunner::start(server, async |server| {
            Ok(server.serve(async |mut ws, _request| while ws.recv().await.is_some() {}).await)
        }),
    }
}

/// Notes how many Closes the server has sent, again and again.
async fn watch(stats: StatsHandle, samples: &mut Vec<(Instant, u64)>) {
    loop {
        samples.push((Instant::now(), stats.snapshot().sent.control_frames));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The most Closes between two samples that are at most a second apart.
fn most_in_a_second(samples: &[(Instant, u64)]) -> u64 {
    let mut first = 0;
    let in_second_until = |(time, sent): &(Instant, u64)| {
        while *time - samples[first].0 > Duration::from_secs(1) {
            first += 1;
        }
        sent - samples[first].1
    };
    samples.iter().map(in_second_until).max().unwrap_or(0)
}

/// The test, the server and what releases the connections run on one thread. So they stand still together when the
/// machine is busy, and the rate holds on a slow machine too.
#[test]
fn in_no_second_more_than_twice_the_even_number_of_closes_is_sent() {
    harness::run(async {
        for api in Api::ALL {
            let server = start(api).await;
            let mut clients = JoinSet::new();
            for _ in 0..COUNT {
                clients.spawn(answer_close(open(server.addr()).await));
            }
            server.wait_for_connections(COUNT).await;
            let restart = Shutdown::new().code(CloseCode::SERVICE_RESTART).spread(SPREAD);
            let (begin, mut samples) = (Instant::now(), Vec::new());
            let report = tokio::select! {
                report = server.handle().shutdown_with(restart) => report,
                () = watch(server.stats_handle(), &mut samples) => unreachable!("it watches until the end"),
            };
            assert!(begin.elapsed() >= SPREAD);
            assert_eq!(counts(report), (COUNT, 0, false));
            samples.push((Instant::now(), server.stats().sent.control_frames));
            assert_eq!(samples.last().map(|(_, sent)| *sent), Some(COUNT as u64));
            let (most, even) = (most_in_a_second(&samples), COUNT as u64 / SPREAD.as_secs());
            assert!(most <= 2 * even, "{most} in a second, {even} at an even rate");
            clients.join_all().await;
            server.stop().await;
        }
    });
}
