//! Listeners that are shared, or that another program has made.

use e2e_tests::{
    harness,
    raw_peer::RawClient,
    server::{GRACE, close_normally},
};
use std::io::ErrorKind;
use ws_server::Server;

async fn hold(mut ws: ws_server::WebSocket<ws_server::ServerStream>, _request: ws_server::Request) {
    while ws.recv().await.is_some() {}
}

#[test]
fn servers_share_a_port_if_each_of_them_sets_reuse_port() {
    harness::run(async {
        let first = Server::builder().reuse_port(true).bind("127.0.0.1:0").await.unwrap();
        let addr = first.local_addr().unwrap();
        let error = Server::builder().bind(addr).await.expect_err("it does not share");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let second = Server::builder().reuse_port(true).bind(addr).await.unwrap();
        let handles = [first.shutdown_handle(), second.shutdown_handle()];
        let servers = [
            tokio::spawn(async { std::io::Result::Ok(first.serve(hold).await) }),
            tokio::spawn(async { second.sharded(1).serve(hold).await }),
        ];
        // The kernel chooses a listener by a hash of the addresses, so both get some of these.
        let mut clients = Vec::new();
        while handles.iter().any(|handle| handle.connections() == 0) {
            clients.push(RawClient::open(addr, "/").await);
            assert!(clients.len() < 1000, "the kernel chooses one listener only");
        }
        let ends = clients.into_iter().map(|client| tokio::spawn(close_normally(client)));
        for end in ends.collect::<Vec<_>>() {
            end.await.unwrap();
        }
        for (handle, server) in handles.into_iter().zip(servers) {
            assert!(!handle.shutdown(GRACE).await.forced);
            server.await.unwrap().unwrap();
        }
    });
}

#[cfg(unix)]
#[test]
fn a_unix_listener_that_exists_is_served_and_its_file_stays() {
    harness::run(async {
        let path = std::env::temp_dir().join(format!("ws-server-existing-{}.sock", std::process::id()));
        for shards in [0, 1] {
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let server = Server::builder().unix_listener(listener).unwrap();
            let handle = server.shutdown_handle();
            let serving = tokio::spawn(async move {
                match shards {
                    0 => drop(server.serve(hold).await),
                    shards => drop(server.sharded(shards).serve(hold).await.unwrap()),
                }
            });
            let mut ws = ws_client::connect(&format!("ws+unix:{}", path.display())).await.unwrap();
            assert!(ws.close(ws_client::CloseCode::NORMAL, "").await.is_clean());
            assert!(!handle.shutdown(GRACE).await.forced);
            serving.await.unwrap();
            assert!(path.exists());
            std::fs::remove_file(&path).unwrap();
        }
    });
}

/// A client of a listener that accepts nothing yet.
#[cfg(target_os = "linux")]
async fn wait_in_queue(addr: std::net::SocketAddr) -> RawClient {
    let mut client = RawClient::connect(addr).await;
    let request = client.request("/").to_bytes();
    client.send_bytes(request).await;
    client
}

/// How many of the clients that wait in the queue of one listener are reset when it is closed, and how many get their
/// 101 from a server on the other one.
#[cfg(target_os = "linux")]
async fn close_one(one: tokio::net::TcpListener, other: tokio::net::TcpListener) -> (usize, usize) {
    let addr = one.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(wait_in_queue(addr).await);
    }
    drop(one);
    let server = Server::builder().listener(other).unwrap();
    let handle = server.shutdown_handle();
    let serving = tokio::spawn(server.serve(hold));
    let (mut reset, mut served) = (0, 0);
    for mut client in clients {
        if client.reader.try_recv_head().await.is_ok() {
            served += 1;
            close_normally(client).await;
        } else {
            reset += 1;
        }
    }
    assert!(!handle.shutdown(GRACE).await.forced);
    serving.await.unwrap();
    (reset, served)
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_with_reuse_port_resets_what_waits_in_its_queue_and_an_inherited_one_does_not() {
    use tokio::net::{TcpListener, TcpSocket};

    harness::run(async {
        let share = |addr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(addr).unwrap();
            socket.listen(128).unwrap()
        };
        let one = share("127.0.0.1:0".parse().unwrap());
        let other = share(one.local_addr().unwrap());
        let (reset, served) = close_one(one, other).await;
        // The kernel can pass them on, but does not do so by default.
        let migrates = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").unwrap_or_default();
        assert_eq!(reset + served, 64);
        assert_eq!(reset > 0, migrates.trim() != "1", "{reset} of 64 are reset");

        // What a process inherits is the same socket, with the same queue.
        let one = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        one.set_nonblocking(true).unwrap();
        let other = TcpListener::from_std(one.try_clone().unwrap()).unwrap();
        assert_eq!(close_one(TcpListener::from_std(one).unwrap(), other).await, (0, 64));
    });
}
