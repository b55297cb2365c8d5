//! A panic in the application ends its own connection with 1011, and nothing else.

use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Event, ObservedServer, Script, ServerRunner, close_normally};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use ws_server::{Message, OriginPolicy, Server, WebSocket, close::Initiator, error::ConnectionError};

fn run(test: impl Future<Output = ()>) {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, test);
}

/// Panics the first time.
fn once() -> impl Fn() + Send + Sync + 'static {
    let calls = AtomicUsize::new(0);
    move || assert_ne!(calls.fetch_add(1, SeqCst), 0, "on purpose")
}

/// Checks that the first client's connection ends with 1011 after it sends `trigger`, and that others are served before
/// and after.
async fn expect_1011(script: Script, trigger: &[RawFrame]) {
    let mut server = script.start(Server::builder()).await;
    let mut client = server.open().await;
    client.send_together(trigger).await;
    loop {
        let frame = client.recv_frame().await;
        if let Some((code, _)) = frame.close_code() {
            assert_eq!(code, 1011);
            break;
        }
    }
    client.expect_eof().await;
    drop(client);
    let info = server.closed().await;
    assert_eq!((info.error, info.initiator), (Some(ConnectionError::Internal), Initiator::Library));
    expect_alive(server).await;
}

async fn expect_alive(server: ObservedServer) {
    close_normally(server.open().await).await;
    assert!(!server.stop().await.forced);
}

#[test]
fn in_on_open_it_is_1011() {
    run(async {
        let panic = once();
        expect_1011(Script::new().on_open(move |_| panic()), &[]).await;
    });
}

#[test]
fn in_on_message_it_is_1011() {
    run(async {
        let panic = once();
        expect_1011(Script::new().on_message(move |_, _| panic()), &[RawFrame::text("boom")]).await;
    });
}

#[test]
fn in_on_ping_and_on_pong_it_is_1011() {
    run(async {
        let panic = once();
        expect_1011(Script::new().on_ping(move |_, _| panic()), &[RawFrame::ping("boom")]).await;
        let panic = once();
        expect_1011(Script::new().on_pong(move |_, _| panic()), &[RawFrame::pong("boom")]).await;
    });
}

#[test]
fn in_on_write_complete_and_on_writable_it_is_1011() {
    run(async {
        let panic = once();
        let script = Script::new().on_message(|conn, _| conn.send_text("a".to_owned()).unwrap());
        expect_1011(script.on_write_complete(move |_, _| panic()), &[RawFrame::text("go")]).await;
    });
}

#[test]
fn in_on_writable_it_is_1011() {
    run(async {
        let panic = once();
        let script = Script::new()
            .on_message(|conn, _| while conn.send_binary(&[0; 100_000]).is_ok() {})
            .on_writable(move |_| panic());
        expect_1011(script, &[RawFrame::text("go")]).await;
    });
}

#[test]
fn in_on_close_it_only_ends_what_is_over() {
    run(async {
        let panic = once();
        let mut server = Script::new().on_close(move |_, _| panic()).start(Server::builder()).await;
        close_normally(server.open().await).await;
        server.closed().await;
        server.wait_for_connections(0).await;
        expect_alive(server).await;
    });
}

#[test]
fn in_accept_it_is_500() {
    run(async {
        let panic = once();
        let script = Script::new().accept(move |_| {
            panic();
            Ok(())
        });
        expect_500(script.start(Server::builder().max_connections(1)).await).await;
        let panic = once();
        let builder = Server::builder().max_connections(1).on_request(move |_| {
            panic();
            Ok(())
        });
        expect_500(Script::new().start(builder).await).await;
    });
}

async fn expect_500(server: ObservedServer) {
    let mut client = server.connect().await;
    let request = client.request("/").to_bytes();
    let head = client.upgrade_with(request).await;
    assert_eq!(head.status(), 500);
    client.recv_body(&head).await;
    client.expect_eof().await;
    // The only permit is free again.
    server.wait_for_connections(0).await;
    expect_alive(server).await;
}

