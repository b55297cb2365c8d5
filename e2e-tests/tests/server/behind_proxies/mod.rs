//! The address of a client behind proxies that the server trusts, and what everyone else may say about addresses:
//! nothing.

mod forwarded;
mod listeners;
mod proxy_protocol;

use e2e_tests::{
    harness,
    raw_peer::{DEADLINE, RawClient, RequestHead, SAMPLE_KEY},
    server::{Api, ObservedServer, start_echo},
};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use ws_server::{Server, ServerBuilder, proxy::Networks};

/// A trusted proxy.
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
/// A client, or another peer that is not trusted.
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

fn trusted() -> Networks {
    "127.0.0.2, 127.0.0.3, 10.0.0.0/8".parse().unwrap()
}

/// An echo server, and the addresses of the peer and the proxy in each request.
struct Observed {
    server: ObservedServer,
    addresses: UnboundedReceiver<(Option<SocketAddr>, Option<SocketAddr>)>,
}

impl Observed {
    async fn start(api: Api, builder: ServerBuilder) -> Self {
        let (seen, addresses) = unbounded_channel();
        let builder = builder.on_request(move |request| {
            let _ = seen.send((request.peer_addr(), request.proxy_addr()));
            Ok(())
        });
        Self { server: start_echo(api, builder).await, addresses }
    }

    async fn connect_from(&self, source: IpAddr) -> RawClient {
        RawClient::connect_from(source, self.server.addr()).await
    }

    /// Connects from an address and sends a header, if it is not empty, and a request.
    async fn send_from(
        &self,
        source: IpAddr,
        header: &[u8],
        change: impl FnOnce(RequestHead) -> RequestHead,
    ) -> RawClient {
        let mut client = self.connect_from(source).await;
        let request = change(client.request("/")).to_bytes();
        client.send_bytes([header, &request].concat()).await;
        client
    }

    /// As [`send_from`](Self::send_from), and checks the 101 and the addresses that the application sees.
    async fn open_from(
        &mut self,
        source: IpAddr,
        header: &[u8],
        change: impl FnOnce(RequestHead) -> RequestHead,
        expected: impl Into<Option<&str>>,
    ) -> RawClient {
        let mut client = self.send_from(source, header, change).await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        let own = client.local_addr();
        let (peer, proxy) = match expected.into() {
            Some(named) => (named.parse().unwrap(), Some(own)),
            None => (own, None),
        };
        assert_eq!(self.seen().await, (Some(peer), proxy));
        client
    }

    async fn seen(&mut self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        tokio::time::timeout(DEADLINE, self.addresses.recv()).await.expect("a request").unwrap()
    }

    /// Checks that no request came that the test has not seen.
    async fn stop(mut self) {
        self.server.stop().await;
        assert!(self.addresses.try_recv().is_err());
    }
}

/// Runs a test with both APIs.
fn with_each_api(configure: impl Fn(ServerBuilder) -> ServerBuilder, test: impl AsyncFn(&mut Observed)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut server = Observed::start(api, configure(Server::builder())).await;
            test(&mut server).await;
            server.stop().await;
        }
    });
}

async fn expect_status(mut client: RawClient, status: u16) {
    let head = client.recv_head().await;
    assert_eq!(head.status(), status, "{head:?}");
    client.recv_body(&head).await;
    client.expect_eof().await;
}
