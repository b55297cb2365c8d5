use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use ws_cluster::{
    Backplane, BackplaneError, BackplaneEvent, GapCause, Health, LogOptions, Position, Topics,
    redis::{RedisBackplane, RedisConfigError},
};

use crate::{
    nodes::{Node, live, quick, text, until_it_succeeds},
    server::{LIMIT, Server, free_port},
};

#[tokio::test]
async fn a_live_publication_reaches_each_node_that_watches() {
    let Some(server) = Server::start(&[]).await else { return };
    let (mut a, mut b) = (Node::single(&server.url()), Node::single(&server.url()));
    a.watch_live(&["room", "other"]).await.unwrap();
    b.watch_live(&["room"]).await.unwrap();
    a.backplane.publish_live("other", text("for a")).await.unwrap();
    b.backplane.publish_live("room", text("one\r\n\0")).await.unwrap();
    assert_eq!(a.event().await, live("other", "for a"));
    assert_eq!(a.event().await, live("room", "one\r\n\0"));
    assert_eq!(b.event().await, live("room", "one\r\n\0"));

    a.unwatch("room").await.unwrap();
    a.watch_live(&["room"]).await.unwrap();
    a.unwatch("other").await.unwrap();
    b.backplane.publish_live("other", text("unwatched")).await.unwrap();
    b.backplane.publish_live("room", text("two")).await.unwrap();
    assert_eq!(a.event().await, live("room", "two"));
    a.wait_for_health(Health::Healthy).await;
}

#[tokio::test]
async fn topics_may_have_any_name() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    for topic in ["", "{", "}", "{}", "a b", "ünï", "a\r\nb", "*", &"x".repeat(255)] {
        node.watch_live(&[topic]).await.unwrap();
        node.backplane.publish_live(topic, text("live")).await.unwrap();
        assert_eq!(node.event().await, live(topic, "live"));
        node.backplane.publish_logged(topic, text("logged"), &LogOptions::default()).await.unwrap();
        assert!(matches!(node.event().await, BackplaneEvent::Logged { topic: own, .. } if *own == *topic));
        assert_eq!(node.backplane.history(topic, None, 10).await.unwrap().entries.len(), 1);
    }
}

#[tokio::test]
async fn offsets_follow_each_other_and_the_log_can_be_read() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    let options = LogOptions::new(1_000, LIMIT);
    let empty = node.backplane.history("log", None, 10).await.unwrap();
    assert_eq!((empty.newest.offset, empty.complete, empty.more), (0, true, false));
    let epoch = empty.newest.epoch;
    let at = |offset| Position { epoch, offset };

    node.watch_logged(&["log"]).await.unwrap();
    for offset in 1..=5 {
        let position = node.backplane.publish_logged("log", text(offset), &options).await.unwrap();
        assert_eq!(position, at(offset));
        let (topic, previous) = (Arc::from("log"), Some(offset - 1));
        let expected = BackplaneEvent::Logged { topic, position, previous, envelope: text(offset) };
        assert_eq!(node.event().await, expected);
    }
    let history = node.backplane.history("log", Some(at(2)), 2).await.unwrap();
    assert_eq!(history.entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [at(3), at(4)]);
    assert_eq!(history.entries[0].envelope, text(3));
    assert_eq!((history.newest, history.complete, history.more), (at(5), true, true));
    let rest = node.backplane.history("log", Some(at(4)), 2).await.unwrap();
    assert_eq!((rest.entries.len(), rest.complete, rest.more), (1, true, false));
    let other = Position { epoch: epoch.wrapping_add(1), offset: 4 };
    let other = node.backplane.history("log", Some(other), 10).await.unwrap();
    assert_eq!((other.entries.len(), other.complete), (5, false));
}

#[tokio::test]
async fn a_trimmed_or_expired_log_is_not_complete() {
    let Some(server) = Server::start(&["--stream-node-max-entries", "10"]).await else { return };
    let node = Node::single(&server.url());
    let options = LogOptions::new(20, LIMIT);
    let first = node.backplane.publish_logged("log", text(1), &options).await.unwrap();
    for number in 2..=100 {
        node.backplane.publish_logged("log", text(number), &options).await.unwrap();
    }
    let history = node.backplane.history("log", Some(first), 1_000).await.unwrap();
    assert!(!history.complete);
    assert!((20..=30).contains(&history.entries.len()), "{}", history.entries.len());
    assert_eq!(history.entries.last().unwrap().position.offset, 100);

    // The entries expire, the epoch stays.
    let options = LogOptions::new(20, Duration::from_millis(50));
    let last = node.backplane.publish_logged("log", text(101), &options).await.unwrap();
    let expires = async {
        while !node.backplane.history("log", None, 1).await.unwrap().entries.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, expires).await.expect("in time");
    let expired = node.backplane.history("log", Some(first), 10).await.unwrap();
    assert_eq!((expired.newest, expired.complete), (last, false));
    assert!(node.backplane.history("log", Some(last), 10).await.unwrap().complete);
    let next = node.backplane.publish_logged("log", text(102), &options).await.unwrap();
    assert_eq!(next, Position { offset: 102, ..first });
}

