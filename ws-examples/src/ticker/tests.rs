//! A client that does not read, beside others that do.

use std::{sync::Arc, time::Duration};

use e2e_tests::harness;

use crate::{
    bind,
    board::Board,
    client::Watcher,
    load::{catch_up, fill},
    run,
};

const SYMBOLS: usize = 1_000;

const ROUNDS: u64 = 20;

#[test]
fn a_client_that_does_not_read_gets_the_latest_of_each_symbol_and_delays_no_other() {
    harness::run(async {
        let board = Board::of(SYMBOLS).unwrap();
        let server = bind("127.0.0.1:0", &board).await.unwrap();
        let addr = server.local_addr().unwrap();
        let handle = server.shutdown_handle();
        let serving = tokio::spawn(run(server, Arc::clone(&board), 2));

        let mut slow = Watcher::connect_slow(addr, &board).await.unwrap();
        let mut fast = vec![Watcher::connect(addr, &board).await.unwrap()];
        fill(&board, &mut fast[0]).await.unwrap();
        for _ in 0..7 {
            fast.push(Watcher::connect(addr, &board).await.unwrap());
        }
        let before: Vec<u64> = fast.iter().map(|watcher| watcher.received).collect();
        // Each round ends when all the fast ones have each of its prices, although the slow one reads none.
        for _ in 0..ROUNDS {
            board.publish_round().await;
            for watcher in &mut fast {
                catch_up(watcher).await.unwrap();
            }
            let (messages, bytes) = board.slowest();
            assert_eq!(messages, SYMBOLS);
            assert!(bytes <= board.most_waiting(), "{bytes} bytes wait");
        }
        for (watcher, before) in fast.iter().zip(before) {
            assert_eq!(watcher.received - before, ROUNDS * SYMBOLS as u64);
        }
        catch_up(&mut slow).await.unwrap();
        assert!(slow.received <= board.published() - ROUNDS * SYMBOLS as u64 + 2 * SYMBOLS as u64);

        drop((slow, fast));
        handle.shutdown(Duration::from_secs(5)).await;
        serving.await.unwrap().unwrap();
    });
}
