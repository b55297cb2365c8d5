//! Each option has an effect, and an invalid value is an error that names the option. (Limits, deadlines and hooks are
//! tested in the files of their topics.)

use e2e_tests::harness;
use e2e_tests::raw_peer::{DEADLINE, RawClient, RawFrame, SAMPLE_KEY};
use e2e_tests::server::{
    Api, Script, ServerRunner, bind, close_normally, echo_test, echo_test_with, start_echo,
    start_sharded_echo,
};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use ws_server::{DeflateConfig, Keepalive, Server, ServerBuilder, protocol::BufferPoolConfig};

#[test]
fn a_bad_setting_is_refused_by_name() {
    const ZERO: Duration = Duration::ZERO;
    const SECOND: Duration = Duration::from_secs(1);
    let keepalive = |interval, timeout| Some(Keepalive::new(interval, timeout));
    let (mut pool, mut preheat) = (BufferPoolConfig::default(), BufferPoolConfig::default());
    pool.buffer_size = 100;
    preheat.preheat = 65_537;
    let cases: [(&str, ServerBuilder); 28] = [
        ("max_connections = 0", Server::builder().max_connections(0)),
        ("max_handshakes = 0", Server::builder().max_handshakes(0)),
        ("max_connections_per_address = 0", Server::builder().max_connections_per_address(0)),
        ("memory_budget = 134217727", Server::builder().memory_budget(Some(128 * 1024 * 1024 - 1))),
        ("memory_budget = 0", Server::builder().memory_budget(Some(0))),
        ("message_timeout = 0ns", Server::builder().message_timeout(Some(ZERO))),
        ("backlog = 0", Server::builder().backlog(0)),
        ("receive_buffer = 1023", Server::builder().receive_buffer(1023)),
        ("receive_buffer = 1073741825", Server::builder().receive_buffer((1 << 30) + 1)),
        ("receive_buffer = 18446744073709551615", Server::builder().receive_buffer(usize::MAX)),
        ("initial_connections = 16777217", Server::builder().initial_connections((1 << 24) + 1)),
        ("initial_connections = 18446744073709551615", Server::builder().initial_connections(usize::MAX)),
        ("initial_handshakes = 1048577", Server::builder().initial_handshakes((1 << 20) + 1)),
        ("initial_handshakes = 18446744073709551615", Server::builder().initial_handshakes(usize::MAX)),
        ("pool.buffer_size = 100", Server::builder().pool(pool)),
        ("pool.preheat = 65537", Server::builder().pool(preheat)),
        ("handshake_timeout = 0ns", Server::builder().handshake_timeout(ZERO)),
        ("close_timeout = 0ns", Server::builder().close_timeout(ZERO)),
        ("idle_timeout = 0ns", Server::builder().idle_timeout(Some(ZERO))),
        ("write_timeout = 0ns", Server::builder().write_timeout(Some(ZERO))),
        ("keepalive.interval = 0ns", Server::builder().keepalive(keepalive(ZERO, SECOND))),
        ("keepalive.timeout = 0ns", Server::builder().keepalive(keepalive(SECOND, ZERO))),
        ("write_queue_messages = 0", Server::builder().write_queue_messages(0).write_queue_bytes(1)),
        ("max_head_size = 10", Server::builder().protocol(|config| config.limits.max_head_size = 10)),
        ("max_header_lines = 1", Server::builder().protocol(|config| config.limits.max_header_lines = 1)),
        ("unix_mode = 0o1000", Server::builder().unix_mode(0o1000)),
        (
            "max_header_lines = 24577",
            Server::builder().protocol(|config| config.limits.max_header_lines = 24_577),
        ),
        ("close_timeout = 0ns", Server::builder().protocol(|config| config.close_timeout = ZERO)),
    ];
    harness::run(async {
        for (expected, builder) in cases {
            let error = builder.bind("127.0.0.1:0").await.expect_err(expected);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(expected), "{error}");
        }
    });
}

