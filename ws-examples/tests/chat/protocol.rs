//! What the server promises to the page.

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
#[cfg(unix)]
use rustix::process::Signal;
use serde_json::json;

use crate::{page::start, person::Person};

#[test]
fn all_in_a_room_get_every_message_with_its_position_in_one_order() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        let mut ben = Person::enter(addr, "Ben", "lobby").await;
        ada.say("lobby", "one").await;
        ben.say("lobby", "two").await;
        ada.say("lobby", "three").await;
        let (mut seen_by_ada, mut seen_by_ben) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            seen_by_ada.push(ada.said().await);
            seen_by_ben.push(ben.said().await);
        }
        assert_eq!(seen_by_ada, seen_by_ben);
        let offset = |at: &str| at.split_once('-').unwrap().1.parse::<u64>().unwrap();
        assert_eq!(seen_by_ada.iter().map(|(at, _)| offset(at)).collect::<Vec<_>>(), [1, 2, 3]);
    });
}

#[cfg(unix)]
#[test]
fn all_in_a_room_see_who_comes_goes_and_writes() {
    harness::run(async {
        let (server, addr) = start(&[]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        let mut ben = Person::hello(addr, "Ben").await;
        let (_, entered) = ben.enter_from("lobby", None).await;
        let person = |id: &str, name: &str| json!({ "id": id, "name": name });
        assert_eq!(entered["here"], json!([person(&ada.id, "Ada"), person(&ben.id, "Ben")]));
        let id = ben.id.clone();
        let of_ben = |message: &serde_json::Value| message["id"] == id.as_str();
        let mut joined = ada.next("joined").await;
        while !of_ben(&joined) {
            joined = ada.next("joined").await;
        }
        assert_eq!((&joined["room"], &joined["name"]), (&json!("lobby"), &json!("Ben")));
        ben.send(&json!({ "type": "typing", "room": "lobby", "on": true })).await;
        let typing = ada.next("typing").await;
        assert!(of_ben(&typing) && typing["on"] == true && typing["name"] == "Ben", "{typing}");
        ben.into_raw().into_connection().reset();
        assert_eq!(ada.next("left").await, json!({ "type": "left", "room": "lobby", "id": id }));
        server.signal(Signal::INT);
        let mut ada = ada.into_raw();
        ada.expect_close(1001).await;
        ada.send(RawFrame::close(1001, "")).await;
        ada.expect_eof().await;
        drop(ada);
        assert!(server.end().await.status.success());
    });
}

#[test]
fn a_visitor_gets_what_was_said_before_and_one_who_comes_back_only_what_is_new() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        let mut positions = Vec::new();
        for text in ["one", "two", "three"] {
            ada.say("lobby", text).await;
            positions.push(ada.said().await.0);
        }
        let mut ben = Person::hello(addr, "Ben").await;
        let (texts, entered) = ben.enter_from("lobby", None).await;
        assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("one two three", &json!("fresh")));
        assert_eq!(entered["position"], json!(positions[2]));
        for (from, expected) in [(0, "two three"), (1, "three"), (2, "")] {
            let (texts, entered) = ben.enter_from("lobby", Some(&positions[from])).await;
            assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), (expected, &json!("all")));
        }
        // A position of another server, or of this one before it was restarted.
        let (texts, entered) = ben.enter_from("lobby", Some("1-1")).await;
        assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("one two three", &json!("none")));
        // Rooms are apart.
        let (texts, entered) = ben.enter_from("rust", None).await;
        assert_eq!((texts.len(), &entered["here"].as_array().unwrap().len()), (0, &1));
    });
}

#[test]
fn a_visitor_who_missed_more_than_is_kept_is_told() {
    harness::run(async {
        let (_server, addr) = start(&["--history", "2"]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        let mut positions = Vec::new();
        for text in ["one", "two", "three", "four"] {
            ada.say("lobby", text).await;
            positions.push(ada.said().await.0);
        }
        let (texts, entered) = ada.enter_from("lobby", Some(&positions[0])).await;
        assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("three four", &json!("some")));
        let (texts, entered) = ada.enter_from("lobby", Some(&positions[1])).await;
        assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("three four", &json!("all")));
    });
}