#[test]
fn other_connections_continue() {
    run(async {
        let panic = once();
        let script = Script::new().on_message(move |conn, message| {
            if message.as_text() == Some("boom") {
                panic();
            }
            conn.send(message).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let (mut good, mut bad) = (server.open().await, server.open().await);
        bad.send(RawFrame::text("boom")).await;
        bad.expect_close(1011).await;
        good.send(RawFrame::text("hello")).await;
        good.expect_text("hello").await;
        close_normally(good).await;
        drop(bad);
        server.stop().await;
    });
}

#[test]
fn a_handler_that_has_panicked_hears_of_nothing_but_the_end() {
    run(async {
        let panic = once();
        let script = Script::new().on_open(|conn| conn.pause()).on_ping(move |conn, _| {
            conn.resume();
            panic();
        });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        let frames = [RawFrame::text("held"), RawFrame::ping(""), RawFrame::text("behind")];
        client.send_together(&frames).await;
        client.expect_close(1011).await;
        client.expect_eof().await;
        drop(client);
        let (events, _) = server.rest_and_closed().await;
        assert_eq!(events, [Event::Opened, Event::Ping("".into())]);
        expect_alive(server).await;
    });
}

#[test]
fn what_was_sent_before_the_panic_goes_out() {
    run(async {
        let script = Script::new().on_message(|conn, _| {
            conn.send_text("before").unwrap();
            panic!("on purpose");
        });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        client.expect_text("before").await;
        client.expect_close(1011).await;
        client.expect_eof().await;
        drop(client);
        server.wait_for(&Event::Message(Message::text("go"))).await;
        server.stop().await;
    });
}

/// A function that echoes one message and then panics in the given way.
async fn expect_1011_async(panic: fn()) {
    let server = ServerRunner::serve(Server::builder(), move |mut ws: WebSocket<_>| async move {
        while let Some(message) = ws.recv().await {
            if message.as_text() == Some("boom") {
                panic();
            }
            ws.send(message).await.unwrap();
        }
    })
    .await;
    let (mut good, mut bad) = (server.open().await, server.open().await);
    bad.send_together(&[RawFrame::text("before"), RawFrame::text("boom")]).await;
    bad.expect_text("before").await;
    bad.expect_close(1011).await;
    bad.expect_eof().await;
    good.send(RawFrame::text("hello")).await;
    good.expect_text("hello").await;
    close_normally(good).await;
    drop(bad);
    server.stop().await;
}

#[test]
fn in_an_async_function_it_is_1011() {
    run(expect_1011_async(|| panic!("on purpose")));
}

#[test]
fn in_the_function_that_makes_the_future_it_is_1011() {
    run(async {
        let panic = once();
        let panic = Arc::new(panic);
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            panic();
            async move { while ws.recv().await.is_some() {} }
        })
        .await;
        let mut client = server.open().await;
        client.expect_close(1011).await;
        client.expect_eof().await;
        drop(client);
        close_normally(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn in_the_destructor_of_a_future_that_is_cut_off_it_ends_only_that() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    run(async {
        let server = ServerRunner::serve(Server::builder(), async |ws| {
            let bomb = Bomb;
            std::future::pending::<()>().await;
            drop((ws, bomb));
        })
        .await;
        let client = server.open().await;
        let report = server.stop_within(std::time::Duration::ZERO).await;
        assert_eq!((report.clean, report.unclean, report.forced), (0, 1, true));
        drop(client);
    });
}

#[test]
fn a_shard_survives_too() {
    run(async {
        let panic = once();
        let script = Script::new().on_message(move |_, _| panic());
        let server = script.start_sharded(Server::builder(), 1).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("boom")).await;
        client.expect_close(1011).await;
        client.expect_eof().await;
        drop(client);
        expect_alive(server).await;
    });
}

#[test]
fn a_panic_in_the_origin_policy_is_answered_with_500_and_harms_no_other_connection() {
    run(async {
        let check = once();
        let policy = OriginPolicy::Custom(Arc::new(move |_| {
            check();
            true
        }));
        let server = Script::default().start(Server::builder().origin(policy)).await;
        for status in [500, 101] {
            let mut client = server.connect().await;
            let request = client.request("/").with("Origin", "https://example.com");
            assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), status);
        }
        expect_alive(server).await;
    });
}
