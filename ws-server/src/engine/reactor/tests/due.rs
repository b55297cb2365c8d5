//! Connections that topics have something for.

use std::{collections::HashMap, io::Write as _, net::TcpListener, task::Waker, time::Instant};

use ws_proto::PreparedMessage;
use ws_tokio::internal::{Attach, Feed, ThreadReceiveBuffer};

use super::*;
use crate::{
    engine::reactor::schedule::TURNS_PER_POLL,
    topics::{Member, MemberOptions},
};

const MANY: u32 = 10_000;
const TOPIC: &str = "room";

/// What happened, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Sent(u32),
    Turn(u32),
}

/// A connection that logs what it gets.
struct Stub {
    id: u32,
    log: Rc<RefCell<Vec<Entry>>>,
    takes: bool,
    /// Whether the transport takes all of a message.
    writes_all: bool,
    wants_turn: bool,
}

impl ReactorConn for Stub {
    fn note_events(&mut self, _events: EventFlags) {}

    fn wants_turn(&mut self) -> &mut bool {
        &mut self.wants_turn
    }

    fn turn(&mut self, _waker: &Waker, _rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        self.log.borrow_mut().push(Entry::Turn(self.id));
        Poll::Pending
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn takes_prepared(&mut self) -> bool {
        self.takes
    }

    fn send_prepared(&mut self, _message: &PreparedMessage, _now: Instant) -> bool {
        self.log.borrow_mut().push(Entry::Sent(self.id));
        self.writes_all
    }

    fn on_panic(&mut self) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A reactor whose connections are members of a topic.
struct Fixture {
    reactor: ReactorState<TestApp<Stub>>,
    server: Arc<ServerState>,
    schedule: Schedule,
    members: HashMap<u32, (Member, Arc<dyn Feed>)>,
    log: Rc<RefCell<Vec<Entry>>>,
}

impl Fixture {
    fn new(count: u32) -> Self {
        let server = server();
        let reactor = reactor(&server);
        let (schedule, members, log) = (Schedule::new(), HashMap::new(), Rc::default());
        let mut fixture = Self { reactor, server, schedule, members, log };
        (0..count).for_each(|id| fixture.insert(id));
        fixture.dispatch();
        fixture
    }

    /// Inserts a connection that is a member.
    fn insert(&mut self, id: u32) {
        let log = Rc::clone(&self.log);
        let stub = Stub { id, log, takes: true, writes_all: true, wants_turn: false };
        assert!(self.reactor.connections.borrow_mut().insert(id, stub).is_none());
        let (home, config) = (Some(self.reactor.wake_queue.home(id)), self.server.protocol.clone());
        let mut feed = None;
        let member = self.server.topics.join_feed(MemberOptions::new(), |make| {
            feed = Some(make(Attach { home, waker: Waker::noop().clone(), config }));
            feed.clone()
        });
        let member = member.unwrap();
        member.subscribe(TOPIC).unwrap();
        self.members.insert(id, (member, feed.unwrap()));
    }

    /// The reactor learns what was subscribed to.
    fn dispatch(&mut self) {
        self.reactor.delivery.queue_due(&mut self.schedule);
        assert!(self.schedule.due.is_empty());
    }

    fn change(&self, id: u32, change: impl FnOnce(&mut Stub)) {
        change(self.reactor.connections.borrow_mut().get_mut(id).unwrap());
    }

    fn publish(&self) {
        self.server.topics.publish(TOPIC, "x").unwrap();
    }

    /// Polls as a task. Returns what happened.
    async fn poll(&mut self) -> Vec<Entry> {
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(self.reactor.poll(cx, &mut self.schedule).is_pending());
            Poll::Ready(())
        })
        .await;
        self.log.take()
    }
}

#[tokio::test]
async fn a_publication_is_one_send_per_member_in_order_and_a_limited_number_per_poll() {
    let mut fixture = Fixture::new(MANY);
    for _ in 0..2 {
        fixture.publish();
        let (mut seen, mut polls) = (Vec::new(), 0);
        while seen.len() < MANY as usize {
            let sent = fixture.poll().await;
            assert!((1..=TURNS_PER_POLL).contains(&sent.len()), "{} in one poll", sent.len());
            seen.extend(sent);
            polls += 1;
        }
        assert!(seen.iter().copied().eq((0..MANY).map(Entry::Sent)), "each once, in order, and no turn");
        assert_eq!(polls, MANY.div_ceil(TURNS_PER_POLL as u32));
        assert!(!fixture.schedule.has_turns());
        assert_eq!(fixture.poll().await, []);
    }
}

#[tokio::test]
async fn a_publication_keeps_a_connection_with_an_event_and_a_woken_one_waiting_for_one_poll() {
    let mut fixture = Fixture::new(MANY);
    let (with_event, woken) = (MANY, MANY + 1);
    fixture.insert(with_event);
    fixture.insert(woken);
    for id in [with_event, woken] {
        assert!(fixture.members[&id].0.unsubscribe(TOPIC));
    }
    fixture.dispatch();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let stream = listener.accept().unwrap().0;
    let arrived = stream.try_clone().unwrap();
    fixture.reactor.watch(&stream, with_event).unwrap();
    // The socket is writable, which is an event too.
    while !fixture.poll().await.contains(&Entry::Turn(with_event)) {}
    fixture.publish();
    fixture.poll().await;
    let mut polls = 0;
    while !fixture.schedule.due.is_empty() {
        peer.write_all(b"x").unwrap();
        polls += 1;
        while arrived.peek(&mut [0; 1000]).unwrap() < polls {}
        fixture.reactor.wake_queue.push(&[woken]);
        let mut served = fixture.poll().await;
        assert!(served.contains(&Entry::Turn(woken)), "it does not wait behind others");
        served.extend(fixture.poll().await);
        assert!(served.contains(&Entry::Turn(with_event)), "behind {} others", fixture.schedule.due.len());
    }
    assert!(polls > 10, "the publication lasts");
}

#[tokio::test]
async fn a_connection_that_takes_nothing_at_once_or_not_all_gets_a_turn() {
    let mut fixture = Fixture::new(4);
    fixture.change(1, |stub| stub.takes = false);
    fixture.change(2, |stub| stub.writes_all = false);
    fixture.publish();
    let first = fixture.poll().await;
    assert_eq!(first, [Entry::Sent(0), Entry::Sent(2), Entry::Sent(3), Entry::Turn(2), Entry::Turn(1)]);
    // This one has not taken it, so the topics do not ask again.
    fixture.publish();
    fixture.change(2, |stub| stub.writes_all = true);
    assert_eq!(fixture.poll().await, [Entry::Sent(0), Entry::Sent(2), Entry::Sent(3)]);
}

#[tokio::test]
async fn a_connection_that_ends_before_its_send_is_passed_over() {
    let mut fixture = Fixture::new(3);
    fixture.publish();
    let (_, feed) = fixture.members.remove(&1).unwrap();
    feed.ended();
    fixture.reactor.connections.borrow_mut().remove(1);
    assert_eq!(fixture.poll().await, [Entry::Sent(0), Entry::Sent(2)]);
    // Its id is used again.
    fixture.insert(1);
    assert_eq!(fixture.poll().await, []);
    fixture.publish();
    assert_eq!(fixture.poll().await, [Entry::Sent(0), Entry::Sent(2), Entry::Sent(1)]);
}
