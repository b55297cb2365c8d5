//! Closes, aborts, and the end of the connection.

use super::*;

#[test]
fn a_close_goes_behind_the_messages_and_the_first_one_counts() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 1);
    endpoint.block();
    endpoint.try_send(1).unwrap();
    assert!(!endpoint.transfer());
    endpoint.try_send(2).unwrap();
    endpoint.mailbox.close(Some(CloseCode::GOING_AWAY), "first");
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "second");
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())), "nothing goes behind a close");
    assert_eq!(endpoint.mailbox.ping(&[]), Err(ControlError::Closed));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
    assert!(endpoint.transfer());
    assert_eq!(opcodes(&endpoint.written()), [OpCode::Binary]);
    assert!(!endpoint.transfer());
    let last = endpoint.written();
    assert_eq!(opcodes(&last), [OpCode::Binary, OpCode::Close]);
    assert!(last[1].1.ends_with(b"first"));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
}

#[test]
fn the_end_of_the_connection_drops_what_waits_and_wakes_the_senders() {
    let budget = MemoryBudget::new(1024 * 1024);
    let endpoint = Endpoint::with_budget(&budget, |config| config.write_queue_messages = 1);
    endpoint.try_send(100 * 1024).unwrap();
    assert!(budget.used() >= 100 * 1024);
    let (sender, mut place) = (Arc::<Wakes>::default(), None);
    let waker = Waker::from(Arc::clone(&sender));
    let mut waits =
        |message: &mut _| endpoint.mailbox.poll_send(&mut Context::from_waker(&waker), message, &mut place);
    let mut next = Some(message(1));
    assert!(waits(&mut next).is_pending());
    endpoint.mailbox.end(ConnectionState::Closed);
    assert_eq!(budget.used(), 0);
    assert_eq!(sender.0.load(Ordering::Relaxed), 1);
    assert_eq!(waits(&mut next), Poll::Ready(Err(SendError::Closed(message(1)))));
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())));
}

#[test]
fn a_close_without_a_code_is_an_empty_close_frame_behind_the_messages() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.try_send(1).unwrap();
    endpoint.mailbox.close(None, "");
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written(), [(OpCode::Binary, vec![0]), (OpCode::Close, vec![])]);
}

#[test]
fn an_abort_drops_what_waits_and_ends_the_connection_in_its_next_turn() {
    let budget = MemoryBudget::new(1024 * 1024);
    let mut endpoint = Endpoint::with_budget(&budget, |_| ());
    endpoint.try_send(100 * 1024).unwrap();
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "never sent");
    endpoint.mailbox.abort();
    assert_eq!((budget.used(), endpoint.wakes()), (0, 1));
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closing);
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())));
    assert!(endpoint.mailbox.take_woken() && !endpoint.transfer());
    assert_eq!(endpoint.written(), []);
    assert_eq!(endpoint.connection.state(), ConnectionState::Closed);
    assert_eq!(Outlet::state(&endpoint.mailbox), ConnectionState::Closed);
}

#[test]
fn an_abort_of_a_connection_that_is_closing_is_not_lost() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.connection.close(CloseCode::NORMAL, "", endpoint.now, &mut endpoint.tx);
    endpoint.mailbox.end(ConnectionState::Closing);
    endpoint.mailbox.abort();
    // The end of the turn that was running.
    endpoint.mailbox.end(ConnectionState::Closing);
    assert!(endpoint.mailbox.take_woken());
    endpoint.transfer();
    assert_eq!(endpoint.connection.state(), ConnectionState::Closed);
}

#[test]
fn tasks_that_wait_for_the_end_are_woken_by_each_way_to_it() {
    let ends: [fn(&Mailbox); 4] = [
        |mailbox| mailbox.end(ConnectionState::Closing),
        |mailbox| mailbox.end(ConnectionState::Closed),
        |mailbox| mailbox.close(Some(CloseCode::NORMAL), ""),
        |mailbox| mailbox.abort(),
    ];
    for end in ends {
        let endpoint = Endpoint::new(|_| ());
        let tasks = [(); 3].map(|()| Arc::<Wakes>::default());
        let mut places = [const { None }; 3];
        let poll = |task: usize, place: &mut _| {
            let waker = Waker::from(Arc::clone(&tasks[task]));
            endpoint.mailbox.poll_closed(&mut Context::from_waker(&waker), place)
        };
        for (task, place) in places.iter_mut().enumerate() {
            assert!(poll(task, place).is_pending());
        }
        endpoint.mailbox.cancelled_closed(places[1].take().unwrap());
        end(&endpoint.mailbox);
        assert_eq!(tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed)), [1, 0, 1]);
        for (task, place) in places.iter_mut().enumerate() {
            assert!(poll(task, place).is_ready());
        }
        assert!(endpoint.mailbox.lock().closed_waiters.is_empty());
    }
}
