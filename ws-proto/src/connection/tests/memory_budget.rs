//! Connections that share a memory budget.

use bytes::Bytes;

use crate::{
    Message, MessageKind, Notify, PreparedMessage, ReceiveBuffer, Role, ValidConfig,
    error::{ConnectionError, SendError},
    memory::{BufferPool, BufferPoolConfig, MemoryBudget},
};

use super::{
    endpoint::{Endpoint, config},
    wire::{binary, continuation, text},
};

const KIB: usize = 1024;
const MESSAGE: usize = 256 * KIB;
const BUDGET: usize = 8 * MESSAGE;

fn sharing(budget: &MemoryBudget) -> ValidConfig {
    let config = config(|config| config.limits.max_message_size = MESSAGE);
    config.with_memory_budget(budget.clone()).expect("large enough")
}

/// The pool retains nothing, so that each buffer has the requested size.
fn server(config: &ValidConfig) -> Endpoint {
    let pool =
        BufferPool::new(BufferPoolConfig { preheat: 0, max_retained: 0, ..BufferPoolConfig::default() });
    Endpoint::with_buffer(Role::Server, config, ReceiveBuffer::new(4096, pool))
}

fn error(end: &Endpoint) -> Option<ConnectionError> {
    end.connection.close_info().and_then(|info| info.error)
}

#[test]
fn a_growing_message_is_charged_until_it_is_delivered() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = server(&sharing(&budget));
    end.receives([binary(vec![1; 100 * KIB]).not_final()]);
    let held = end.connection.memory_in_use(&end.tx);
    assert!((100 * KIB..=208 * KIB).contains(&held), "{held}");
    assert_eq!(budget.used(), held.next_multiple_of(KIB));
    end.receives([continuation("")]);
    end.delivers_binary(vec![1; 100 * KIB]);
    assert_eq!(budget.used(), 0);
}

#[test]
fn beyond_the_budget_a_message_is_answered_with_1013_and_its_memory_is_free_at_once() {
    let budget = MemoryBudget::new(BUDGET);
    let mut greedy: Vec<Endpoint> = (0..40).map(|_| server(&sharing(&budget))).collect();
    for end in &mut greedy {
        end.receives([binary(vec![1; 200 * KIB]).not_final()]);
    }
    assert!(budget.used() <= BUDGET);
    let (refused, held): (Vec<_>, Vec<_>) = greedy.into_iter().partition(|end| error(end).is_some());
    assert!(refused.len() >= 30 && held.len() >= 2, "{} {}", refused.len(), held.len());
    for mut end in refused {
        assert_eq!(error(&end), Some(ConnectionError::MemoryBudget));
        assert_eq!(end.connection.memory_in_use(&end.tx), 0);
        end.sent_close(1013);
    }
    // Small messages are still delivered.
    let mut small = server(&sharing(&budget));
    small.receives([text("small").not_final(), continuation(" and well")]);
    small.delivers_text("small and well");
    drop((held, small));
    assert_eq!(budget.used(), 0);
}

#[test]
fn memory_of_ended_connections_is_available_again() {
    let budget = MemoryBudget::new(BUDGET);
    let config = sharing(&budget);
    let large = || binary(vec![1; 200 * KIB]);
    let holders: Vec<Endpoint> = (0..20)
        .map(|_| {
            let mut end = server(&config);
            end.receives([large().not_final()]);
            end
        })
        .collect();
    let mut late = server(&config);
    late.receives([large()]);
    assert_eq!(error(&late), Some(ConnectionError::MemoryBudget));
    drop(holders);
    let mut again = server(&config);
    again.receives([large()]);
    again.delivers_binary(vec![1; 200 * KIB]);
}

#[test]
fn held_messages_are_charged() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = server(&sharing(&budget));
    end.pauses();
    end.receives([binary(vec![1; 20 * KIB]), binary(vec![2; 20 * KIB])]);
    assert!((40 * KIB..80 * KIB).contains(&budget.used()), "{}", budget.used());
    end.resumes();
    assert_eq!(budget.used(), 0);
}

#[test]
fn waiting_bytes_are_charged_until_they_are_written() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = server(&sharing(&budget));
    end.transport_blocks();
    end.sends_owned(vec![1; 100 * KIB]);
    end.sends_owned(vec![2; 100 * KIB]);
    assert!((200 * KIB..210 * KIB).contains(&budget.used()), "{}", budget.used());
    end.transport_takes(150 * KIB);
    assert!((50 * KIB..60 * KIB).contains(&budget.used()), "{}", budget.used());
    end.transport_flows();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_send_needs_the_budget_only_behind_waiting_data() {
    let budget = MemoryBudget::new(BUDGET);
    let config = sharing(&budget);
    let mut account = budget.account();
    account.set(2 * BUDGET);
    let mut end = server(&config);
    end.transport_blocks();
    let payload = Bytes::from(vec![1; 100 * KIB]);
    end.sends_owned(payload.clone());
    let refused = end.connection.send_bytes(MessageKind::Binary, payload.clone(), Notify::Yes, &mut end.tx);
    assert_eq!(refused, Err(SendError::Full(payload.clone())));
    drop(account);
    end.sends_owned(payload.clone());
    end.transport_flows();
    end.sent_binary(&payload);
    end.sent_binary(&payload);
    end.is_open();
}