#[test]
fn a_timeout_of_any_length_is_taken() {
    let endless = |builder: ServerBuilder| {
        builder
            .handshake_timeout(Duration::MAX)
            .close_timeout(Duration::MAX)
            .idle_timeout(Some(Duration::MAX))
            .write_timeout(Some(Duration::MAX))
            .message_timeout(Some(Duration::MAX))
            .keepalive(Some(Keepalive::new(Duration::MAX, Duration::MAX)))
    };
    echo_test_with(endless, async |server| {
        // In two pieces, so that the server waits for the rest.
        let mut client = RawClient::connect(server.addr()).await;
        let request = client.request("/").to_bytes();
        let (first, rest) = request.split_at(10);
        client.send_bytes(first).await;
        server.wait_for_handshakes(1).await;
        client.upgrade_with(rest).await.assert_switching_protocols(SAMPLE_KEY);
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;
        close_normally(client).await;
    });
}

#[test]
fn a_limit_that_is_set_and_removed_does_not_apply() {
    const ZERO: Duration = Duration::ZERO;
    let unlimited = |builder: ServerBuilder| {
        // With these values the server would not start, or would refuse the second client.
        let limited = builder
            .max_connections(1)
            .max_connections_per_address(1)
            .max_handshakes(0)
            .memory_budget(0)
            .idle_timeout(ZERO)
            .write_timeout(ZERO)
            .message_timeout(ZERO)
            .keepalive(Keepalive::new(ZERO, ZERO))
            .deflate(DeflateConfig::server());
        limited
            .max_connections(None)
            .max_connections_per_address(None)
            .max_handshakes(None)
            .memory_budget(None)
            .idle_timeout(None)
            .write_timeout(None)
            .message_timeout(None)
            .keepalive(None)
            .deflate(None)
    };
    echo_test_with(unlimited, async |server| {
        let mut clients = [server.open().await, server.open().await];
        for client in &mut clients {
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
        }
        for client in clients {
            close_normally(client).await;
        }
    });
}

