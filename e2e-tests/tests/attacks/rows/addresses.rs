//! What peers say about addresses, in headers of the PROXY protocol and of HTTP.

use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, PATIENCE, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RequestHead};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use ws_server::{
    Server, ServerBuilder,
    proxy::{Forwarded, Networks, ProxyProtocol},
};

const ADDRESSES: Row = Row::new(44, "forged addresses of clients");

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
/// The address that an attacker wants to have.
const VICTIM: &str = "192.0.2.1";

fn trusted() -> Networks {
    "127.0.0.2, 10.0.0.0/8".parse().unwrap()
}

/// Headers of both versions that name the victim, whole ones and malformed ones.
fn proxy_headers() -> Vec<Vec<u8>> {
    let v1 = format!("PROXY TCP4 {VICTIM} 198.51.100.1 56324 443\r\n").into_bytes();
    let v2 = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187]);
    let long = [b"PROXY TCP6 ".as_slice(), &[b'1'; 4000]].concat();
    let command = with_command(&v2, 0x2f);
    vec![v1, v2, b"PROXY UNKNOWN\r\n".to_vec(), long, command]
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

fn with_command(header: &[u8], command: u8) -> Vec<u8> {
    let mut header = header.to_vec();
    header[12] = command;
    header
}

/// Values of a header that name the victim.
fn forwarded_values() -> Vec<(&'static str, String)> {
    let lists = [
        VICTIM.to_owned(),
        format!("{VICTIM}:80"),
        format!("{VICTIM}, 127.0.0.2"),
        format!("127.0.0.2, {VICTIM}"),
        format!("{VICTIM},,10.0.0.1"),
        format!("\"{VICTIM}\""),
        format!("{VICTIM}, 10.0.0.1, 10.0.0.2, 127.0.0.2"),
    ];
    let elements = [
        format!("for={VICTIM}"),
        format!("for=\"{VICTIM}:80\";by=127.0.0.2"),
        format!("for={VICTIM}, for=10.0.0.1"),
        format!("FOR={VICTIM};for={VICTIM}"),
        format!("for=\"\\{VICTIM}\""),
    ];
    let lists = lists.into_iter().map(|value| ("X-Forwarded-For", value));
    let elements = elements.into_iter().map(|value| ("Forwarded", value));
    let others = ["X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"];
    lists.chain(elements).chain(others.map(|name| (name, VICTIM.to_owned()))).collect()
}

type Settings = fn(ServerBuilder) -> ServerBuilder;

fn x_forwarded_for(builder: ServerBuilder) -> ServerBuilder {
    builder.forwarded(Forwarded::x_forwarded_for(trusted()))
}

fn rfc_7239(builder: ServerBuilder) -> ServerBuilder {
    builder.forwarded(Forwarded::rfc_7239(trusted()))
}

fn required(builder: ServerBuilder) -> ServerBuilder {
    builder.proxy_protocol(ProxyProtocol::from_proxies(trusted()))
}

fn optional(builder: ServerBuilder) -> ServerBuilder {
    builder.proxy_protocol(ProxyProtocol::from_proxies(trusted()).optional())
}

/// A server, and the addresses of the clients that its application has seen.
struct Observed {
    server: TargetServer,
    seen: UnboundedReceiver<Option<SocketAddr>>,
}

impl Observed {
    fn start(kind: Kind, builder: ServerBuilder) -> Self {
        let (sender, seen) = unbounded_channel();
        let builder = builder.on_request(move |request| {
            let _ = sender.send(request.peer_addr());
            Ok(())
        });
        Self { server: kind.echo(builder), seen }
    }

    /// Sends a header and a request. Returns the status, if there is an answer, and what the application has seen.
    async fn ask(
        &mut self,
        source: IpAddr,
        header: &[u8],
        change: impl FnOnce(RequestHead) -> RequestHead,
    ) -> (Option<u16>, Option<SocketAddr>) {
        let mut client = RawClient::connect_from(source, self.server.addr).await;
        let request = change(client.request("/")).to_bytes();
        let _ = client.writer.try_send_bytes([header, &request].concat()).await;
        let status = client.reader.try_recv_head().await.ok().map(|head| head.status());
        (status, self.seen.try_recv().ok().flatten())
    }
}

#[test]
fn what_an_untrusted_peer_says_about_its_address_is_not_believed() {
    attack(async || {
        let (mut headers, mut accepted) = (0, 0);
        let (mut values, mut believed) = (0, 0);
        for kind in Kind::ALL {
            let settings: [Settings; 3] = [required, optional, |builder| builder];
            for configure in settings {
                let mut server = Observed::start(kind, configure(Server::builder()));
                for header in proxy_headers() {
                    let (status, seen) = server.ask(STRANGER, &header, |request| request).await;
                    headers += 1;
                    accepted += usize::from(status == Some(101) || seen.is_some());
                }
                server.server.stop().await;
            }
            let settings: [Settings; 4] = [x_forwarded_for, rfc_7239, required, |builder| builder];
            for configure in settings {
                let mut server = Observed::start(kind, configure(Server::builder()));
                for (name, value) in forwarded_values() {
                    let (status, seen) =
                        server.ask(STRANGER, b"", |request| request.with(name, &value)).await;
                    assert_eq!(status, Some(101));
                    values += 1;
                    believed += usize::from(seen.map(|seen| seen.ip()) != Some(STRANGER));
                }
                server.server.stop().await;
            }
        }
        let part = format!("{} PROXY headers of untrusted peers: accepted", number(headers));
        ADDRESSES.exactly(&part, accepted, 0, "");
        let part = format!("{} forwarding headers of untrusted peers: address changed", number(values));
        ADDRESSES.exactly(&part, believed, 0, "");
    });
}

