use crate::LogOptions;

/// How publications of a topic reach the other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// They do not: only members of this node get them.
    Local,
    /// At most once. Members of this node get them at once, others through the broker. Publications of one node keep
    /// their order; those of several nodes may come in a different order on each. A node that is cut off misses what
    /// others publish; [`ClusterEvent::Gap`](crate::ClusterEvent::Gap) says so.
    Live,
    /// The broker keeps a log, and all members of all nodes get it in its order, each entry once. What a node misses,
    /// it reads from the log. [`ClusterEvent::Gap`](crate::ClusterEvent::Gap) says if that is not possible.
    Logged(LogOptions),
}
