//! Notes to the one task that runs all connections of a shard: who should have a turn though its socket is silent.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

#[derive(Default)]
pub(crate) struct Notices(Mutex<Board>);

#[derive(Default)]
struct Board {
    notes: Notes,
    /// The task, if it sleeps.
    reader: Option<Waker>,
}

/// What was noted since the task last looked.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) seats: Vec<u32>,
    pub(crate) everybody: bool,
}

impl Notices {
    pub(crate) fn notify(&self, seats: &[u32]) {
        if !seats.is_empty() {
            self.note(|notes| notes.seats.extend_from_slice(seats));
        }
    }

    pub(crate) fn notify_everybody(&self) {
        self.note(|notes| notes.everybody = true);
    }

    /// Takes the notes; `reader` is woken by the next one. `spare` is used again for the next ones.
    pub(crate) fn take(&self, reader: &Waker, spare: &mut Notes) {
        let mut board = self.board();
        mem::swap(&mut board.notes, spare);
        board.reader.get_or_insert_with(|| reader.clone()).clone_from(reader);
    }

    fn note(&self, write: impl FnOnce(&mut Notes)) {
        let reader = {
            let mut board = self.board();
            write(&mut board.notes);
            board.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of a future that a connection runs: however often it is woken between two turns, it is one note.
pub(crate) struct TurnWaker {
    notices: Arc<Notices>,
    seat: u32,
    woken: AtomicBool,
}

impl TurnWaker {
    pub(crate) fn new(notices: &Arc<Notices>, seat: u32) -> Arc<Self> {
        Arc::new(Self { notices: Arc::clone(notices), seat, woken: AtomicBool::new(false) })
    }

    /// The turn begins: from now on a wake-up asks for another one.
    pub(crate) fn begin_turn(&self) {
        // Acquires too: whoever found it set left no note, and what it did before must be seen in this turn.
        self.woken.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.notices.notify(&[self.seat]);
        }
    }
}