#[tokio::test]
async fn presence_is_kept_by_node_until_it_expires() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = Node::single(&server.url());
    let backplane = &node.backplane;
    backplane.set_presence("room", 1, text("one"), LIMIT).await.unwrap();
    backplane.set_presence("room", u64::MAX, text("a\0b"), LIMIT).await.unwrap();
    backplane.set_presence("room", 3, text("short"), Duration::from_millis(100)).await.unwrap();
    backplane.set_presence("elsewhere", 4, text("four"), LIMIT).await.unwrap();
    backplane.set_presence("room", 1, text("uno"), LIMIT).await.unwrap();
    let mut present = backplane.presence("room").await.unwrap();
    let expires = async {
        while present.iter().any(|(node, _)| *node == 3) {
            sleep(Duration::from_millis(5)).await;
            present = backplane.presence("room").await.unwrap();
        }
    };
    timeout(LIMIT, expires).await.expect("in time");
    present.sort_unstable();
    assert_eq!(present, [(1, text("uno")), (u64::MAX, text("a\0b"))]);
    backplane.set_presence("room", 1, text(""), LIMIT).await.unwrap();
    assert_eq!(backplane.presence("room").await.unwrap(), [(u64::MAX, text("a\0b"))]);
    // What has expired is removed by the next change.
    let fields: usize = server.command(&["HLEN", "ws:presence:{t:room}"]).await;
    assert_eq!(fields, 1);
    let ttl: i64 = server.command(&["PTTL", "ws:presence:{t:room}"]).await;
    assert!(ttl > 0);
}

#[tokio::test]
async fn scripts_are_sent_again_when_the_server_forgot_them() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = Node::single(&server.url());
    for offset in 1..=3 {
        let position = node.backplane.publish_logged("log", text(1), &LogOptions::default()).await.unwrap();
        assert_eq!(position.offset, offset);
        let () = server.command(&["SCRIPT", "FLUSH"]).await;
    }
}

#[tokio::test]
async fn without_a_server_calls_fail_and_what_is_watched_is_kept() {
    let Some(mut server) = Server::prepare(free_port(), &[]) else { return };
    let mut node =
        Node::new(quick(RedisBackplane::builder([server.url()])).deadline(Duration::from_millis(300)));
    let refused = node.watch_live(&["room"]).await;
    assert!(matches!(refused, Err(BackplaneError::Disconnected { .. })), "{refused:?}");
    let refused = node.backplane.publish_live("room", text(1)).await;
    assert!(matches!(refused, Err(BackplaneError::Disconnected { .. })), "{refused:?}");
    assert_eq!(node.backplane.health(), Health::Disconnected);
    server.run().await;
    assert_eq!(node.any_event().await, BackplaneEvent::Up);
    assert_eq!(node.backplane.health(), Health::Healthy);
    until_it_succeeds(|| node.backplane.publish_live("room", text("kept"))).await;
    assert_eq!(node.any_event().await, live("room", "kept"));
}

#[tokio::test]
async fn a_full_window_refuses_and_a_deadline_ends_the_wait() {
    let Some(server) = Server::start(&[]).await else { return };
    let builder = quick(RedisBackplane::builder([server.url()])).max_in_flight_bytes(1_000);
    let node = Node::new(builder.deadline(Duration::from_secs(2)));
    until_it_succeeds(|| node.backplane.publish_live("room", text(1))).await;
    server.suspend();
    let mut waiting = node.backplane.publish_live("room", vec![0; 900].into());
    tokio::select! {
        biased;
        published = &mut waiting => panic!("the server is stopped: {published:?}"),
        () = std::future::ready(()) => {}
    }
    let full = node.backplane.publish_live("room", vec![0; 200].into()).await;
    assert!(matches!(full, Err(BackplaneError::Full { in_flight: 904, limit: 1_000 })), "{full:?}");
    let timed_out = waiting.await;
    assert!(matches!(timed_out, Err(BackplaneError::TimedOut { .. })), "{timed_out:?}");
    server.resume();
    // Its room is free.
    let options = LogOptions::default();
    until_it_succeeds(|| node.backplane.publish_logged("room", vec![0; 900].into(), &options)).await;
}

