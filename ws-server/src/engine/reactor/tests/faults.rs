//! A reactor that loses its events, and connections that panic in each of their methods.

use std::{io::pipe, task::Waker, time::Duration};

use tokio::runtime::{Builder, LocalOptions};
use ws_tokio::internal::ThreadReceiveBuffer;

use super::*;
use crate::shard::{
    server_state::ShutdownPhase,
    shutdown::{ForceOnDrop, ShutdownHandle, drain},
};

/// The payload of a panic. Its destructor panics too.
struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

/// Where it panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panics {
    InTurn,
    InTurnAndAfter,
    /// In the first turn, and then the connection wants another one.
    InFirstTurn,
    InDrop,
    Never,
}

type Log = Rc<RefCell<Vec<(u32, &'static str)>>>;

struct Probe {
    number: u32,
    panics: Panics,
    log: Log,
    wants_turn: bool,
}

impl ReactorConn for Probe {
    fn note_events(&mut self, _events: EventFlags) {}

    fn wants_turn(&mut self) -> &mut bool {
        &mut self.wants_turn
    }

    fn turn(&mut self, _waker: &Waker, _rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        self.log.borrow_mut().push((self.number, "turn"));
        match self.panics {
            Panics::InTurn | Panics::InTurnAndAfter | Panics::InFirstTurn => {
                std::panic::panic_any(PanicOnDrop)
            }
            Panics::InDrop => Poll::Ready(()),
            Panics::Never => Poll::Pending,
        }
    }

    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn on_panic(&mut self) -> Poll<()> {
        self.log.borrow_mut().push((self.number, "on_panic"));
        match self.panics {
            Panics::InTurn => Poll::Ready(()),
            Panics::InFirstTurn => {
                self.panics = Panics::Never;
                Poll::Pending
            }
            _ => std::panic::panic_any(PanicOnDrop),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.borrow_mut().push((self.number, "dropped"));
        if self.panics != Panics::Never {
            std::panic::panic_any(PanicOnDrop);
        }
    }
}

fn insert_probes(reactor: &ReactorState<TestApp<Probe>>, log: &Log, panics: &[Panics]) {
    for (number, panics) in (0..).zip(panics.iter().copied()) {
        let probe = Probe { number, panics, log: Rc::clone(log), wants_turn: false };
        reactor.connections.borrow_mut().insert(number, probe);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.unwrap().block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}

#[test]
fn a_connection_that_panics_anywhere_takes_no_turn_from_the_others() {
    run(async {
        let (server, log) = (server(), Log::default());
        let reactor = Rc::new(reactor(&server));
        let panics = [Panics::InTurn, Panics::InTurnAndAfter, Panics::InDrop, Panics::Never];
        insert_probes(&reactor, &log, &panics);
        let running = tokio::task::spawn_local(Rc::clone(&reactor).run());
        for _ in 0..2 {
            log.borrow_mut().clear();
            reactor.wake_queue.push(&[0, 1, 2, 3]);
            while !log.borrow().contains(&(3, "turn")) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(*log.borrow(), [(3, "turn")], "the others are gone");
        assert!(reactor.outcome().is_ok() && server.phase() == ShutdownPhase::Running);
        running.abort();
    });
}

#[test]
fn a_connection_that_is_not_over_after_a_panic_gets_another_turn_without_a_wake_up() {
    run(async {
        let (server, log) = (server(), Log::default());
        let reactor = Rc::new(reactor(&server));
        insert_probes(&reactor, &log, &[Panics::InFirstTurn]);
        let running = tokio::task::spawn_local(Rc::clone(&reactor).run());
        reactor.wake_queue.push(&[0]);
        while log.borrow().len() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*log.borrow(), [(0, "turn"), (0, "on_panic"), (0, "turn")]);
        running.abort();
    });
}

#[test]
fn a_reactor_that_loses_its_events_ends_its_connections_and_the_server() {
    run(async {
        // Not an epoll descriptor: waiting for its events fails.
        let (reader, writer) = pipe().unwrap();
        let (server, log) = (server(), Log::default());
        let reactor = Rc::new(ReactorState::<TestApp<Probe>>::new(reader.into(), seed(&server)).unwrap());
        insert_probes(&reactor, &log, &[Panics::InTurn, Panics::InDrop, Panics::Never]);
        let permit = server.connections.acquire(None).ok().unwrap();
        let running = tokio::task::spawn_local(Rc::clone(&reactor).run());
        tokio::task::yield_now().await;
        assert!(reactor.outcome().is_ok());
        // Now the descriptor is readable, so the reactor asks for events.
        drop(writer);
        running.await.unwrap();
        assert_eq!(*log.borrow(), [(0, "dropped"), (1, "dropped"), (2, "dropped")]);
        assert!(reactor.outcome().is_err());
        // Nothing more is accepted, and a shutdown returns.
        assert_eq!(server.phase(), ShutdownPhase::Draining);
        let force = ForceOnDrop(Arc::clone(&server));
        drop(permit);
        let handle = ShutdownHandle::new(Arc::clone(&server));
        let (report, _) = tokio::join!(handle.shutdown(Duration::ZERO), drain(&server));
        assert_eq!((report.clean, report.unclean), (0, 0));
        drop(force);
    });
}

#[test]
fn a_reactor_that_is_dropped_ends_its_connections() {
    let (server, log) = (server(), Log::default());
    let has_run = Rc::new(Cell::new(false));
    run(async {
        let reactor = Rc::new(reactor(&server));
        insert_probes(&reactor, &log, &[Panics::Never, Panics::InDrop, Panics::Never]);
        tokio::task::spawn_local(reactor.run());
        tokio::task::yield_now().await;
        has_run.set(true);
    });
    assert!(has_run.get());
    assert_eq!(*log.borrow(), [(0, "dropped"), (1, "dropped"), (2, "dropped")]);
    assert_eq!(server.phase(), ShutdownPhase::Draining);
}
