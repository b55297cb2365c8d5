//! Redis clusters for tests.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::server::{LIMIT, Server, free_port};

const SLOTS: u32 = 16_384;

/// Three masters, and as many replicas if wanted.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) async fn start(with_replicas: bool) -> Option<Self> {
        let mut servers = Vec::new();
        // After this time, in milliseconds, a replica takes the place of a master. Without replicas, that would end the
        // test.
        let node_timeout = if with_replicas { "5000" } else { "60000" };
        for number in 0..if with_replicas { 6 } else { 3 } {
            let options = [
                ["--cluster-enabled", "yes"],
                ["--cluster-node-timeout", node_timeout],
                ["--cluster-replica-validity-factor", "0"],
                ["--repl-diskless-sync-delay", "0"],
            ];
            let server = Server::start_on(free_port(), options.as_flattened()).await?;
            let () = server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            servers.push(server);
        }
        let cluster = Self { servers };
        for (number, server) in cluster.servers.iter().take(3).enumerate() {
            let bound = |number: usize| number as u32 * SLOTS / 3;
            let (first, last) = (bound(number).to_string(), (bound(number + 1) - 1).to_string());
            let () = server.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        }
        for server in &cluster.servers[1..] {
            let port = server.port.to_string();
            let () = cluster.servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]).await;
        }
        let known = format!("cluster_known_nodes:{}", cluster.servers.len());
        for server in &cluster.servers {
            server.wait_for_info(&["CLUSTER", "INFO"], &["cluster_state:ok", &known]).await;
        }
        for (number, server) in cluster.servers.iter().enumerate().skip(3) {
            let () = server.command(&["CLUSTER", "REPLICATE", &cluster.id(number - 3).await]).await;
            server.wait_for_info(&["INFO", "replication"], &["master_link_status:up"]).await;
        }
        if with_replicas {
            cluster.wait_for_replicas().await;
        }
        Some(cluster)
    }

    /// Waits until each server knows the replica of each master: only then it takes part in a failover.
    async fn wait_for_replicas(&self) {
        for master in 0..3 {
            let id = self.id(master).await;
            for server in &self.servers {
                let known = async {
                    while server.command::<Vec<String>>(&["CLUSTER", "REPLICAS", &id]).await.is_empty() {
                        sleep(Duration::from_millis(20)).await;
                    }
                };
                timeout(LIMIT, known).await.unwrap();
            }
        }
    }

    async fn id(&self, number: usize) -> String {
        self.servers[number].command(&["CLUSTER", "MYID"]).await
    }

    /// The slot of a topic, and the number of the master that it belonged to in the beginning.
    pub(crate) async fn home(&self, topic: &str) -> (u32, usize) {
        let slot: u32 = self.servers[0].command(&["CLUSTER", "KEYSLOT", &format!("{{t:{topic}}}")]).await;
        (slot, (slot * 3 / SLOTS) as usize)
    }

    /// A topic of this master, whose name begins so.
    pub(crate) async fn topic_on(&self, master: usize, prefix: &str) -> String {
        for number in 0.. {
            let topic = format!("{prefix}{number}");
            if self.home(&topic).await.1 == master {
                return topic;
            }
        }
        unreachable!()
    }

    /// Moves a slot with its keys, as `redis-cli --cluster reshard` does.
    pub(crate) async fn migrate(&self, slot: u32, from: usize, to: usize) {
        let slot = slot.to_string();
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (source_id, target_id) = (self.id(from).await, self.id(to).await);
        let () = target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
        let () = source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
        let port = target.port.to_string();
        loop {
            let keys: Vec<String> = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await;
            let Some(key) = keys.first() else { break };
            let () = source.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "10000"]).await;
        }
        for server in [target, source].into_iter().chain(&self.servers[..3]) {
            let () = server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        }
    }
}

impl Server {
    /// Waits until the answer has all of these lines.
    pub(crate) async fn wait_for_info(&self, command: &[&str], lines: &[&str]) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let info: String = self.command(command).await;
            if lines.iter().all(|line| info.lines().any(|own| own == *line)) {
                return;
            }
            assert!(Instant::now() < deadline, "{lines:?} is not in {info}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
