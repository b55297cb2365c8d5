//! Why did it close? The recorder of a connection, with handlers and async functions.

use std::time::Duration;

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{ServerRunner, close_normally};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use ws_server::{
    CloseInfo, Conn, Handler, Keepalive, MessageRef, Rejection, Request, Server, ServerBuilder, ServerStream,
    WebSocket, error::SendError, message::PreparedMessage, stats::RecordedEvent,
};

use crate::statistics::{PLUG, plug, with_both};

fn recording() -> ServerBuilder {
    Server::builder().recorder(64)
}

/// The lines of the recording, without their times. Pauses depend on when the application receives.
fn lines(info: &CloseInfo) -> Vec<String> {
    let events = info.recording().expect("the server records").events().map(|recorded| recorded.event);
    events
        .filter(|event| !matches!(event, RecordedEvent::Paused | RecordedEvent::Resumed))
        .map(|event| event.to_string())
        .collect()
}

#[test]
fn a_normal_close_is_recorded() {
    with_both(recording, async |server, told| {
        let mut client = server.open().await;
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;
        close_normally(client).await;
        let (info, stats) = told.recv().await.unwrap();
        assert!(info.is_clean() && stats.is_none());
        let expected = [
            "received text, 5 bytes",
            "sent text, 5 bytes",
            "received Close 1000",
            "sent Close 1000",
            "the peer's stream ended",
            "ended",
        ];
        assert_eq!(lines(&info), expected);
        let times: Vec<_> = info.recording().unwrap().events().map(|recorded| recorded.at).collect();
        assert!(times.is_sorted() && times.last() < Some(&Duration::from_secs(60)), "{times:?}");
    });
}

#[test]
fn a_protocol_error_is_recorded() {
    with_both(recording, async |server, told| {
        let mut client = server.open().await;
        client.send(RawFrame::new(3, *b"")).await;
        client.expect_close(1002).await;
        client.expect_eof().await;
        drop(client);
        let (info, _) = told.recv().await.unwrap();
        let expected = ["failed: the peer violated the protocol: reserved opcode 3", "sent Close 1002"]
            .map(String::from);
        assert_eq!(lines(&info)[..2], expected);
        assert_eq!(lines(&info).last().unwrap(), "ended");
    });
}

#[test]
fn a_keepalive_timeout_is_recorded() {
    let silent = || {
        let keepalive = Keepalive::new(Duration::from_millis(20), Duration::from_millis(30));
        recording().keepalive(keepalive).close_timeout(Duration::from_millis(50))
    };
    with_both(silent, async |server, told| {
        let client = server.open().await;
        let (info, _) = told.recv().await.unwrap();
        let expected = [
            "sent keepalive ping 1",
            "keepalive pong is late",
            "failed: a deadline passed: no pong within the keepalive timeout",
            "sent Close 1011",
            "ended",
        ];
        assert_eq!(lines(&info), expected);
        drop(client);
    });
}

#[test]
fn a_slow_peer_that_is_cut_off_is_recorded() {
    let impatient = || recording().write_timeout(Duration::from_millis(200)).keepalive(None);
    with_both(impatient, async |server, told| {
        let client = server.open_slow().await;
        let (reader, mut writer) = client.into_connection().split();
        writer.send(RawFrame::text(PLUG)).await;
        let (info, _) = told.recv().await.unwrap();
        let lines = lines(&info);
        assert!(lines.iter().any(|line| line.starts_with("the transport accepts no more: ")), "{lines:#?}");
        let failed = "failed: a deadline passed: no bytes taken by the peer within the write timeout";
        assert!(lines.iter().any(|line| line == failed), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "ended");
        drop((reader, writer));
    });
}

/// Has room for one message.
fn narrow() -> ServerBuilder {
    recording().write_queue_messages(1)
}

/// The lengths of the messages that found the write queue full.
fn refusals(info: &CloseInfo) -> Vec<u64> {
    let events = info.recording().expect("the server records").events();
    let len = |event| if let RecordedEvent::SendRefused { len } = event { Some(len) } else { None };
    events.filter_map(|recorded| len(recorded.event)).collect()
}

/// Answers with a message that fills the write queue, and one behind it that is sent as the message says.
async fn answer_twice(mut ws: WebSocket<ServerStream>, tell: UnboundedSender<CloseInfo>) {
    while let Some(message) = ws.recv().await {
        ws.send(plug()).await.unwrap();
        match message.as_text() {
            Some("send") => ws.send("waits").await.unwrap(),
            Some("prepared") => ws.send_prepared(&PreparedMessage::new("waits")).await.unwrap(),
            Some("sender") => ws.sender().send("waits").await.unwrap(),
            _ => {
                let refused = ws.sender().try_send("waits");
                assert!(matches!(refused, Err(SendError::Full(_))), "{refused:?}");
                ws.send("waits").await.unwrap();
            }
        }
    }
    tell.send(ws.close_info().expect("it is over")).expect("the test waits for it");
}

#[test]
fn a_message_that_waits_for_room_is_recorded_once() {
    harness::run(async {
        let (tell, mut told) = unbounded_channel();
        let server = ServerRunner::serve(narrow(), move |ws| answer_twice(ws, tell.clone())).await;
        for way in ["send", "prepared", "sender", "try_send"] {
            println!("with {way}");
            let mut client = server.open().await;
            client.send(RawFrame::text(way)).await;
            assert_eq!(client.recv_frame().await.payload.len(), plug().len());
            client.expect_text("waits").await;
            close_normally(client).await;
            assert_eq!(refusals(&told.recv().await.unwrap()), [5]);
        }
        server.stop().await;
    });
}

/// As [`answer_twice`]. The second message is refused, and then waits in the mailbox.
struct AnswersTwice(UnboundedSender<CloseInfo>);

impl Handler for AnswersTwice {
    type Context = UnboundedSender<CloseInfo>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, _message: MessageRef<'_>) {
        conn.send_message(plug()).unwrap();
        let refused = conn.send_text("waits");
        assert_eq!(refused, Err(SendError::Full("waits")));
        conn.sender().try_send("waits").unwrap();
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, info: &CloseInfo) {
        self.0.send(info.clone()).expect("the test waits for it");
    }
}

#[test]
fn a_message_that_a_handler_was_refused_is_recorded_once() {
    harness::run(async {
        let (tell, mut told) = unbounded_channel();
        let server = ServerRunner::serve_handler::<AnswersTwice>(narrow(), tell).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("")).await;
        assert_eq!(client.recv_frame().await.payload.len(), plug().len());
        client.expect_text("waits").await;
        close_normally(client).await;
        assert_eq!(refusals(&told.recv().await.unwrap()), [5]);
        server.stop().await;
    });
}

#[test]
fn a_recorder_of_a_bad_length_is_refused_with_its_value() {
    for (events, value) in [(0, "0"), (65_537, "65537")] {
        let error = Server::builder().recorder(events).without_listener().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let message =
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        assert_eq!(message, format!("recorder = {value}: must be from 1 to 65,536"));
    }
}
