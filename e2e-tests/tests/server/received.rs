//! A client's messages are delivered even if a write to it fails or our Close is on its way, with both APIs.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, ServerRunner};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use ws_server::{
    CloseCode, CloseInfo, Conn, Handler, Message, MessageRef, Rejection, Request, Sender, Server,
    ServerBuilder,
};

/// An event of the application.
#[derive(Debug)]
enum Heard {
    Opened(Sender),
    Message(Message),
    Closed(CloseInfo),
}

struct Listener(UnboundedSender<Heard>);

impl Listener {
    fn hear(&self, heard: Heard) {
        self.0.send(heard).expect("the test waits for it");
    }
}

impl Handler for Listener {
    type Context = UnboundedSender<Heard>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.hear(Heard::Opened(conn.sender()));
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, message: MessageRef<'_>) {
        self.hear(Heard::Message(message.into_message()));
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, info: &CloseInfo) {
        self.hear(Heard::Closed(info.clone()));
    }
}

struct Listening {
    runner: ServerRunner,
    heard: UnboundedReceiver<Heard>,
}

impl Listening {
    async fn start(api: Api, builder: ServerBuilder) -> Self {
        let (sender, heard) = unbounded_channel();
        let runner = match api {
            Api::Handler => ServerRunner::serve_handler::<Listener>(builder, sender).await,
            Api::Async => {
                ServerRunner::serve(builder, move |mut ws| {
                    let listener = Listener(sender.clone());
                    async move {
                        listener.hear(Heard::Opened(ws.sender()));
                        while let Some(message) = ws.recv().await {
                            listener.hear(Heard::Message(message));
                        }
                        listener.hear(Heard::Closed(ws.close_info().expect("it is over")));
                    }
                })
                .await
            }
        };
        Self { runner, heard }
    }

    async fn open(&mut self) -> (RawClient, Sender) {
        let client = self.runner.open_slow().await;
        match self.heard.recv().await {
            Some(Heard::Opened(sender)) => (client, sender),
            heard => panic!("{heard:?}"),
        }
    }

    /// All messages up to the end, and the `CloseInfo`.
    async fn rest(&mut self) -> (Vec<Message>, CloseInfo) {
        let mut messages = Vec::new();
        loop {
            match self.heard.recv().await.expect("the server runs") {
                Heard::Message(message) => messages.push(message),
                Heard::Closed(info) => return (messages, info),
                heard @ Heard::Opened(_) => panic!("{heard:?}"),
            }
        }
    }
}

fn with_both(test: impl AsyncFn(&mut Listening)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut server = Listening::start(api, Server::builder()).await;
            test(&mut server).await;
            server.runner.stop().await;
        }
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_write_is_heard_to_its_end() {
    with_both(async |server| {
        for _ in 0..10 {
            let (mut client, sender) = server.open().await;
            sender.try_send(vec![7; 8 << 20]).unwrap();
            client.reader.recv_bytes(1000).await;
            client.send_together(&[RawFrame::text("one"), RawFrame::close(4001, "done")]).await;
            // Its unread bytes turn its end into a reset.
            drop(client);
            let _ = sender.try_send("unread");
            let (messages, info) = server.rest().await;
            assert_eq!(messages, [Message::text("one")]);
            assert_eq!((info.code(), info.reason()), (4001, "done"), "{info:?}");
        }
    });
}

#[test]
fn answers_behind_a_senders_close_are_delivered_until_the_clients_close() {
    const ANSWERS: usize = 100;
    with_both(async |server| {
        let (mut client, sender) = server.open().await;
        sender.close(CloseCode::NORMAL, "enough");
        assert_eq!(client.expect_close(1000).await, "enough");
        let answers: Vec<_> = (0..ANSWERS).map(|number| format!("answer {number}")).collect();
        for answer in &answers {
            client.send(RawFrame::text(answer.as_str())).await;
        }
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
        client.half_close().await;
        let (messages, info) = server.rest().await;
        assert_eq!(messages, answers.into_iter().map(Message::from).collect::<Vec<_>>());
        assert!(info.is_clean(), "{info:?}");
    });
}
