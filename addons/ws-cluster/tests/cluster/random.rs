//! Peers that lose their connection and come back to any node, and a broker that stays.

use ws_cluster::MemoryBroker;
use ws_server::topics::{Position, Recovered};

use super::{Node, Peer};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What a peer has of the log.
struct Reader {
    peer: Option<Peer>,
    at: Option<Position>,
    texts: Vec<String>,
}

impl Reader {
    async fn connect(&mut self, node: &Node) {
        let peer = node.connect();
        match self.at {
            Some(at) => {
                let subscribed = node.cluster.subscribe_from(&peer.member, "log", at).await.unwrap();
                assert!(matches!(subscribed.recovered, Recovered::All { .. }), "{subscribed:?}");
            }
            None => {
                let subscribed = node.cluster.subscribe(&peer.member, "log").await.unwrap();
                self.at = subscribed.position;
            }
        }
        self.peer = Some(peer);
    }

    async fn read(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        let (position, text) = peer.entry().await;
        let at = self.at.expect("it has subscribed");
        assert_eq!(position, Position { offset: at.offset + 1, ..at }, "each entry once, in order");
        self.at = Some(position);
        self.texts.push(text);
    }

    /// Whether there is something that it has not read.
    fn is_behind(&self, newest: u64) -> bool {
        self.peer.is_some() && self.at.is_some_and(|at| at.offset < newest)
    }
}

async fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let broker = MemoryBroker::new();
    let nodes: Vec<_> = (0..3).map(|_| Node::new(&broker)).collect();
    let mut readers: Vec<_> = (0..6).map(|_| Reader { peer: None, at: None, texts: Vec::new() }).collect();
    let mut newest = 0;
    for reader in &mut readers {
        reader.connect(&nodes[random.below(3)]).await;
    }
    for _ in 0..80 {
        let node = &nodes[random.below(3)];
        let reader = random.below(6);
        match random.below(8) {
            0 => readers[reader].peer = None,
            1 if readers[reader].peer.is_none() => readers[reader].connect(node).await,
            2..5 => {
                newest += 1;
                let position = node.publish("log", newest).await.expect("logged");
                assert_eq!(position.offset, newest);
            }
            _ if readers[reader].is_behind(newest) => readers[reader].read().await,
            _ => {}
        }
    }
    for reader in &mut readers {
        if reader.peer.is_none() {
            reader.connect(&nodes[random.below(3)]).await;
        }
        while reader.is_behind(newest) {
            reader.read().await;
        }
        let expected: Vec<_> = (1..=newest).map(|number| number.to_string()).collect();
        assert_eq!(reader.texts, expected, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_come_back_to_any_node_get_each_entry_once() {
    for seed in 1..=60 {
        run(seed).await;
    }
}