#[test]
fn a_burst_is_charged_once_the_transport_is_blocked() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = server(&sharing(&budget));
    end.transport_blocks();
    for payload in [vec![1; 100 * KIB], vec![2; 10 * KIB], vec![3; 100 * KIB]] {
        end.connection.send(MessageKind::Binary, &payload, &mut end.tx).unwrap();
    }
    assert_eq!(budget.used(), 0, "the transport may take it at once");
    end.drive();
    end.connection.pump(&mut end.tx);
    assert!((210 * KIB..220 * KIB).contains(&budget.used()), "{}", budget.used());
    assert!(!end.connection.is_settled(), "messages still wait to be written");
    end.transport_flows();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_charged_connection_is_not_settled() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = server(&sharing(&budget));
    end.receives([binary(vec![1; 100 * KIB]).not_final()]);
    let last = continuation("").encode(true);
    end.rx.extend(&last);
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_some());
    assert!(
        budget.used() > 0 && !end.connection.is_settled(),
        "the charge for the delivered message is not released yet"
    );
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
    assert!(budget.used() == 0 && end.connection.is_settled());
}

#[test]
fn a_small_held_message_does_not_pin_a_large_buffer() {
    let budget = MemoryBudget::new(BUDGET);
    let mut end = Endpoint::with(Role::Server, &sharing(&budget));
    // A large message leaves its buffer in the pool.
    end.receives([binary(vec![1; 250 * KIB])]);
    end.delivers_binary(vec![1; 250 * KIB]);
    end.receives([text("")]);
    end.delivers_text("");
    end.pauses();
    end.receives([binary(vec![2; 50 * KIB]).not_final()]);
    end.receives([continuation("")]);
    assert!((50 * KIB..=110 * KIB).contains(&budget.used()), "{}", budget.used());
    end.resumes();
    end.delivers_binary(vec![2; 50 * KIB]);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_small_amount_may_always_wait() {
    let budget = MemoryBudget::new(BUDGET);
    let mut account = budget.account();
    account.set(2 * BUDGET);
    let mut end = server(&sharing(&budget));
    end.transport_blocks();
    for _ in 0..10 {
        end.sends_text("small");
    }
    end.transport_flows();
    for _ in 0..10 {
        end.sent_text("small");
    }
    end.is_open();
}

#[test]
fn a_shared_frame_is_not_charged() {
    let budget = MemoryBudget::new(BUDGET);
    let config = sharing(&budget);
    let mut others = budget.account();
    others.set(BUDGET);
    let message = PreparedMessage::new(Message::binary(vec![1; 200 * KIB]));
    let ends: Vec<Endpoint> = (0..50)
        .map(|_| {
            let mut end = server(&config);
            end.transport_blocks();
            // The budget is used up, and none of it is needed.
            for _ in 0..3 {
                end.connection.send_prepared(&message, Notify::No, &mut end.tx).unwrap();
                end.drive();
            }
            end
        })
        .collect();
    assert_eq!(budget.used(), BUDGET);
    for mut end in ends {
        end.transport_takes(250 * KIB);
        assert_eq!(budget.used(), BUDGET);
        end.transport_flows();
        end.sent_binary(vec![1; 200 * KIB]);
    }
}

#[test]
fn nothing_stays_charged_after_any_end_of_a_connection() {
    type Ending = fn(&mut Endpoint);
    let endings: [Ending; 4] = [
        |end| end.connection.abort(&mut end.tx),
        |end| end.connection.handle_transport_error(std::io::ErrorKind::ConnectionReset, &mut end.tx),
        |end| end.passes(std::time::Duration::from_secs(1000)),
        |_| {},
    ];
    for ending in endings {
        let budget = MemoryBudget::new(BUDGET);
        let mut end = server(&sharing(&budget));
        end.receives([binary(vec![1; 100 * KIB]).not_final()]);
        end.transport_blocks();
        end.sends_owned(vec![1; 100 * KIB]);
        assert!(budget.used() > 200 * KIB);
        ending(&mut end);
        end.drive();
        drop(end);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn a_budget_too_small_for_one_message_is_refused() {
    let config = config(|config| config.limits.max_message_size = MESSAGE);
    let error = config.with_memory_budget(MemoryBudget::new(BUDGET - 1)).unwrap_err().to_string();
    assert_eq!(error, "memory_budget = 2097151: must be at least eight times max_message_size");
}