#[test]
fn a_bad_setting_is_refused_for_a_given_listener_too() {
    harness::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = Server::builder().max_connections(0).listener(listener).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    harness::run(async {
        let server = bind(Server::builder()).await;
        let error = Server::bind(server.local_addr().unwrap()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn of_several_addresses_the_first_that_works_is_used() {
    harness::run(async {
        let taken = bind(Server::builder()).await.local_addr().unwrap();
        let occupied = TcpListener::bind(taken).await.unwrap();
        let addresses: [SocketAddr; 2] = [taken, "127.0.0.1:0".parse().unwrap()];
        let server = Server::bind(&addresses[..]).await.unwrap();
        let addr = server.local_addr().unwrap();
        assert_ne!(addr, occupied.local_addr().unwrap());
        let server =
            ServerRunner::start(server, |server| async { Ok(server.serve(async |ws, _| drop(ws)).await) });
        let mut client = RawClient::open(addr, "/").await;
        client.expect_close(1000).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_bound_listener_is_used() {
    harness::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::builder().listener(listener).unwrap();
        assert_eq!(server.local_addr().unwrap(), addr);
        let server = ServerRunner::start(server, |server| async {
            Ok(server.serve(async |mut ws, _| while ws.recv().await.is_some() {}).await)
        });
        close_normally(RawClient::open(addr, "/").await).await;
        server.stop().await;
    });
}

#[test]
fn ipv6_is_served_like_ipv4() {
    harness::run(async {
        let server = Server::bind("[::1]:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        assert!(addr.is_ipv6());
        let server = ServerRunner::start(server, |server| async {
            let serve = async |mut ws: ws_server::WebSocket<_>, request: ws_server::Request| {
                ws.send(request.peer_addr().unwrap().to_string()).await.unwrap();
                while ws.recv().await.is_some() {}
            };
            Ok(server.serve(serve).await)
        });
        let mut client = RawClient::connect(addr).await;
        // The same host, in the brackets of an address.
        let request = client.request("/").with("Origin", &format!("http://{addr}"));
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 101);
        let own = client.local_addr().to_string();
        client.expect_text(&own).await;
        close_normally(client).await;
        server.stop().await;
    });
}

/// Whether a message of 2000 bytes is lent from the receive buffer, or was assembled in another buffer.
async fn is_assembled(builder: ServerBuilder) -> bool {
    let (sender, assembled) = mpsc::channel();
    let script = Script::new().on_message(move |_, message| sender.send(message.is_assembled()).unwrap());
    let server = script.start_sharded(builder, 1).await;
    let mut client = server.open().await;
    client.send_together(&[RawFrame::binary(vec![0; 2000]), RawFrame::ping("")]).await;
    client.expect_pong(b"").await;
    close_normally(client).await;
    server.stop().await;
    assembled.recv().unwrap()
}

#[test]
fn the_receive_buffer_has_the_size_that_is_set() {
    harness::run(async {
        assert!(!is_assembled(Server::builder()).await);
        assert!(is_assembled(Server::builder().receive_buffer(1024)).await);
        // No bytes are lost with any buffer size.
        let server = start_sharded_echo(Api::Handler, Server::builder().receive_buffer(1024), 1).await;
        let mut client = server.open().await;
        for size in [1, 1000, 1023, 1024, 1025, 100_000] {
            client.send(RawFrame::binary(vec![7; size])).await;
            client.expect_binary(&vec![7; size]).await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

/// The size of this process's address space in bytes.
#[cfg(target_os = "linux")]
fn address_space() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
}

/// The address space that a running server of this kind takes.
#[cfg(target_os = "linux")]
async fn footprint(builder: ServerBuilder) -> usize {
    let before = address_space();
    let server = start_sharded_echo(Api::Handler, builder, 1).await;
    close_normally(server.open().await).await;
    let footprint = address_space().saturating_sub(before);
    server.stop().await;
    footprint
}

/// A server of this kind takes most of 512 MiB more than one with the defaults. Each test has a process of its own, so
/// the memory that an earlier server has given back is not counted.
#[cfg(target_os = "linux")]
fn takes_512_mib_more(builder: ServerBuilder) {
    const MIB: usize = 1024 * 1024;
    harness::run(async {
        // A shard takes a stack and an arena of the allocator.
        let plain = footprint(Server::builder()).await;
        let taken = footprint(builder).await;
        // The system may take back a part before it is measured.
        assert!(taken >= plain + 128 * MIB, "{} MiB, and {} MiB with the defaults", taken / MIB, plain / MIB);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn memory_for_handshakes_is_set_aside_as_it_is_asked_for() {
    takes_512_mib_more(Server::builder().initial_handshakes(512 * 1024));
}

#[cfg(target_os = "linux")]
#[test]
fn memory_for_connections_is_set_aside_as_it_is_asked_for() {
    takes_512_mib_more(Server::builder().initial_connections(2048 * 1024));
}

#[cfg(target_os = "linux")]
#[test]
fn memory_for_messages_is_set_aside_as_it_is_asked_for() {
    const MIB: usize = 1024 * 1024;
    let mut pool = BufferPoolConfig::default();
    pool.buffer_size = MIB;
    pool.preheat = 512;
    pool.max_retained = 512 * MIB;
    takes_512_mib_more(Server::builder().pool(pool));
}

#[test]
fn as_many_connections_wait_to_be_accepted_as_the_backlog_says() {
    harness::run(async {
        let connect_all = async |server: &Server| {
            let addr = server.local_addr().unwrap();
            let clients: JoinSet<_> = (0..32).map(|_| TcpStream::connect(addr)).collect();
            clients.join_all().await
        };
        let patient = bind(Server::builder().backlog(64)).await;
        let crowd =
            timeout(DEADLINE, connect_all(&patient)).await.expect("all connections wait in the backlog");
        assert!(crowd.iter().all(Result::is_ok));
        let hasty = bind(Server::builder().backlog(1)).await;
        let crowd = timeout(Duration::from_millis(300), connect_all(&hasty)).await;
        assert!(crowd.is_err(), "the kernel has no room for them");
    });
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    echo_test(async |server| {
        // The limits of 100 lines, 8 KiB and 16 MiB and the origin policy have their own tests. This one: no limit on
        // connections.
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(server.open().await);
        }
        assert_eq!(server.handle().connections(), 100);
        for client in clients {
            close_normally(client).await;
        }
    });
}

#[test]
fn settings_may_be_shared_by_two_servers() {
    harness::run(async {
        let builder = Server::builder().max_message_size(10);
        for server in [start_echo(Api::Handler, builder.clone()).await, start_echo(Api::Async, builder).await]
        {
            let mut client = server.open().await;
            client.send(RawFrame::text("12345678901")).await;
            client.expect_close(1009).await;
            client.expect_eof().await;
            drop(client);
            server.stop().await;
        }
    });
}
