//! Memberships end with their connections.

use super::topics::topics_test;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{GRACE, close_normally};
use ws_server::{
    Server,
    topics::{JoinError, SubscribeError, TopicEvent},
};

#[test]
fn a_membership_ends_with_its_connection_however_that_ends() {
    topics_test(Server::builder, async |server| {
        let mut events = server.topics.events();
        for end in 0..3 {
            let (client, sender) = server.join("room").await;
            let member = server.topics.join(&sender).unwrap();
            assert_eq!(server.topics.member_count("room"), 1);
            match end {
                0 => close_normally(client).await,
                1 => client.into_connection().reset(),
                _ => {
                    sender.abort();
                    client.into_connection().expect_end().await;
                }
            }
            while !matches!(events.recv().await, Some(TopicEvent::Emptied { .. })) {}
            // The shard frees the topic behind the event.
            while server.topics.topic_count() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(member.subscribe("room").unwrap_err(), SubscribeError::Closed);
            assert_eq!(server.topics.join(&sender).unwrap_err(), JoinError::Closed);
        }
    });
}

#[test]
fn a_close_goes_behind_what_was_published_before_it() {
    topics_test(Server::builder, async |server| {
        let (mut client, _) = server.join("room").await;
        client.send(RawFrame::text("close room")).await;
        client.expect_text("before").await;
        client.expect_close(1000).await;
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
    });
}

#[test]
fn a_shutdown_ends_members_and_what_was_published_before_goes_out() {
    topics_test(Server::builder, async |server| {
        let (mut client, _) = server.join("room").await;
        let handle = server.runner.handle().clone();
        server.topics.publish("room", "before").unwrap();
        handle.start(GRACE);
        client.expect_text("before").await;
        client.expect_close(1001).await;
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
    });
}
