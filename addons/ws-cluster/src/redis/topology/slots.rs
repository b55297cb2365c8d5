//! Which server has which slot.

use std::sync::Arc;

use ::redis::Value;

use crate::redis::{
    endpoint::Endpoint,
    names::{SLOTS, slot},
    random,
};

/// The masters, and which of them has which slot.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::redis) struct SlotMap {
    nodes: Vec<Endpoint>,
    /// The node of each slot, as an index; `NONE` without one. `None`: the only node has them all.
    owners: Option<Vec<u16>>,
}

const NONE: u16 = u16::MAX;

impl SlotMap {
    /// One server has all slots.
    pub(in crate::redis) fn single(node: Endpoint) -> Arc<Self> {
        Arc::new(Self { nodes: vec![node], owners: None })
    }

    pub(in crate::redis) fn nodes(&self) -> &[Endpoint] {
        &self.nodes
    }

    pub(in crate::redis) fn node(&self, slot: u16) -> Option<&Endpoint> {
        match &self.owners {
            None => self.nodes.first(),
            Some(owners) => self.nodes.get(usize::from(*owners.get(usize::from(slot))?)),
        }
    }

    /// A hash tag whose slot is on this node. A random one: when slots move, it is probably none of them.
    pub(in crate::redis) fn tag_on(&self, node: &Endpoint) -> Option<String> {
        if !self.nodes.contains(node) {
            return None;
        }
        // A node with a single slot of 16,384 is found too, almost certainly.
        let begin = random::number();
        let tags = (0..20 * u64::from(SLOTS)).map(|number| begin.wrapping_add(number).to_string());
        tags.into_iter().find(|tag| self.node(slot(tag)) == Some(node))
    }

    /// Reads the answer to `CLUSTER SLOTS` of a server.
    pub(super) fn from_reply(reply: &Value, asked: &Endpoint) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut map = Self { nodes: Vec::new(), owners: Some(vec![NONE; usize::from(SLOTS)]) };
        for range in ranges {
            map.add_range(range, asked)?;
        }
        (!map.nodes.is_empty()).then_some(map)
    }

    fn add_range(&mut self, range: &Value, asked: &Endpoint) -> Option<()> {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        let host = match host {
            Value::BulkString(host) => std::str::from_utf8(host).ok()?,
            _ => "",
        };
        // The server writes "?" if it does not know the name.
        let node = asked.neighbour(if host == "?" { "" } else { host }, u16::try_from(*port).ok()?);
        let index = self.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let owners = self.owners.as_mut()?.get_mut(first..=last)?;
        owners.fill(u16::try_from(index).ok()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let node = |port| Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node(port), node(port + 100)])
    }

    fn asked() -> Endpoint {
        Endpoint::Tcp { host: "seed".into(), port: 1, tls: false }
    }

    #[test]
    fn each_slot_has_its_master() {
        let reply =
            Value::Array(vec![range(0, 99, "", 7000), range(100, 16_383, "b", 7001), range(5, 5, "b", 7001)]);
        let map = SlotMap::from_reply(&reply, &asked()).unwrap();
        let at = |slot| map.node(slot).map(ToString::to_string);
        assert_eq!(at(0).as_deref(), Some("seed:7000"));
        assert_eq!(at(5).as_deref(), Some("b:7001"));
        assert_eq!(at(16_383).as_deref(), Some("b:7001"));
        assert_eq!(map.nodes().len(), 2);
        for node in map.nodes() {
            assert_eq!(map.node(slot(&map.tag_on(node).unwrap())), Some(node));
        }
        assert_eq!(map.tag_on(&asked()), None);
    }

    #[test]
    fn a_slot_without_a_master_has_none() {
        let map = SlotMap::from_reply(&Value::Array(vec![range(1, 2, "a", 1)]), &asked()).unwrap();
        assert_eq!(map.node(0), None);
    }

    #[test]
    fn nonsense_is_no_map() {
        for reply in [Value::Nil, Value::Array(vec![]), Value::Array(vec![range(0, 20_000, "a", 1)])] {
            assert_eq!(SlotMap::from_reply(&reply, &asked()), None);
        }
    }
}
