//! What a connection that subscribes to a topic costs, in system calls and turns.

use std::{
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Waker},
};

use ws_proto::{MessageRef, handshake::Rejection};

use crate::{
    admission::Request,
    connection::{Conn, Handler, handler_task::HandlerTask},
    shard::server_state::ServerState,
    tests::{Ordering, Script, Task, Woken, connection, masked, registration_on, run_until_idle, server},
};

/// Subscribes, and sends every message back.
struct Member;

impl Handler for Member {
    type Context = ();

    fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        conn.subscribe("room").expect("an open connection");
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        conn.send(message).expect("room for an echo");
    }
}

/// A member whose first turns are done.
fn member(script: &Script) -> (Pin<Box<HandlerTask<Member, super::Counted>>>, Arc<ServerState>) {
    let (server, io) = (server(), script.transport_action());
    let task = HandlerTask::new(Member, io, connection(), &[], registration_on(&server));
    (Box::pin(task), server)
}

#[test]
fn publications_between_two_turns_wake_once_and_leave_in_one_write() {
    let script = Script::default();
    let (mut task, server) = member(&script);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut turn = || task.as_mut().poll(&mut Context::from_waker(&waker));
    for _ in 0..3 {
        assert!(turn().is_pending());
    }
    assert!(!woken.0.swap(false, Ordering::Relaxed), "nothing is to be done");
    for round in 0..3 {
        script.take_calls();
        for number in 0..100 {
            server.topics.publish("room", format!("{round} {number:02}")).expect("room for it");
        }
        assert!(woken.0.swap(false, Ordering::Relaxed));
        assert!(turn().is_pending());
        assert_eq!(script.take_written().len(), 100 * (2 + 4));
        assert_eq!(script.take_calls().writes, 1);
        assert!(!woken.0.swap(false, Ordering::Relaxed), "nothing is left");
    }
}

#[test]
fn a_member_of_a_topic_echoes_with_one_read_and_one_write() {
    let script = Script::default();
    let (task, server) = member(&script);
    let mut task: Task = task;
    run_until_idle(&mut task);
    script.take_calls();
    for _ in 0..100 {
        script.deliver(&masked(20));
        run_until_idle(&mut task);
        assert_eq!(script.take_written().len(), 22);
    }
    let calls = script.take_calls();
    assert!(calls.reads + calls.writes <= 205, "{calls:?}");
    assert_eq!(server.topics.member_count("room"), 1);
    drop(task);
    assert_eq!(server.topics.member_count("room"), 0);
}
