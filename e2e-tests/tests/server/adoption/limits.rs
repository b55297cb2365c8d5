//! The server's limits count adopted connections and reservations.

use super::{Front, expect_echo, status};
use e2e_tests::raw_peer::RawClient;
use e2e_tests::server::{close_normally, echo_test_with};

async fn refused(mut client: RawClient) -> u16 {
    let request = client.request("/").to_bytes();
    client.upgrade_with(request).await.status()
}

#[test]
fn a_full_server_reserves_no_place_and_a_place_that_becomes_free_is_used_again() {
    echo_test_with(
        |builder| builder.max_connections(1),
        async |server| {
            let front = Front::bind().await;
            for _ in 0..3 {
                let mut client = front.open(server.adopter()).await;
                assert_eq!(status(front.arrive().await.1.adopt(server.adopter()).await), 503);
                assert_eq!(refused(server.connect().await).await, 503);
                expect_echo(&mut client, "still works").await;
                close_normally(client).await;
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn a_reservation_counts_as_a_connection_and_as_a_handshake() {
    echo_test_with(
        |builder| builder.max_connections(2).max_handshakes(1),
        async |server| {
            let (front, handle) = (Front::bind().await, server.handle());
            let (_client, arrived) = front.arrive().await;
            let (reservation, stream, received) = arrived.reserve(server.adopter()).await.unwrap();
            assert_eq!((handle.connections(), handle.handshakes()), (1, 1));
            assert_eq!(status(front.arrive().await.1.adopt(server.adopter()).await), 503);
            assert_eq!(refused(server.connect().await).await, 503);
            reservation.adopt(stream, received).unwrap();
            server.wait_for_handshakes(0).await;
            assert_eq!(handle.connections(), 1);
            close_normally(front.open(server.adopter()).await).await;
        },
    );
}

#[test]
fn an_address_has_its_share_of_adopted_and_accepted_connections_together() {
    echo_test_with(
        |builder| builder.max_connections_per_address(1),
        async |server| {
            let front = Front::bind().await;
            let client = front.open(server.adopter()).await;
            assert_eq!(status(front.arrive().await.1.adopt(server.adopter()).await), 429);
            assert_eq!(refused(server.connect().await).await, 429);
            // Without an address, a connection counts against the limits of the whole server only.
            let (_other, arrived) = front.arrive().await;
            drop(server.adopter().reserve(arrived.request).await.unwrap());
            close_normally(client).await;
            server.wait_for_connections(0).await;
            close_normally(front.open(server.adopter()).await).await;
        },
    );
}