/// What a client may put in front of what its proxy appends: the proxy's own value comes last, in the same line or in
/// one of its own.
fn in_front(name: &str, sent: &str, own: &str, appends: bool, request: RequestHead) -> RequestHead {
    if appends {
        request.with(name, &format!("{sent}, {own}"))
    } else {
        request.with(name, sent).with(name, own)
    }
}

#[test]
fn what_a_client_puts_in_front_of_a_trusted_proxys_value_is_not_believed() {
    let garbage = ["unknown", "\"", ",", "", "for=\"", "\\", "10.0.0.1", "127.0.0.2", "\u{7f}", "for=;;=,"];
    attack(async || {
        let (mut tried, mut believed) = (0, 0);
        let cases: [(Settings, &str, &str, &str); 2] = [
            (x_forwarded_for, "X-Forwarded-For", "192.0.2.66", "192.0.2.66:0"),
            (rfc_7239, "Forwarded", "for=192.0.2.66", "192.0.2.66:0"),
        ];
        for kind in Kind::ALL {
            for (configure, name, own, expected) in cases {
                let mut server = Observed::start(kind, configure(Server::builder()));
                let mut sent: Vec<_> = garbage.map(str::to_owned).to_vec();
                let values = forwarded_values().into_iter().filter(|(header, _)| *header == name);
                sent.extend(values.map(|(_, value)| value));
                for (sent, appends) in sent.iter().flat_map(|sent| [(sent, true), (sent, false)]) {
                    let change = |request| in_front(name, sent, own, appends, request);
                    let (status, seen) = server.ask(PROXY, b"", change).await;
                    tried += 1;
                    // A request that is refused, since the header is not valid, has no address either.
                    let is_refused = status == Some(400) && seen.is_none();
                    believed += usize::from(!is_refused && seen != Some(expected.parse().unwrap()));
                }
                server.server.stop().await;
            }
        }
        let part = format!("{} values in front of a trusted proxy's own: address changed", number(tried));
        ADDRESSES.exactly(&part, believed, 0, "");
    });
}

/// How a trusted peer sends its header.
enum Slow {
    /// All of it, and then nothing.
    Once(Vec<u8>),
    /// A byte now and then.
    Trickle(Vec<u8>),
    /// Bytes without an end.
    Endless(Vec<u8>),
}

/// Sends until the server ends the connection. Returns how long that took.
async fn send_slowly(addr: SocketAddr, slow: &Slow) -> Duration {
    const PAUSE: Duration = Duration::from_millis(20);
    let client = RawClient::connect_from(PROXY, addr).await;
    let start = Instant::now();
    let (mut reader, mut writer) = client.into_connection().split();
    let sending = async {
        match slow {
            Slow::Once(bytes) => drop(writer.try_send_bytes(bytes).await),
            Slow::Trickle(bytes) => {
                for byte in bytes {
                    if writer.try_send_bytes([*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Slow::Endless(bytes) => while writer.try_send_bytes(bytes).await.is_ok() {},
        }
        std::future::pending::<()>().await;
    };
    let ended = async { while reader.try_recv_head().await.is_ok() {} };
    let either = async {
        tokio::select! {
            () = sending => {}
            () = ended => {}
        }
    };
    tokio::time::timeout(PATIENCE, either).await.expect("the server ends it");
    start.elapsed()
}

#[test]
fn a_malformed_endless_or_slow_header_of_a_trusted_peer_ends_with_the_handshakes_deadline() {
    attack(async || {
        let timeout = scaled(Duration::from_secs(2), Duration::from_millis(500));
        let v1 = format!("PROXY TCP4 {VICTIM} 198.51.100.1 56324 443\r\n").into_bytes();
        let v2_whole = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187]);
        let (mut ended, mut longest) = (0, Duration::ZERO);
        for kind in Kind::ALL {
            let settings: [Settings; 2] = [required, optional];
            for configure in settings {
                let server = kind.echo(configure(Server::builder()).handshake_timeout(timeout));
                let cut = v2(0x21, 0x11, &[0; 60_000])[..100].to_vec();
                let ways = [
                    Slow::Once(v1[..v1.len() - 1].to_vec()),
                    Slow::Once(v2_whole[..15].to_vec()),
                    Slow::Once(v1.clone()),
                    Slow::Once(b"PROXY TCP4 1 2 3 4\r\n".to_vec()),
                    Slow::Once(with_command(&v2_whole, 0x2f)),
                    Slow::Once(cut),
                    Slow::Trickle([&b"PROXY TCP4 "[..], &[b'1'; 10_000]].concat()),
                    Slow::Trickle(v2(0x21, 0x11, &[1; 60_000])),
                    Slow::Endless(vec![b'P'; 1000]),
                    Slow::Endless(v2(0x21, 0x11, &[1; 60_000])),
                    Slow::Endless(b"PROXY UNKNOWN ".to_vec()),
                ];
                let mut clients = JoinSet::new();
                for way in ways {
                    let addr = server.addr;
                    clients.spawn(async move { send_slowly(addr, &way).await });
                }
                for took in clients.join_all().await {
                    ended += 1;
                    longest = longest.max(took);
                }
                server.settled(0).await;
                server.stop().await;
            }
        }
        let bound = timeout + Duration::from_secs(scaled(1, 3));
        ADDRESSES.line(
            &format!(
                "{} malformed, endless or slow PROXY headers of trusted peers, timeout {:.2} s: ended",
                number(ended),
                timeout.as_secs_f64(),
            ),
            format!("after {:.2} s at most", longest.as_secs_f64()),
            format!("≤ {:.2} s", bound.as_secs_f64()),
            longest <= bound,
        );
    });
}
