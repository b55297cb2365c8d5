//! Many tasks that wait for room on one connection, with both APIs.

use crate::senders::{fill, numbered, sender_test};
use e2e_tests::raw_peer::DEADLINE;
use e2e_tests::server::close_normally;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::task::JoinHandle;
use ws_server::{CloseCode, Message, Sender, Server, error::SendError};

const KIB: usize = 1024;
const COUNT: u32 = 2000;

type Sent = Result<(), SendError<Message>>;

/// The tasks' messages. One in ten is large.
fn message(number: u32) -> Vec<u8> {
    let mut message = vec![0; if number.is_multiple_of(10) { 3000 } else { 40 }];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
}

/// Tasks that send and wait, in order. The polls of all tasks are counted.
async fn crowd(sender: &Sender, polls: &Arc<AtomicUsize>) -> Vec<JoinHandle<Sent>> {
    let mut tasks = Vec::new();
    for number in 0..COUNT {
        let (sender, polls) = (sender.clone(), Arc::clone(polls));
        tasks.push(tokio::spawn(async move {
            let mut send = pin!(sender.send(message(number)));
            poll_fn(|cx| {
                polls.fetch_add(1, SeqCst);
                send.as_mut().poll(cx)
            })
            .await
        }));
    }
    while polls.load(SeqCst) < COUNT as usize {
        tokio::task::yield_now().await;
    }
    tasks
}

#[test]
fn senders_that_wait_cost_a_constant_number_of_polls_each_and_are_served_in_order() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(128 * KIB),
        async |server| {
            let (mut client, sender) = server.open_slow().await;
            let (accepted, first) = fill(server, &sender).await;
            drop(first);
            let polls = Arc::<AtomicUsize>::default();
            let tasks = crowd(&sender, &polls).await;
            let waiting = tokio::spawn(async move {
                let mut results = Vec::new();
                for task in tasks {
                    results.push(task.await.unwrap());
                }
                results
            });
            for number in 0..accepted {
                client.expect_binary(&numbered(number)).await;
            }
            for number in 0..COUNT {
                client.expect_binary(&message(number)).await;
            }
            assert!(waiting.await.unwrap().iter().all(Result::is_ok));
            let polls = polls.load(SeqCst);
            assert!(polls <= 3 * COUNT as usize, "{polls} polls of {COUNT} senders");
            close_normally(client).await;
        },
    );
}

#[test]
fn senders_that_give_up_do_not_block_other_senders() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(128 * KIB),
        async |server| {
            let (mut client, sender) = server.open_slow().await;
            let (accepted, first) = fill(server, &sender).await;
            drop(first);
            let tasks = crowd(&sender, &Arc::default()).await;
            let mut impatient = tasks.iter().enumerate().filter(|(number, _)| number % 3 != 0);
            for number in 0..accepted {
                client.expect_binary(&numbered(number)).await;
                // Some tasks give up while others are being served.
                impatient.by_ref().take(50).for_each(|(_, task)| task.abort());
            }
            impatient.for_each(|(_, task)| task.abort());
            let mut sent = BTreeSet::new();
            let mut read_one = async |sent: &mut BTreeSet<u32>| {
                let payload = client.recv_frame().await.payload;
                let number = u32::from_be_bytes(*payload.first_chunk().unwrap());
                assert!(payload == message(number) && sent.insert(number), "once and whole");
            };
            let patient = |sent: &BTreeSet<u32>| sent.iter().filter(|number| *number % 3 == 0).count();
            while patient(&sent) < COUNT.div_ceil(3) as usize {
                read_one(&mut sent).await;
            }
            let mut accepted = BTreeSet::new();
            for (number, task) in (0..).zip(tasks) {
                match task.await {
                    Ok(result) => assert!(result.is_ok() && accepted.insert(number)),
                    Err(error) => assert!(error.is_cancelled() && number % 3 != 0, "{number}"),
                }
            }
            // A task that was aborted after its turn may also have sent.
            while !accepted.is_subset(&sent) {
                read_one(&mut sent).await;
            }
            sender.close(CloseCode::NORMAL, "");
            while client.recv_frame().await.close_code().is_none() {}
            drop(client);
        },
    );
}

#[test]
fn all_senders_that_wait_hear_of_the_end() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(128 * KIB),
        async |server| {
            let (client, sender) = server.open_slow().await;
            let (_, first) = fill(server, &sender).await;
            let polls = Arc::<AtomicUsize>::default();
            let tasks = crowd(&sender, &polls).await;
            drop(first);
            client.into_connection().reset();
            for task in tasks {
                let result = tokio::time::timeout(DEADLINE, task).await.expect("none is forgotten").unwrap();
                assert!(matches!(result, Err(SendError::Closed(_)) | Ok(())));
            }
            let polls = polls.load(SeqCst);
            assert!(polls <= 3 * COUNT as usize, "{polls} polls of {COUNT} senders");
        },
    );
}
