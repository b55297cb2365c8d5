//! What waits in a feed and what waits in the mailbox reach the connection in one order.

use std::{any::Any, collections::VecDeque};

use ws_proto::Notify;
use ws_tokio::internal::{Attach, Feed, Filled, Home};

use super::*;
use crate::shard::wake_queue::WakeQueue;

/// A feed whose messages a test publishes.
struct TestFeed {
    attach: Attach,
    state: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    waiting: VecDeque<(u64, Message)>,
    last: u64,
    is_slow: bool,
    ended: usize,
}

impl TestFeed {
    fn attach(endpoint: &Endpoint) -> Arc<Self> {
        let mut made = None;
        let attached = endpoint.mailbox.attach(&mut |attach| {
            let feed = Arc::new(Self { attach, state: Mutex::default() });
            made = Some(Arc::clone(&feed));
            feed
        });
        assert!(attached.is_some());
        made.unwrap()
    }

    fn publish(&self, message: Message) {
        let mut state = self.state.lock().unwrap();
        state.last += 1;
        let number = state.last;
        state.waiting.push_back((number, message));
    }

    fn ended(&self) -> usize {
        self.state.lock().unwrap().ended
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting.len()
    }
}

impl Feed for TestFeed {
    fn fill(
        &self,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        let mut state = self.state.lock().unwrap();
        assert_eq!(state.ended, 0, "an ended feed is not used");
        if state.is_slow {
            connection.close(CloseCode::TRY_AGAIN_LATER, "", now, tx);
            return Filled::Empty;
        }
        while let Some((number, message)) = state.waiting.front()
            && before.is_none_or(|mark| *number <= mark)
        {
            if connection.queued(tx).bytes >= limit {
                return Filled::More;
            }
            match connection.send_message(message.clone(), Notify::No, tx) {
                Ok(()) => drop(state.waiting.pop_front()),
                Err(SendError::Full(_)) => return Filled::More,
                Err(SendError::Closed(_)) => panic!("the connection is open"),
            }
        }
        Filled::Empty
    }

    fn mark(&self) -> u64 {
        self.state.lock().unwrap().last
    }

    fn ended(&self) {
        self.state.lock().unwrap().ended += 1;
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Endpoint {
    /// As a handler that is about to send does.
    fn transfer_feed(&mut self) -> Filled {
        self.mailbox.transfer_feed(&mut self.connection, &mut self.tx, self.now)
    }

    fn written_numbers(&mut self) -> Vec<u8> {
        self.written().into_iter().map(|(_, payload)| payload[0]).collect()
    }
}

#[test]
fn publications_and_messages_of_a_sender_go_out_in_one_order() {
    let mut endpoint = Endpoint::new(|_| ());
    endpoint.mailbox.try_send(numbered(0)).unwrap();
    let feed = TestFeed::attach(&endpoint);
    feed.publish(numbered(1));
    endpoint.mailbox.try_send(numbered(2)).unwrap();
    endpoint.mailbox.try_send_prepared(&PreparedMessage::new(numbered(3))).unwrap();
    feed.publish(numbered(4));
    feed.publish(numbered(5));
    let mut last = Some(numbered(6));
    let sent = endpoint.mailbox.poll_send(&mut Context::from_waker(Waker::noop()), &mut last, &mut None);
    assert_eq!(sent, Poll::Ready(Ok(())));
    feed.publish(numbered(7));
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written_numbers(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_close_of_a_sender_goes_behind_what_was_published_before_it_and_ends_the_feed() {
    let mut endpoint = Endpoint::new(|_| ());
    let feed = TestFeed::attach(&endpoint);
    feed.publish(numbered(0));
    endpoint.mailbox.close(Some(CloseCode::NORMAL), "");
    feed.publish(numbered(1));
    assert!(endpoint.mailbox.attach(&mut |_| panic!("it is closing")).is_none());
    assert!(!endpoint.transfer());
    assert_eq!(feed.ended(), 1);
    assert_eq!(endpoint.written()[0], (OpCode::Binary, vec![0]));
    endpoint.mailbox.end(ConnectionState::Closed);
    assert_eq!(feed.ended(), 1);
}

#[test]
fn a_feed_ends_once_however_the_connection_ends() {
    let ends: [fn(&mut Endpoint); 4] = [
        |endpoint| endpoint.mailbox.end(ConnectionState::Closing),
        |endpoint| endpoint.mailbox.end(ConnectionState::Closed),
        |endpoint| endpoint.mailbox.abort(),
        |endpoint| {
            endpoint.connection.abort(&mut endpoint.tx);
            endpoint.transfer();
        },
    ];
    for end in ends {
        let mut endpoint = Endpoint::new(|_| ());
        let feed = TestFeed::attach(&endpoint);
        feed.publish(numbered(0));
        end(&mut endpoint);
        assert_eq!(feed.ended(), 1);
        endpoint.transfer();
        endpoint.transfer_feed();
        endpoint.mailbox.end(ConnectionState::Closed);
        assert_eq!(feed.ended(), 1);
        assert_eq!(Arc::strong_count(&feed), 1, "the connection does not keep it");
    }
}

#[test]
fn what_a_full_connection_does_not_take_waits_in_order() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 2);
    let feed = TestFeed::attach(&endpoint);
    endpoint.block();
    for number in [0, 2, 4] {
        feed.publish(numbered(number));
        // The mailbox has the limits of the write queue.
        if number < 4 {
            endpoint.mailbox.try_send(numbered(number + 1)).unwrap();
        }
    }
    assert!(endpoint.transfer());
    assert_eq!(endpoint.written_numbers(), [0, 1]);
    assert!(endpoint.transfer());
    assert_eq!(endpoint.written_numbers(), [2, 3]);
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written_numbers(), [4]);
}

#[test]
fn most_of_what_a_slow_peer_does_not_take_stays_in_the_feed() {
    let mut endpoint = Endpoint::new(|_| ());
    let feed = TestFeed::attach(&endpoint);
    endpoint.block();
    (0..100).for_each(|_| feed.publish(message(8 * 1024)));
    assert!(endpoint.transfer());
    assert!(feed.waiting() > 90, "{}", feed.waiting());
    let (waiting, queued) = (feed.waiting(), endpoint.connection.queued(&endpoint.tx));
    assert!(endpoint.transfer(), "the limit is reached");
    assert_eq!((feed.waiting(), endpoint.connection.queued(&endpoint.tx)), (waiting, queued));
}

#[test]
fn a_handler_sends_behind_what_was_published_and_what_comes_before_that() {
    let mut endpoint = Endpoint::new(|_| ());
    let feed = TestFeed::attach(&endpoint);
    endpoint.mailbox.try_send(numbered(0)).unwrap();
    feed.publish(numbered(1));
    endpoint.mailbox.try_send(numbered(3)).unwrap();
    assert_eq!(endpoint.transfer_feed(), Filled::Empty);
    endpoint.connection.send_message(numbered(2), Notify::No, &mut endpoint.tx).unwrap();
    // Behind the publication, the mailbox waits for the next turn, as without a feed.
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.written_numbers(), [0, 1, 2, 3]);
}

