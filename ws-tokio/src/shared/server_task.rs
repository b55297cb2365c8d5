//! Whether a server's task runs the connection, and the parts of its turn.

use std::time::Instant;

use super::{
    mode::{Mode, ServerTask, Turn},
    state::SharedState,
};
use crate::time::now;

impl<S> SharedState<S> {
    pub(crate) const fn has_server_task(&self) -> bool {
        matches!(self.mode, Mode::ServerTask(_))
    }

    /// Whether a server's task runs the connection and waits.
    #[inline]
    pub(super) const fn has_idle_server_task(&self) -> bool {
        matches!(self.mode, Mode::ServerTask(ServerTask { turn: Turn::Idle, .. }))
    }

    /// Whether a turn of a server's task runs.
    #[inline]
    pub(super) const fn is_in_turn(&self) -> bool {
        self.has_server_task() && !self.has_idle_server_task()
    }

    /// Whether a server's task polls the application's future now.
    #[inline]
    pub(crate) const fn is_application_turn(&self) -> bool {
        matches!(self.mode, Mode::ServerTask(ServerTask { turn: Turn::Application, .. }))
    }

    /// Notes, for a server's task, whether the application waits in `recv`.
    #[inline]
    pub(super) const fn set_receiving(&mut self, is_receiving: bool) {
        if let Mode::ServerTask(task) = &mut self.mode {
            task.is_receiving = is_receiving;
        }
    }

    /// Begins the application's part of a turn of the server's task, or continues it if it had ended early.
    #[inline]
    pub(super) fn enter_turn(&mut self, at: Instant, again: bool) {
        self.advance_to(at);
        if let Mode::ServerTask(task) = &mut self.mode {
            task.turn = Turn::Application;
            if !again {
                (task.is_receiving, task.reads, task.writes) = (false, 0, 0);
            }
        }
    }

    /// Ends the application's part of a turn. Returns whether the application waits in `recv`.
    pub(crate) const fn end_application(&mut self) -> bool {
        let Mode::ServerTask(task) = &mut self.mode else { return false };
        task.turn = Turn::Transport;
        task.is_receiving
    }

    /// Ends the turn of the server's task.
    pub(crate) fn end_turn(&mut self) {
        if let Mode::ServerTask(task) = &mut self.mode {
            task.turn = Turn::Idle;
        }
        self.return_queue();
    }

    /// Reads the clock, except in a turn of a server's task, which sets the time once per turn.
    pub(crate) fn refresh_now(&mut self) {
        if !self.is_in_turn() {
            self.advance_to(now());
        }
    }
}