#[test]
fn what_a_visitor_may_not_do_is_refused_with_a_reason() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        let long = "x".repeat(2_001);
        for (command, why) in [
            (json!({ "type": "say", "room": "rust", "text": "a", "ref": "1" }), "You are not in #rust."),
            (
                json!({ "type": "say", "room": "lobby", "text": long, "ref": "2" }),
                "A message has at most 2000",
            ),
            (json!({ "type": "say", "room": "lobby", "text": " ", "ref": "3" }), "The message is empty."),
            (json!({ "type": "enter", "room": "A room" }), "A room's name has at most 24 small letters"),
        ] {
            ada.send(&command).await;
            let refused = ada.next("refused").await;
            assert!(refused["why"].as_str().is_some_and(|said| said.starts_with(why)), "{refused}");
            assert_eq!((&refused["ref"], &refused["room"]), (&command["ref"], &command["room"]));
        }
        for number in 0..15 {
            ada.enter_from(&format!("room-{number}"), None).await;
        }
        ada.send(&json!({ "type": "enter", "room": "one-more" })).await;
        let refused = ada.next("refused").await;
        assert_eq!(refused["why"], "You are in 16 rooms, which is the most. Leave one first.");
        ada.send(&json!({ "type": "leave", "room": "room-0" })).await;
        ada.enter_from("one-more", None).await;
    });
}

#[test]
fn who_writes_too_fast_is_told_how_long_to_wait() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut ada = Person::enter(addr, "Ada", "lobby").await;
        // More than fit into any time that this takes.
        for number in 0..60 {
            ada.say("lobby", &number.to_string()).await;
        }
        let refused = ada.next("refused").await;
        let wait = refused["wait"].as_u64().unwrap();
        assert!((1..=1001).contains(&wait), "{refused}");
        assert!(refused["why"].as_str().unwrap().starts_with("You write too fast"), "{refused}");
    });
}

#[test]
fn who_enters_rooms_too_fast_is_told_how_long_to_wait() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut ada = Person::hello(addr, "Ada").await;
        // More than fit into any time that this takes.
        for _ in 0..80 {
            ada.send(&json!({ "type": "enter", "room": "lobby" })).await;
        }
        let refused = ada.next("refused").await;
        assert!((1..=1001).contains(&refused["wait"].as_u64().unwrap()), "{refused}");
        assert_eq!(refused["why"], "You enter rooms too fast.");
    });
}

#[test]
fn visitors_who_open_all_rooms_do_not_close_the_standing_ones() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let mut people = Vec::new();
        let refused = 'full: loop {
            let mut person = Person::hello(addr, "Ada").await;
            for room in 0..16 {
                let room = format!("room-{}-{room}", people.len());
                person.send(&json!({ "type": "enter", "room": room })).await;
                let answer = loop {
                    let message = person.message().await;
                    if message["type"] == "entered" || message["type"] == "refused" {
                        break message;
                    }
                };
                if answer["type"] == "refused" {
                    break 'full answer;
                }
            }
            people.push(person);
        };
        assert_eq!(refused["why"], "There are too many rooms already.");
        let mut ben = Person::enter(addr, "Ben", "lobby").await;
        ben.enter_from("room-1-1", None).await;
    });
}

#[test]
fn what_no_page_sends_ends_the_connection_with_1008() {
    harness::run(async {
        let (_server, addr) = start(&[]);
        let hello = r#"{"type":"hello","name":"Ada"}"#;
        for (frames, reason) in [
            (vec![RawFrame::text(r#"{"type":"ping"}"#)], "hello comes first"),
            (vec![RawFrame::text("hello")], "hello comes first"),
            (vec![RawFrame::binary("hello")], "commands are text"),
            (vec![RawFrame::text(hello), RawFrame::text(hello)], "hello comes once"),
            (vec![RawFrame::text(hello), RawFrame::text("{}")], "not a command"),
        ] {
            let mut client = RawClient::open(addr, "/socket").await;
            client.send_together(&frames).await;
            if frames.len() > 1 {
                client.recv_frame().await;
            }
            assert_eq!(client.expect_close(1008).await, reason);
        }
        let mut client = RawClient::open(addr, "/socket").await;
        let mut frames = vec![RawFrame::text(hello)];
        frames.resize(2_000, RawFrame::text(r#"{"type":"ping"}"#));
        client.send_together(&frames).await;
        let mut frame = client.recv_frame().await;
        while frame.close_code().is_none() {
            frame = client.recv_frame().await;
        }
        assert_eq!(frame.close_code(), Some((1008, "too many commands")));
    });
}
