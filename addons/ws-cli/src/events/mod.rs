//! What happens on a connection, as JSON lines.

mod line;
mod recorder;

pub(crate) use line::{Direction, Event, Line};
pub(crate) use recorder::Recorder;
