//! TLS handshakes that are started and never finished. They cost the server much and the client little.

use crate::probe_client::ProbeClient;
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::certificates::Authority;
use std::io::Read as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ws_client::{Connector, tls::Roots};
use ws_server::{Server, Tls};

const FLOOD: Row = Row::new(34, "flood of TLS handshakes");

/// The first bytes of a TLS client.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let connector = trusting(authority);
    let client = std::thread::spawn(move || {
        crate::measure::mark_as_attacker();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(connector.connect(&url)).err()
    });
    let mut hello = vec![0; 4096];
    let (mut stream, _) = listener.accept().unwrap();
    let read = stream.read(&mut hello).unwrap();
    hello.truncate(read);
    drop(stream);
    client.join().unwrap();
    hello
}

fn trusting(authority: &Authority) -> Connector {
    let tls = ws_client::Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
    Connector::new().tls(tls)
}

/// A probe client on a TLS connection.
fn probe_client(addr: SocketAddr, authority: &Authority) -> ProbeClient {
    let connector = trusting(authority);
    ProbeClient::start_with(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("wss://localhost:{}/", addr.port());
        let mut ws = runtime.block_on(connector.connect(&url)).unwrap();
        move || {
            runtime.block_on(async {
                ws.send("a small message").await.unwrap();
                assert_eq!(ws.recv().await.unwrap().as_text(), Some("a small message"));
            });
        }
    })
}

/// Sends a ClientHello, waits for the server's answer, and disconnects.
async fn begin(addr: SocketAddr, hello: Vec<u8>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    assert!(stream.read(&mut [0; 64]).await.unwrap() > 0, "the server's answer");
    stream.set_zero_linger().unwrap();
}

#[test]
fn a_flood_of_handshakes_delays_no_connection() {
    attack(async || {
        const AT_ONCE: usize = 20;
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let hello = client_hello(&authority);
        let mut begun = 0;
        for kind in Kind::ALL {
            let tls = Tls::from_pem(&identity.chain, &identity.key).unwrap();
            let (server, other) =
                (kind.echo(Server::builder().tls(tls.clone())), kind.echo(Server::builder().tls(tls)));
            let probe = probe_client(server.addr, &authority);
            probe.echoes(20).await;
            let flood = async |server: &TargetServer| {
                for _ in 0..scaled(20, 2) {
                    begun += AT_ONCE;
                    let begin = |_| tokio::spawn(begin(server.addr, hello.clone()));
                    for one in (0..AT_ONCE).map(begin).collect::<Vec<_>>() {
                        one.await.unwrap();
                    }
                }
            };
            probe.beside(scaled(10, 5), &other, &server, flood).await;
            probe
                .stop()
                .check(&FLOOD, &format!("{AT_ONCE} at a time, p99 of echoes on open connections ({kind:?})"));
            other.stop().await;
            server.settled(0).await;
            server.stop().await;
        }
        println!("{begun} handshakes");
    });
}
