use std::{fmt, sync::Arc};

use crate::{recorder::Recording, stats::ConnectionStats};

/// What was counted and recorded of a connection that has ended, if anything.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Inner>>);

struct Inner {
    stats: Option<ConnectionStats>,
    recording: Option<Recording>,
}

impl Trace {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn new(stats: Option<ConnectionStats>, recording: Option<Recording>) -> Self {
        let is_empty = stats.is_none() && recording.is_none();
        Self((!is_empty).then(|| Arc::new(Inner { stats, recording })))
    }

    pub(crate) fn stats(&self) -> Option<&ConnectionStats> {
        self.0.as_ref()?.stats.as_ref()
    }

    pub(crate) fn recording(&self) -> Option<&Recording> {
        self.0.as_ref()?.recording.as_ref()
    }
}

/// All are equal: a [`CloseInfo`](super::CloseInfo) is compared by how the connection ended.
impl PartialEq for Trace {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Trace {}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trace" } else { "None" })
    }
}
