//! The state that all handles to one connection share, and what polling a handle does with it.
//!
//! ```text
//!   send        waits for room, for the transport, and for the senders that came first
//!   receive     takes the next message or event; holds messages while the application does not receive
//!   received    what the application receives: messages, or all events
//!   fast_path   the fast path of `recv` and `send`, for the usual case
//!   lent_run    messages that were taken together
//!   ping_rtt    times a ping
//!   transfer    one write, one read, one look at the timer
//!   admission   whether there is room for a message
//!   close       begins the end, and waits until nothing more can be sent
//!   state       the connection, its transport, and the tasks that wait for it, behind one lock
//!   mode        which tasks move the bytes: those that poll a handle, or a server's task
//!   server_task the parts of a turn of a server's task
//!   guard       the lock
//!   input       whether there is something to read
//!   turn        the turn of a server's task that runs on this thread
//!   reactor     where a reactor runs the connection, and how its transport leaves it
//!   feed        messages that wait elsewhere, and go out among the connection's own
//!   pressure    what a slow peer leads to
//!   rare        what most connections do not have
//!   waiting     the tasks that wait, and the waker that the transport gets
//!   wakers      the list of those tasks, if there are several
//! ```

mod admission;
mod close;
mod fast_path;
mod feed;
mod guard;
mod input;
mod lent_run;
mod mode;
mod ping_rtt;
mod pressure;
mod rare;
mod reactor;
mod receive;
mod received;
mod send;
mod server_task;
mod state;
mod transfer;
pub(crate) mod turn;
mod waiting;
mod wakers;

pub(crate) use close::poll_closed;
pub(crate) use guard::{StateGuard, lock, lock_and_poll, lock_briefly, poll_locked};
pub(crate) use input::Input;
pub(crate) use lent_run::LentRun;
pub(crate) use send::WakerClones;
pub(crate) use state::{Shared, SharedState};
