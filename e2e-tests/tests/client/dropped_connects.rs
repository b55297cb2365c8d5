//! Connection attempts that are dropped after each number of polls: they free what they hold.
//!
//! | future | route | test |
//! |---|---|---|
//! | `connect`, `Connector::connect`, `Connector::open` | an address, several, a Unix socket, an HTTP and a SOCKS proxy, TLS, TLS in a tunnel, a redirection, a refusal | `wherever_an_attempt_is_dropped_its_connection_ends` |
//! | `Connector::connect_on` | the caller's transport | `wherever_a_handshake_is_dropped_its_transport_is_released` |
//! | `Connector::connect_tls_on` | the caller's transport | `wherever_tls_over_a_transport_is_dropped_the_transport_ends` |
//! | `Connector::connect_on` | a transport that fails | `wherever_a_transport_fails_the_attempt_says_so` |

use e2e_tests::{
    certificates::Authority,
    faults::{SlowTransport, dropped_after},
    harness::{Options, run_with},
    raw_peer::switching_protocols,
    server::ServerRunner,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};
use ws_client::{Connector, Proxy, ProxyUrl, Tls, error::ConnectError, tls::Roots};
use ws_server::Server;

use crate::{
    relay::{Relay, answering, http_proxy, socks_proxy},
    support::run,
};

/// More than any attempt needs.
const MOST_POLLS: usize = 20_000;

/// One route to a server.
struct Way {
    name: &'static str,
    relay: Relay,
    connector: Connector,
    url: String,
    /// Whether it ends with a connection, and not with a refusal.
    leads_there: bool,
}

impl Way {
    fn new(name: &'static str, relay: Relay, connector: Connector, url: String) -> Self {
        Self { name, relay, connector, url, leads_there: true }
    }

    /// Drops attempts after 0, 1, 2 … polls, until one completes.
    async fn try_out(mut self) {
        let mut polls = 0;
        let result = loop {
            let done = dropped_after(polls, self.connector.open(&self.url)).await;
            if let Some(result) = done {
                break result;
            }
            self.relay.empty(&format!("{}, {polls} polls", self.name)).await;
            polls += 1;
            assert!(polls < MOST_POLLS, "{}: it never ends", self.name);
        };
        assert!(polls > 5, "{}: only {polls} polls", self.name);
        match result {
            Ok(connected) => {
                assert!(self.leads_there, "{}", self.name);
                drop(connected);
            }
            Err(ConnectError::Refused(_)) => assert!(!self.leads_there, "{}", self.name),
            Err(error) => panic!("{}: {error}", self.name),
        }
        self.relay.empty(self.name).await;
    }
}

fn through(url: &str) -> Connector {
    Connector::new().proxy(Proxy::Through(ProxyUrl::parse(url).unwrap()))
}

async fn silent(builder: ws_server::ServerBuilder) -> ServerRunner {
    ServerRunner::serve(builder, |mut ws| async move { while ws.recv().await.is_some() {} }).await
}

#[test]
fn wherever_an_attempt_is_dropped_its_connection_ends() {
    let options = Options { deadline: std::time::Duration::from_secs(120), ..Options::default() };
    run_with(options, async {
        let server = silent(Server::builder()).await;
        let to = server.addr();
        for way in [an_address(&server).await, several_addresses(&server).await] {
            way.try_out().await;
        }
        #[cfg(unix)]
        {
            let path = std::env::temp_dir().join(format!("ws-dropped-{}.sock", std::process::id()));
            let url = format!("ws+unix:{}:/", path.display());
            Way::new("a Unix socket", Relay::unix(&path, to, 8), Connector::new(), url).try_out().await;
            std::fs::remove_file(path).unwrap();
        }

        let proxy = http_proxy(to).await;
        let relay = Relay::new(proxy.addr, 8).await;
        let connector = through(&format!("http://{}", relay.addr()));
        Way::new("an HTTP proxy", relay, connector, "ws://far.example/".to_owned()).try_out().await;

        let proxy = socks_proxy(to).await;
        let relay = Relay::new(proxy.addr, 8).await;
        let connector = through(&format!("socks5h://{}", relay.addr()));
        Way::new("a SOCKS proxy", relay, connector, "ws://far.example/".to_owned()).try_out().await;

        let relay = Relay::new(to, 8).await;
        let response = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: ws://{}/\r\nContent-Length: 0\r\n\r\n",
            relay.addr()
        );
        let redirecting = answering(response).await;
        let url = format!("ws://{}/", redirecting.addr);
        Way::new("a redirection", relay, Connector::new().redirects(1), url).try_out().await;

        let refusing = answering("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nno!\n".to_owned()).await;
        let relay = Relay::new(refusing.addr, 8).await;
        let url = format!("ws://{}/", relay.addr());
        let way = Way::new("a refusal", relay, Connector::new(), url);
        Way { leads_there: false, ..way }.try_out().await;
        server.stop().await;
    });
}