#[test]
fn a_handler_is_refused_while_what_was_published_has_no_room() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 4);
    let feed = TestFeed::attach(&endpoint);
    endpoint.block();
    (0..6).for_each(|number| feed.publish(numbered(number)));
    assert_eq!(endpoint.transfer_feed(), Filled::More);
    let has_room =
        |endpoint: &Endpoint| endpoint.mailbox.has_room_behind_feed(&endpoint.connection, &endpoint.tx);
    assert!(!has_room(&endpoint));
    assert_eq!(endpoint.written_numbers(), [0, 1, 2, 3]);
    assert!(has_room(&endpoint));
    assert_eq!(endpoint.transfer_feed(), Filled::Empty);
    assert_eq!(endpoint.written_numbers(), [4, 5]);
}

#[test]
fn a_sender_whose_room_the_handler_has_freed_is_woken() {
    let mut endpoint = Endpoint::new(|config| config.write_queue_messages = 1);
    let feed = TestFeed::attach(&endpoint);
    endpoint.try_send(1).unwrap();
    feed.publish(numbered(1));
    let (sender, mut place, mut next) = (Arc::<Wakes>::default(), None, Some(message(1)));
    let waker = Waker::from(Arc::clone(&sender));
    let mut poll = || endpoint.mailbox.poll_send(&mut Context::from_waker(&waker), &mut next, &mut place);
    assert!(poll().is_pending());
    assert_eq!(endpoint.transfer_feed(), Filled::More);
    assert_eq!(sender.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_feed_that_finds_the_peer_too_slow_ends_the_mailbox() {
    let mut endpoint = Endpoint::new(|_| ());
    let feed = TestFeed::attach(&endpoint);
    endpoint.block();
    feed.state.lock().unwrap().is_slow = true;
    assert!(!endpoint.transfer());
    assert_eq!(endpoint.try_send(1), Err(SendError::Closed(())));
    assert_eq!(feed.ended(), 1);
}

#[test]
fn a_feed_learns_who_runs_its_connection_and_can_wake_it() {
    let endpoint = Endpoint::new(|_| ());
    let feed = TestFeed::attach(&endpoint);
    assert_eq!(feed.attach.home, None);
    feed.attach.waker.wake_by_ref();
    assert_eq!(endpoint.wakes(), 1);

    let (mut endpoint, queue) = (Endpoint::new(|_| ()), Arc::<WakeQueue>::default());
    endpoint.mailbox =
        Mailbox::new(&endpoint.mailbox.config, ConnWaker::Queue(Arc::clone(&queue), 7), Arc::default());
    let feed = TestFeed::attach(&endpoint);
    assert_eq!(feed.attach.home, Some(Home { shard: queue.shard(), id: 7 }));
    feed.attach.waker.wake_by_ref();
    let mut pending = crate::shard::wake_queue::Pending::default();
    queue.take(Waker::noop(), &mut pending);
    assert_eq!(pending.ids, [7]);
}

#[test]
fn shards_have_numbers_of_their_own() {
    let queues: [WakeQueue; 2] = Default::default();
    assert_ne!(queues[0].shard(), queues[1].shard());
}
