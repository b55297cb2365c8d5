use std::time::Duration;

use ws_cluster::{Backplane, Health, redis::RedisBackplane};

use crate::{
    nodes::{Node, live, quick, text},
    server::{Server, free_port},
};

#[tokio::test]
async fn a_server_with_tls_is_verified() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls_port = free_port();
    let Some(mut server) = Server::prepare(free_port(), &[]) else { return };
    let certificate = server.write("certificate.pem", &certified.cert.pem());
    let key = server.write("key.pem", &certified.signing_key.serialize_pem());
    server.add_options(&["--tls-port", &tls_port.to_string(), "--tls-auth-clients", "no"]);
    server.add_options(&[
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
    ]);
    server.run().await;

    let url = format!("rediss://localhost:{tls_port}");
    let trusting = RedisBackplane::builder([url.clone()]).root_certificate(certified.cert.der().to_vec());
    let mut node = Node::new(quick(trusting));
    node.watch_live(&["room"]).await.unwrap();
    // Larger than a record of TLS, and than the socket's buffer.
    let large = "x".repeat(1_000_000);
    node.backplane.publish_live("room", text(&large)).await.unwrap();
    node.backplane.publish_live("room", text("small")).await.unwrap();
    let event = node.event().await;
    assert!(matches!(event, ws_cluster::BackplaneEvent::Live { envelope, .. } if envelope == large));
    assert_eq!(node.event().await, live("room", "small"));
    node.wait_for_health(Health::Healthy).await;

    // Each call waits for a connection until its deadline.
    let distrusting =
        Node::new(quick(RedisBackplane::builder([url.clone()])).deadline(Duration::from_secs(1)));
    distrusting.backplane.publish_live("room", text(1)).await.unwrap_err();
    distrusting.watch_live(&["room"]).await.unwrap_err();
}
