use ws_proto::{Completion, Event};

use crate::{dice::Dice, link::Link};

/// An application on one side of a simulated connection. It must take all its decisions from the dice, so that the
/// same seed gives the same run.
pub trait App {
    /// Handles an event. It may answer during the call or later.
    fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, dice: &mut Dice);

    /// Whether pings and pongs that arrive while the application is paused are held among the messages.
    fn holds_control(&self) -> bool {
        false
    }

    /// Whether the messages of a read may be lent together. Then the connection is on hold.
    fn takes_runs(&self) -> bool {
        false
    }

    /// Called at random times, to act without an event.
    fn on_turn(&mut self, _link: &mut Link<'_>, _dice: &mut Dice) {}

    /// Reports the completion of a send that asked for it.
    fn on_completion(&mut self, _completion: Completion, _link: &mut Link<'_>, _dice: &mut Dice) {}
}

/// Lets the caller inspect the application after the run.
impl<A: App + ?Sized> App for &mut A {
    fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, dice: &mut Dice) {
        (**self).on_event(event, link, dice);
    }

    fn holds_control(&self) -> bool {
        (**self).holds_control()
    }

    fn takes_runs(&self) -> bool {
        (**self).takes_runs()
    }

    fn on_turn(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        (**self).on_turn(link, dice);
    }

    fn on_completion(&mut self, completion: Completion, link: &mut Link<'_>, dice: &mut Dice) {
        (**self).on_completion(completion, link, dice);
    }
}
