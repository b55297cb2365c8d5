//! An async function that receives control frames too.

use std::sync::Arc;

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{ServerRunner, close_normally};
use tokio::sync::{
    Notify,
    mpsc::{UnboundedReceiver, unbounded_channel},
};
use ws_server::{CloseCode, Event, Message, Server, close::CloseFrame};

/// A server whose functions report their events, and its reports. Between two events a function waits for `go`.
async fn reporting(go: Option<Arc<Notify>>) -> (ServerRunner, UnboundedReceiver<Event>) {
    let (report, events) = unbounded_channel();
    let server = ServerRunner::serve(Server::builder(), move |mut ws| {
        let (report, go) = (report.clone(), go.clone());
        async move {
            while let Some(event) = ws.recv_event().await {
                report.send(event).expect("the test waits for it");
                if let Some(go) = &go {
                    go.notified().await;
                }
            }
        }
    });
    (server.await, events)
}

fn conversation() -> [(RawFrame, Event); 6] {
    [
        (RawFrame::ping("1"), Event::Ping("1".into())),
        (RawFrame::text("a"), Event::Message(Message::text("a"))),
        (RawFrame::pong(""), Event::Pong("".into())),
        (RawFrame::binary([7; 5000]), Event::Message(Message::binary(vec![7; 5000]))),
        (RawFrame::ping("2"), Event::Ping("2".into())),
        (RawFrame::close(1000, "bye"), Event::Close(CloseFrame::new(CloseCode::NORMAL, "bye"))),
    ]
}

#[test]
fn a_function_receives_each_frame_when_it_arrives_and_the_library_answers() {
    harness::run(async {
        let (server, mut events) = reporting(None).await;
        let mut client = server.open().await;
        for (frame, event) in conversation() {
            client.send(frame).await;
            assert_eq!(events.recv().await, Some(event));
        }
        client.expect_pong(b"1").await;
        client.expect_pong(b"2").await;
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_busy_function_receives_what_arrived_in_between_in_order() {
    harness::run(async {
        let go = Arc::new(Notify::new());
        let (server, mut events) = reporting(Some(Arc::clone(&go))).await;
        let mut client = server.open().await;
        let conversation = conversation();
        client.send_together(&conversation.each_ref().map(|(frame, _)| frame.clone())).await;
        client.expect_pong(b"1").await;
        client.expect_pong(b"2").await;
        for (_, event) in conversation {
            assert_eq!(events.recv().await, Some(event));
            go.notify_one();
        }
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn the_close_is_received_while_the_transport_is_still_open() {
    harness::run(async {
        let (server, mut events) = reporting(None).await;
        let mut client = server.open().await;
        client.send(RawFrame::new(8, "")).await;
        assert_eq!(events.recv().await, Some(Event::Close(CloseFrame::default())));
        client.expect_empty_close().await;
        assert_eq!(server.handle().connections(), 1, "the client has not closed its side");
        drop(client);
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn without_automatic_pongs_a_function_receives_also_what_came_before_its_first_recv_event() {
    harness::run(async {
        let (report, mut events) = unbounded_channel();
        let builder = Server::builder().protocol(|config| config.auto_pong = false);
        let server = ServerRunner::serve(builder, move |mut ws| {
            let report = report.clone();
            async move {
                // Once the pong has arrived, everything before it is read.
                ws.ping_rtt().await.expect("a pong");
                while let Some(event) = ws.recv_event().await {
                    report.send(event).expect("the test waits for it");
                }
            }
        });
        let server = server.await;
        let mut client = server.open().await;
        let ping = client.recv_frame().await;
        let pong = RawFrame::pong(ping.payload.clone());
        client.send_together(&[RawFrame::ping("1"), RawFrame::text("a"), RawFrame::ping("2"), pong]).await;
        let ping_1 = Event::Ping("1".into());
        let ping_2 = Event::Ping("2".into());
        for expected in [ping_1, Event::Message(Message::text("a")), ping_2, Event::Pong(ping.payload.into())]
        {
            assert_eq!(events.recv().await, Some(expected));
        }
        close_normally(client).await;
        server.stop().await;
    });
}
