use std::time::Duration;

use bytes::Bytes;
use ws_cluster::{Backplane as _, BackplaneError, BackplaneEvent};

use crate::{
    node::{LOG, Node, builder, bytes, eventually},
    server::NatsServer,
};

#[tokio::test]
async fn publications_in_flight_are_bounded_in_bytes() {
    let Some(mut server) = NatsServer::start() else { return };
    let limit = 10_000;
    let mut node =
        Node::start_with(builder(&server).max_in_flight_bytes(limit).deadline(Duration::from_secs(60))).await;
    let envelope = Bytes::from(vec![0; 4_000]);
    server.pause();
    {
        let (first, second) =
            (node.publish_live("a", envelope.clone()), node.publish_logged("a", envelope.clone(), &LOG));
        tokio::pin!(first, second);
        let brief = Duration::from_millis(100);
        assert!(tokio::time::timeout(brief, &mut first).await.is_err());
        assert!(tokio::time::timeout(brief, &mut second).await.is_err());
        for result in [
            node.publish_live("a", envelope.clone()).await,
            node.publish_logged("a", envelope.clone(), &LOG).await.map(drop),
        ] {
            let is_full = matches!(
                result,
                Err(BackplaneError::Full { in_flight, limit: 10_000 }) if in_flight >= 8_000 && in_flight <= limit
            );
            assert!(is_full, "{result:?}");
        }
        // A small one still fits.
        assert!(tokio::time::timeout(brief, node.publish_live("a", bytes("1"))).await.is_err());
    }
    // The client may still hold publications whose callers do not wait any more.
    let result = node.publish_live("a", envelope.clone()).await;
    assert!(matches!(result, Err(BackplaneError::Full { .. })), "{result:?}");
    // The room comes back once the server has taken it.
    server.resume();
    eventually(async || node.publish_live("a", envelope.clone()).await.is_ok()).await;
    node.publish_logged("a", envelope.clone(), &LOG).await.unwrap();
    // And with the connection.
    server.pause();
    let brief = Duration::from_millis(100);
    for _ in 0..2 {
        assert!(tokio::time::timeout(brief, node.publish_live("a", envelope.clone())).await.is_err());
    }
    server.restart();
    node.until(|event| *event == BackplaneEvent::Down).await;
    node.until(|event| *event == BackplaneEvent::Up).await;
    node.publish_live("a", envelope.clone()).await.unwrap();
    node.publish_logged("a", envelope, &LOG).await.unwrap();
}

#[tokio::test]
async fn publications_that_are_sent_again_count_once() {
    let Some(server) = NatsServer::start() else { return };
    let node =
        Node::start_with(builder(&server).max_in_flight_bytes(5_000).deadline(Duration::from_millis(300)))
            .await;
    let envelope = Bytes::from(vec![0; 4_000]);
    server.pause();
    let result = node.publish_logged("a", envelope.clone(), &LOG).await;
    assert!(matches!(result, Err(BackplaneError::TimedOut { .. })), "{result:?}");
    server.resume();
    eventually(async || node.publish_live("a", envelope.clone()).await.is_ok()).await;
}

#[tokio::test]
async fn many_publications_at_once_keep_their_order() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    node.watch_live(&["a"]).await;
    let texts: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    for chunk in texts.chunks(100) {
        let mut waiting = Vec::new();
        for text in chunk {
            let mut publication = node.publish_live("a", bytes(text));
            // Polled once: it is sent.
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(publication.as_mut().poll(cx))).await;
            if once.is_pending() {
                waiting.push(publication);
            }
        }
        for publication in waiting {
            publication.await.unwrap();
        }
    }
    let heard = node.events_until_now().await;
    let expected: Vec<_> = texts.iter().map(|text| crate::node::live_event("a", text)).collect();
    assert_eq!(heard, expected);
}
