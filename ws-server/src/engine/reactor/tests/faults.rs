//! A reactor that loses its events, and residents that panic wherever they can.

use std::{io::pipe, task::Waker, time::Duration};

use tokio::runtime::{Builder, LocalOptions};
use ws_tokio::ReceiveLease;

use super::*;
use crate::shard::{
    server_state::ShutdownPhase,
    shutdown::{ForceOnDrop, ShutdownHandle, drain},
};

/// What a panic carries.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

/// Where it panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panics {
    InTurn,
    InDrop,
    Never,
}

type Log = Rc<RefCell<Vec<(u32, &'static str)>>>;

struct Probe {
    number: u32,
    panics: Panics,
    log: Log,
    is_due: bool,
}

impl ReactorConn for Probe {
    fn note(&mut self, _events: EventFlags) {}

    fn is_due(&mut self) -> &mut bool {
        &mut self.is_due
    }

    fn poll_turn(&mut self, _again: &Waker, _rx: &mut Option<ReceiveLease>) -> Poll<()> {
        self.log.borrow_mut().push((self.number, "turn"));
        match self.panics {
            Panics::InTurn => std::panic::panic_any(Bomb),
            Panics::InDrop => Poll::Ready(()),
            Panics::Never => Poll::Pending,
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.borrow_mut().push((self.number, "dropped"));
        if self.panics != Panics::Never {
            std::panic::panic_any(Bomb);
        }
    }
}

fn seat_probes(shared: &Shared<Doubles<Probe>>, log: &Log, panics: [Panics; 3]) {
    for (number, panics) in (0..).zip(panics) {
        let probe = Probe { number, panics, log: Rc::clone(log), is_due: false };
        shared.connections.borrow_mut().insert(number, probe);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.unwrap().block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}

#[test]
fn a_resident_that_panics_anywhere_takes_no_turn_from_the_others() {
    run(async {
        let (server, log) = (server(), Log::default());
        let shared = Rc::new(shared(&server));
        seat_probes(&shared, &log, [Panics::InTurn, Panics::InDrop, Panics::Never]);
        let running = tokio::task::spawn_local(Rc::clone(&shared).run());
        for _ in 0..2 {
            log.borrow_mut().clear();
            shared.wake_queue.push(&[0, 1, 2]);
            while !log.borrow().contains(&(2, "turn")) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(*log.borrow(), [(2, "turn")], "the others are gone");
        assert!(shared.outcome().is_ok() && server.phase() == ShutdownPhase::Running);
        running.abort();
    });
}

#[test]
fn a_reactor_that_loses_its_events_ends_its_connections_and_the_server() {
    run(async {
        // No epoll descriptor: asking it for events fails.
        let (reader, writer) = pipe().unwrap();
        let (server, log) = (server(), Log::default());
        let shared = Rc::new(Shared::<Doubles<Probe>>::new(reader.into(), seed(&server)).unwrap());
        seat_probes(&shared, &log, [Panics::InTurn, Panics::InDrop, Panics::Never]);
        let permit = server.connections.acquire(None).ok().unwrap();
        let running = tokio::task::spawn_local(Rc::clone(&shared).run());
        tokio::task::yield_now().await;
        assert!(shared.outcome().is_ok());
        // Now there seem to be some.
        drop(writer);
        running.await.unwrap();
        assert_eq!(*log.borrow(), [(0, "dropped"), (1, "dropped"), (2, "dropped")]);
        assert!(shared.outcome().is_err());
        // Peers are refused, and a shutdown returns.
        assert_eq!(server.phase(), ShutdownPhase::Draining);
        let force = ForceOnDrop(Arc::clone(&server));
        drop(permit);
        let handle = ShutdownHandle::new(Arc::clone(&server));
        let (told, _) = tokio::join!(handle.shutdown(Duration::ZERO), drain(&server));
        assert_eq!((told.clean, told.unclean), (0, 0));
        drop(force);
    });
}

#[test]
fn a_reactor_that_is_dropped_ends_its_connections() {
    let (server, log) = (server(), Log::default());
    let has_run = Rc::new(Cell::new(false));
    run(async {
        let shared = Rc::new(shared(&server));
        seat_probes(&shared, &log, [Panics::Never, Panics::InDrop, Panics::Never]);
        tokio::task::spawn_local(shared.run());
        tokio::task::yield_now().await;
        has_run.set(true);
    });
    assert!(has_run.get());
    assert_eq!(*log.borrow(), [(0, "dropped"), (1, "dropped"), (2, "dropped")]);
    assert_eq!(server.phase(), ShutdownPhase::Draining);
}