#[tokio::test]
async fn a_node_that_does_not_read_its_events_gets_a_gap_and_stays_connected() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::new(quick(RedisBackplane::builder([server.url()])).max_event_bytes(10_000));
    node.watch_live(&["room"]).await.unwrap();
    node.wait_for(|event| *event == BackplaneEvent::Up).await;
    for _ in 0..200 {
        node.backplane.publish_live("room", vec![b'x'; 100].into()).await.unwrap();
    }
    // The confirmation comes behind all of them.
    node.watch_live(&["barrier"]).await.unwrap();
    let mut kept = 0;
    let gap = loop {
        match node.any_event().await {
            BackplaneEvent::Live { .. } => kept += 1,
            event => break event,
        }
    };
    let topics = Topics::Some(vec!["room".into()]);
    assert_eq!(gap, BackplaneEvent::Gap { topics, cause: GapCause::Overflow });
    assert!((1..100).contains(&kept), "{kept}");
    node.backplane.publish_live("room", text("next")).await.unwrap();
    assert_eq!(node.any_event().await, live("room", "next"));
    assert_eq!(node.backplane.health(), Health::Healthy);
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let Some(server) = Server::start(&["--requirepass", "s3cret"]).await else { return };
    let url = format!("redis://:s3cret@127.0.0.1:{}", server.port);
    let mut node = Node::single(&url);
    node.watch_live(&["room"]).await.unwrap();
    node.backplane.publish_live("room", text("in")).await.unwrap();
    assert_eq!(node.event().await, live("room", "in"));
    assert!(!format!("{:?}", node.backplane).contains("s3cret"));
    assert!(!format!("{:?}", RedisBackplane::builder([url])).contains("s3cret"));

    let wrong = Node::new(
        RedisBackplane::builder([format!("redis://:wr0ng@127.0.0.1:{}", server.port)]).deadline(LIMIT / 60),
    );
    let error = wrong.backplane.publish_live("room", text(1)).await.unwrap_err();
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
    wrong.watch_live(&["room"]).await.unwrap_err();
}

#[tokio::test]
async fn after_shut_down_calls_fail_and_the_events_end() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    node.watch_live(&["room"]).await.unwrap();
    node.backplane.shut_down().await;
    node.backplane.shut_down().await;
    assert!(matches!(node.watch_live(&["room"]).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.backplane.publish_live("room", text(1)).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.backplane.history("room", None, 1).await, Err(BackplaneError::Closed)));
    while node.events.recv().await.is_some() {}
    assert_eq!(node.backplane.health(), Health::Disconnected);
}

#[tokio::test]
async fn dropping_the_backplane_ends_its_connections() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut node = Node::single(&server.url());
    node.watch_live(&["room"]).await.unwrap();
    drop(node.backplane);
    while node.events.recv().await.is_some() {}
    let ended = async {
        loop {
            let clients: String = server.command(&["CLIENT", "LIST"]).await;
            if clients.lines().count() == 1 {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, ended).await.expect("in time");
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let build = |urls: &[&str]| RedisBackplane::builder(urls.iter().copied());
    let error = |builder: ws_cluster::redis::RedisBackplaneBuilder| builder.start().unwrap_err();
    assert!(matches!(error(build(&[])), RedisConfigError::NoUrl));
    assert!(matches!(error(build(&["redis://a", "redis://b"])), RedisConfigError::SeveralUrls { count: 2 }));
    let url = error(build(&["redis://a", "nonsense://:pass@b"]).cluster());
    assert_eq!(url.to_string(), "URL number 2 cannot be used: it is not a Redis URL");
    assert!(matches!(error(build(&["unix:///a"]).cluster()), RedisConfigError::Url { number: 1, .. }));
    let braces = error(build(&["redis://a"]).prefix("a{b"));
    assert!(matches!(braces, RedisConfigError::Option { option: "prefix", .. }), "{braces}");
    let zero = error(build(&["redis://a"]).probe_interval(Duration::ZERO));
    assert!(matches!(zero, RedisConfigError::Option { option: "probe_interval", .. }), "{zero}");
}