async fn an_address(server: &ServerRunner) -> Way {
    let relay = Relay::new(server.addr(), 1).await;
    let url = format!("ws://{}/", relay.addr());
    Way::new("an address", relay, Connector::new(), url)
}

/// Several addresses. The first has no listener.
async fn several_addresses(server: &ServerRunner) -> Way {
    let relay = Relay::new(server.addr(), 8).await;
    let dead = crate::relay::listen(|_| async { Ok(()) }).await.addr;
    let addrs = vec![dead, relay.addr()];
    let connector = Connector::new().resolver(move |_, _| {
        let addrs = addrs.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(addrs)
        }
    });
    Way::new("several addresses", relay, connector, "ws://host.example/".to_owned())
}

#[test]
fn wherever_an_attempt_over_tls_is_dropped_its_connection_ends() {
    let options = Options { deadline: std::time::Duration::from_secs(120), ..Options::default() };
    run_with(options, async {
        let authority = Authority::new();
        let identity = authority.issue(&["127.0.0.1"]);
        let tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let server = silent(Server::builder().tls(tls)).await;
        let trust = || Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();

        let relay = Relay::new(server.addr(), 64).await;
        let url = format!("wss://{}/", relay.addr());
        Way::new("TLS", relay, Connector::new().tls(trust()), url).try_out().await;

        let proxy = http_proxy(server.addr()).await;
        let relay = Relay::new(proxy.addr, 64).await;
        let connector = through(&format!("http://{}", relay.addr())).tls(trust());
        let url = format!("wss://{}/", server.addr());
        Way::new("TLS in a tunnel", relay, connector, url).try_out().await;
        server.stop().await;
    });
}

/// An in-memory server that sends the response and the first message in one write.
async fn answered(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let mut answer = switching_protocols(key, &[]);
    answer.extend(b"\x81\x05hello");
    let _ = io.write_all(&answer).await;
    // Waits until the client is gone.
    let _ = io.read_to_end(&mut Vec::new()).await;
}

#[test]
fn wherever_a_handshake_is_dropped_its_transport_is_released() {
    run(async {
        for polls in 0..MOST_POLLS {
            let (client, mut server) = duplex(4096);
            let attempt = async {
                let io = SlowTransport::new(client, 3);
                let connector = Connector::new();
                let connecting = connector.connect_on("ws://host.example/", io);
                let Some(connected) = dropped_after(polls, connecting).await else { return false };
                let mut ws = connected.unwrap().ws;
                assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"), "nothing behind it is lost");
                true
            };
            // The server sees the end of the stream, at whatever point the attempt was dropped.
            let (done, ()) = tokio::join!(attempt, answered(&mut server));
            if done {
                assert!(polls > 20, "only {polls} polls");
                return;
            }
        }
        panic!("it never ends");
    });
}

#[test]
fn wherever_tls_over_a_transport_is_dropped_the_transport_ends() {
    let options = Options { deadline: std::time::Duration::from_secs(120), ..Options::default() };
    run_with(options, async {
        let authority = Authority::new();
        let identity = authority.issue(&["host.example"]);
        let server_tls = ws_server::Tls::from_pem(&identity.chain, &identity.key).unwrap();
        let tls = Tls::builder().roots(Roots::None).authority(authority.pem()).build().unwrap();
        let connector = Connector::new().tls(tls);
        for polls in 0..MOST_POLLS {
            let (client, server) = duplex(4096);
            let attempt = async {
                let connecting =
                    connector.connect_tls_on("wss://host.example/", SlowTransport::new(client, 7));
                let Some(connected) = dropped_after(polls, connecting).await else { return false };
                let mut ws = connected.unwrap().ws;
                assert_eq!(ws.recv().await.unwrap().as_text(), Some("hello"), "nothing behind it is lost");
                true
            };
            let serving = async {
                if let Ok(mut io) = server_tls.accept(server).await {
                    answered(&mut io).await;
                }
            };
            // The server sees the end of the stream, at whatever point the attempt was dropped.
            let (done, ()) = tokio::join!(attempt, serving);
            if done {
                assert!(polls > 20, "only {polls} polls");
                return;
            }
        }
        panic!("it never ends");
    });
}

#[test]
fn wherever_a_transport_fails_the_attempt_says_so() {
    run(async {
        for polls in 0..MOST_POLLS {
            let (client, mut server) = duplex(4096);
            let attempt = async {
                let io = SlowTransport::new(client, 3).failing_after(polls);
                match Connector::new().connect_on("ws://host.example/", io).await {
                    Ok(_) => true,
                    Err(ConnectError::Io(error)) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                        false
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            let (done, ()) = tokio::join!(attempt, answered(&mut server));
            if done {
                assert!(polls > 20, "only {polls} polls");
                return;
            }
        }
        panic!("it never ends");
    });
}
