//! An async function that receives control frames too.

use std::sync::Arc;

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::ServerRunner;
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
fn a_busy_function_receives_what_arrived_meanwhile_in_order() {
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
