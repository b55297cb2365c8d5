//! A client of the chat's protocol.

use std::net::SocketAddr;

use e2e_tests::raw_peer::{RawClient, RawFrame};
use serde_json::{Value, json};

pub(crate) struct Person {
    raw: RawClient,
    /// The id that the server gave.
    pub(crate) id: String,
}

impl Person {
    /// Connects and says hello.
    pub(crate) async fn hello(addr: SocketAddr, name: &str) -> Self {
        let mut person = Self { raw: RawClient::open(addr, "/socket").await, id: String::new() };
        person.send(&json!({ "type": "hello", "name": name })).await;
        let welcome = person.next("welcome").await;
        assert_eq!(welcome["name"], name);
        person.id = welcome["id"].as_str().unwrap().to_owned();
        person
    }

    /// Says hello and enters a room. What the server has kept is returned.
    pub(crate) async fn enter(addr: SocketAddr, name: &str, room: &str) -> Self {
        let mut person = Self::hello(addr, name).await;
        let (_, entered) = person.enter_from(room, None).await;
        assert_eq!(entered["recovered"], "fresh");
        person
    }

    /// Enters a room from a position: the texts of the messages that come first, and the answer.
    pub(crate) async fn enter_from(&mut self, room: &str, from: Option<&str>) -> (Vec<String>, Value) {
        self.send(&json!({ "type": "enter", "room": room, "from": from })).await;
        let mut texts = Vec::new();
        loop {
            let message = self.message().await;
            if message["type"] == "entered" {
                assert_eq!(message["room"], room);
                return (texts, message);
            }
            if message["data"]["type"] == "said" {
                texts.push(message["data"]["text"].as_str().unwrap().to_owned());
            }
        }
    }

    pub(crate) async fn send(&mut self, command: &Value) {
        self.raw.send(RawFrame::text(command.to_string())).await;
    }

    pub(crate) async fn say(&mut self, room: &str, text: &str) {
        let reference = format!("ref of {text:.8}");
        self.send(&json!({ "type": "say", "room": room, "text": text, "ref": reference })).await;
    }

    /// The next message, whatever it is.
    pub(crate) async fn message(&mut self) -> Value {
        let frame = self.raw.recv_frame().await;
        serde_json::from_slice(&frame.payload).unwrap_or_else(|error| panic!("{error}: {frame:?}"))
    }

    /// The next message of a type. Those of other types are skipped.
    pub(crate) async fn next(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The next message of a room's log: its position and its text.
    pub(crate) async fn said(&mut self) -> (String, String) {
        loop {
            let message = self.message().await;
            if message["data"]["type"] == "said" {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                return (text(&message["at"]), text(&message["data"]["text"]));
            }
        }
    }

    pub(crate) fn into_raw(self) -> RawClient {
        self.raw
    }
}
