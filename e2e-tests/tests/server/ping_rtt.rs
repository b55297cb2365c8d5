//! `ping_rtt` on a server, in its function and with the senders of both APIs.

use std::{pin::pin, time::Duration};

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{ServerRunner, close_normally};
use tokio::{sync::mpsc::unbounded_channel, time::sleep};
use ws_server::{Error, Server};

use crate::senders::{is_pending, sender_test};

const DELAY: Duration = Duration::from_millis(20);

/// Receives a ping of the server.
async fn recv_ping(client: &mut RawClient) -> Vec<u8> {
    let frame = client.recv_frame().await;
    assert_eq!(frame, RawFrame::ping(frame.payload.clone()));
    frame.payload.to_vec()
}

#[test]
fn a_sender_measures_at_least_the_time_that_the_peer_takes() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        for _ in 0..2 {
            let answer = async {
                let ping = recv_ping(&mut client).await;
                client.send_together(&[RawFrame::pong(""), RawFrame::pong("another")]).await;
                sleep(DELAY).await;
                client.send(RawFrame::pong(ping)).await;
            };
            let (rtt, ()) = tokio::join!(sender.ping_rtt(), answer);
            assert!(rtt.unwrap() >= DELAY, "{rtt:?}");
        }
        close_normally(client).await;
    });
}

#[test]
fn the_pong_of_the_last_ping_answers_those_before_it() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let answer = async {
            let pings =
                [recv_ping(&mut client).await, recv_ping(&mut client).await, recv_ping(&mut client).await];
            assert!(pings[0] != pings[1] && pings[1] != pings[2]);
            client.send(RawFrame::pong(pings[2].clone())).await;
        };
        let (one, two, three, ()) =
            tokio::join!(sender.ping_rtt(), sender.ping_rtt(), sender.ping_rtt(), answer);
        assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{one:?} {two:?} {three:?}");
        close_normally(client).await;
    });
}

#[test]
fn a_ping_without_an_answer_ends_with_the_connection() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let close = async {
            recv_ping(&mut client).await;
            close_normally(client).await;
        };
        let (rtt, ()) = tokio::join!(sender.ping_rtt(), close);
        assert_eq!(rtt, Err(Error::Closed));
        server.runner.wait_for_connections(0).await;
        assert_eq!(sender.ping_rtt().await, Err(Error::Closed));
    });
}

#[test]
fn a_dropped_ping_leaves_the_next_one_alone() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        assert!(is_pending(pin!(sender.ping_rtt())).await);
        let dropped = recv_ping(&mut client).await;
        client.send(RawFrame::pong(dropped.clone())).await;
        let answer = async {
            let ping = recv_ping(&mut client).await;
            client.send(RawFrame::pong(dropped)).await;
            sleep(DELAY).await;
            client.send(RawFrame::pong(ping)).await;
        };
        let (rtt, ()) = tokio::join!(sender.ping_rtt(), answer);
        assert!(rtt.unwrap() >= DELAY, "{rtt:?}");
        close_normally(client).await;
    });
}

#[test]
fn a_function_measures_and_receives_afterwards_what_came_in_between() {
    harness::run(async {
        let (report, mut reports) = unbounded_channel();
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            let report = report.clone();
            async move {
                report.send(ws.ping_rtt().await).expect("the test waits for it");
                while let Some(message) = ws.recv().await {
                    let _ = ws.send(message).await;
                }
            }
        })
        .await;
        let mut client = server.open().await;
        let ping = recv_ping(&mut client).await;
        client.send(RawFrame::text("meanwhile")).await;
        sleep(DELAY).await;
        client.send(RawFrame::pong(ping)).await;
        let rtt = reports.recv().await.unwrap();
        assert!(rtt.unwrap() >= DELAY, "{rtt:?}");
        client.expect_text("meanwhile").await;
        close_normally(client).await;
        server.stop().await;
    });
}
