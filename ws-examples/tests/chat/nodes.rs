//! Two processes with the same rooms.

use e2e_tests::harness;
use serde_json::json;

use crate::{
    balancer::Balancer, broker::Broker, browser::scenario, page::start, person::Person, script::run,
};

/// A visitor of one process talks to one of another, with history, presence and typing.
async fn two_processes_have_the_same_rooms(broker: Broker) {
    let (_first, first) = start(&broker.options());
    let (_second, second) = start(&broker.options());
    let mut ada = Person::enter(first, "Ada", "lobby").await;
    ada.say("lobby", "one").await;
    let (at, _) = ada.said().await;
    ada.say("lobby", "two").await;
    assert_eq!(ada.said().await.1, "two");
    let mut ben = Person::hello(second, "Ben").await;
    let (texts, entered) = ben.enter_from("lobby", None).await;
    // The second message may still be on its way to the other process.
    let mut texts = texts;
    while texts.len() < 2 {
        texts.push(ben.said().await.1);
    }
    assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("one two", &json!("fresh")));
    while ada.next("joined").await["name"] != "Ben" {}
    ben.say("lobby", "three").await;
    assert_eq!((ben.said().await.1.as_str(), ada.said().await.1.as_str()), ("three", "three"));
    ben.send(&json!({ "type": "typing", "room": "lobby", "on": true })).await;
    assert_eq!(ada.next("typing").await["name"], "Ben");
    // Ada comes back to the other process.
    let mut again = Person::hello(second, "Ada").await;
    let (texts, entered) = again.enter_from("lobby", Some(&at)).await;
    assert_eq!((texts.join(" ").as_str(), &entered["recovered"]), ("two three", &json!("all")));
    let id = ben.id.clone();
    drop(ben);
    while ada.next("left").await["id"] != id.as_str() {}
}

#[test]
fn two_processes_have_the_same_rooms_through_redis() {
    harness::run(async {
        let Some(broker) = Broker::redis().await else { return };
        two_processes_have_the_same_rooms(broker).await;
    });
}

#[test]
fn two_processes_have_the_same_rooms_through_nats() {
    harness::run(async {
        let Some(broker) = Broker::nats().await else { return };
        two_processes_have_the_same_rooms(broker).await;
    });
}

/// A page whose process is killed continues at another one, without a message lost or shown twice.
async fn a_page_continues_at_another_process(broker: Broker) {
    let (first, first_addr) = start(&broker.options());
    let (_second, second_addr) = start(&broker.options());
    let balancer = Balancer::start(&[first_addr, second_addr]).await;
    let urls = [format!("http://{}/", balancer.addr), format!("http://{second_addr}/")];
    let Some(mut browser) = scenario("failover", &[&urls[0], &urls[1]]) else { return };
    browser.expect_line("kill").await;
    // It has no chance to say goodbye.
    drop(first);
    browser.expect_ok().await;
}

#[test]
fn a_page_whose_process_is_killed_continues_at_another_through_redis() {
    run(async {
        let Some(broker) = Broker::redis().await else { return };
        a_page_continues_at_another_process(broker).await;
    });
}

#[test]
fn a_page_whose_process_is_killed_continues_at_another_through_nats() {
    run(async {
        let Some(broker) = Broker::nats().await else { return };
        a_page_continues_at_another_process(broker).await;
    });
}
