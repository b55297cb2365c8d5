//! Nodes under load: publishers and members on each of them, and the laws that what the members got must keep.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::duplex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use ws_cluster::{Backplane, BackplaneError, Cluster, ClusterError, ClusterEvent, Health, LogOptions, Mode};
use ws_server::{
    Config, WebSocket,
    topics::{Position, SlowPolicy, Topics},
};

use crate::support::{LIMIT, options};

/// Publishers of each node, half of them for the logged topic.
const PUBLISHERS: usize = 4;

/// The pause of a publisher. It spares the machine; nothing depends on it.
const PAUSE: Duration = Duration::from_millis(1);

/// The topics of a load. The logged one begins with `log`.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) live: String,
    pub(crate) logged: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { live: "news".to_owned(), logged: "log".to_owned() }
    }
}

/// How long the broker keeps entries: all of a test.
pub(crate) const LOG: LogOptions = LogOptions::new(1_000_000, Duration::from_secs(300));

pub(crate) struct Load {
    names: Names,
    pub(crate) nodes: Vec<Node>,
    publishers: Vec<JoinHandle<Sent>>,
    stop: Arc<AtomicBool>,
    started: Instant,
}

pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    live: Arc<Mutex<Vec<Got>>>,
    logged: Arc<Mutex<Vec<Got>>>,
    gaps: Arc<Mutex<Vec<ClusterEvent>>>,
}

/// A publication as a member got it.
#[derive(Clone)]
struct Got {
    position: Option<Position>,
    publisher: usize,
    number: u64,
}

/// What a publisher has published: the numbers from 1 on.
struct Sent {
    publisher: usize,
    /// The node that it belongs to.
    node: usize,
    is_logged: bool,
    /// Those that the broker has, with their positions.
    taken: Vec<(u64, Option<Position>)>,
    /// How many failed, and how many of these the broker may have.
    failed: usize,
    unknown: HashSet<u64>,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Publications that the broker took.
    pub(crate) live: usize,
    pub(crate) logged: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    /// Live publications that members of other nodes missed.
    pub(crate) missed_live: usize,
    /// Entries that members missed although the broker had taken them.
    pub(crate) missed_logged: usize,
    /// Reported gaps of all nodes.
    pub(crate) live_gaps: usize,
    pub(crate) logged_gaps: usize,
    /// How often nodes have found the broker again.
    pub(crate) ups: usize,
    pub(crate) epochs: usize,
    pub(crate) seconds: f64,
}

impl Node {
    pub(crate) async fn start(backplane: impl Backplane, names: &Names) -> Self {
        let slow = SlowPolicy::disconnect().max_messages(100_000).max_bytes(64 * 1024 * 1024);
        let options = move |topic: &str| options(topic, 500).slow(slow);
        let topics = Topics::builder().options_by_name(options).build().unwrap();
        let cluster = Cluster::builder(&topics, backplane)
            .mode(|topic| if topic.starts_with("log") { Mode::Logged(LOG) } else { Mode::Live })
            .deadline(Duration::from_secs(10))
            .start()
            .unwrap();
        wait_until("the node is healthy", || cluster.health() == Health::Healthy).await;
        // The node reports its first `Up` after its health has changed, and before the entries that it hears then. So it
        // reports only later events to a receiver that begins behind an entry.
        let first = member(&cluster, "log of the start").await;
        cluster.publish("log of the start", "0 1").await.unwrap();
        wait_until("the first entry", || !first.lock().unwrap().is_empty()).await;
        let (mut events, gaps) = (cluster.events(), Arc::new(Mutex::new(Vec::new())));
        let reported = Arc::clone(&gaps);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                assert!(!matches!(event, ClusterEvent::Lagged(_)), "{event:?}");
                reported.lock().unwrap().push(event);
            }
        });
        let live = member(&cluster, &names.live).await;
        let logged = member(&cluster, &names.logged).await;
        Self { cluster, live, logged, gaps }
    }

    /// How often it has found the broker again.
    fn ups(&self) -> usize {
        self.gaps.lock().unwrap().iter().filter(|event| **event == ClusterEvent::Up).count()
    }

    fn gaps(&self, name: &str) -> usize {
        let gaps = self.gaps.lock().unwrap();
        let is_mine = |event: &&ClusterEvent| matches!(event, ClusterEvent::Gap { topics, .. } if topics.iter().any(|topic| **topic == *name));
        gaps.iter().filter(is_mine).count()
    }
}

/// A connection that is a member of the topic. Returns what its peer gets.
async fn member(cluster: &Cluster, topic: &str) -> Arc<Mutex<Vec<Got>>> {
    let (server, client) = duplex(1024 * 1024);
    let mut config = Config::default();
    (config.write_queue_messages, config.write_queue_bytes) = (1_000_000, 256 * 1024 * 1024);
    let config = config.validate().unwrap();
    let mut server = WebSocket::server(server, config.clone());
    let member = cluster.topics().join(&server.sender()).unwrap();
    tokio::spawn(async move { while server.recv().await.is_some() {} });
    cluster.subscribe(&member, topic).await.unwrap();
    let mut peer = WebSocket::client(client, config).unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&got);
    tokio::spawn(async move {
        while let Some(message) = peer.recv().await {
            list.lock().unwrap().push(Got::parse(message.as_text().unwrap()));
        }
    });
    got
}

impl Got {
    fn parse(text: &str) -> Self {
        let (position, text) = match text.split_once('=') {
            Some((position, text)) => (Some(position.parse().unwrap()), text),
            None => (None, text),
        };
        let (publisher, number) = text.split_once(' ').unwrap();
        Self { position, publisher: publisher.parse().unwrap(), number: number.parse().unwrap() }
    }
}

impl Load {
    /// Starts publishers on the first `publishing` nodes.
    pub(crate) fn start(nodes: Vec<Node>, names: Names, publishing: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut publishers = Vec::new();
        for (node, Node { cluster, .. }) in nodes.iter().enumerate().take(publishing) {
            for number in 0..PUBLISHERS {
                let is_logged = number % 2 == 1;
                let topic = if is_logged { names.logged.clone() } else { names.live.clone() };
                let sent = Sent {
                    publisher: node * PUBLISHERS + number,
                    node,
                    is_logged,
                    taken: Vec::new(),
                    failed: 0,
                    unknown: HashSet::new(),
                };
                publishers.push(tokio::spawn(publish(cluster.clone(), topic, sent, Arc::clone(&stop))));
            }
        }
        Self { names, nodes, publishers, stop, started: Instant::now() }
    }

    /// Waits until each member got `count` publications of each publisher that it did not have.
    pub(crate) async fn goes_on(&self, count: u64) {
        let before = self.newest();
        let newest = || self.newest();
        wait_until("all members get what all publish", || {
            let now = newest();
            before.iter().zip(now).all(|(before, now)| {
                now.iter().all(|(publisher, number)| {
                    *number >= before.get(publisher).copied().unwrap_or_default() + count
                }) && now.len() == self.publishers.len() / 2
            })
        })
        .await;
    }

    /// The newest number of each publisher at each member.
    fn newest(&self) -> Vec<HashMap<usize, u64>> {
        let members = self.nodes.iter().flat_map(|node| [&node.live, &node.logged]);
        let newest = |got: &Arc<Mutex<Vec<Got>>>| {
            let mut newest = HashMap::new();
            for got in &*got.lock().unwrap() {
                newest.insert(got.publisher, got.number);
            }
            newest
        };
        members.map(newest).collect()
    }

    /// Waits until this node says that it does not hear the broker.
    pub(crate) async fn wait_until_ill(&self) {
        for node in &self.nodes {
            wait_until("the node notices", || node.cluster.health() != Health::Healthy).await;
        }
    }

    pub(crate) async fn wait_until_healthy(&self) {
        for node in &self.nodes {
            wait_until("the node is healthy", || node.cluster.health() == Health::Healthy).await;
        }
    }

    /// Ends the publishers, waits for the last publications, and checks the laws.
    pub(crate) async fn finish(self) -> Report {
        self.wait_until_healthy().await;
        let seconds = self.started.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for publisher in self.publishers {
            all.push(timeout(LIMIT, publisher).await.expect("in time").unwrap());
        }
        let mut report = Report { seconds, ..Report::default() };
        for sent in &all {
            let last = sent.taken.last().unwrap().0;
            for node in &self.nodes {
                let list = if sent.is_logged { &node.logged } else { &node.live };
                let is_last = |got: &Got| got.publisher == sent.publisher && got.number == last;
                wait_until("the last publication", || list.lock().unwrap().iter().any(is_last)).await;
            }
            report.failed += sent.failed;
            report.unknown += sent.unknown.len();
            *if sent.is_logged { &mut report.logged } else { &mut report.live } += sent.taken.len();
        }
        check_logs(&self.nodes, &all, &self.names, &mut report);
        for (index, node) in self.nodes.iter().enumerate() {
            check_live(node, index, &all, &self.names, &mut report);
        }
        for node in &self.nodes {
            node.cluster.shut_down().await;
        }
        report
    }
}

/// Publishes number after number. The last one is taken by the broker.
async fn publish(cluster: Cluster, topic: String, mut sent: Sent, stop: Arc<AtomicBool>) -> Sent {
    for number in 1.. {
        let is_last = stop.load(Ordering::Relaxed);
        match cluster.publish(&topic, format!("{} {number}", sent.publisher)).await {
            Ok(published) => {
                sent.taken.push((number, published.position));
                if is_last {
                    return sent;
                }
            }
            Err(error) => {
                sent.failed += 1;
                if may_be_published(&error) {
                    sent.unknown.insert(number);
                }
            }
        }
        sleep(PAUSE).await;
    }
    sent
}

fn may_be_published(error: &ClusterError) -> bool {
    match error {
        ClusterError::NotPublished { members, source } => {
            *members > 0
                || matches!(source, BackplaneError::TimedOut { .. } | BackplaneError::Disconnected { .. })
        }
        _ => false,
    }
}

/// One order for all members of all nodes, each entry once, and nothing missing without a gap.
fn check_logs(nodes: &[Node], all: &[Sent], names: &Names, report: &mut Report) {
    let mut texts: HashMap<(u64, u64), (usize, u64)> = HashMap::new();
    let mut epochs = Vec::new();
    for node in nodes {
        let got = node.logged.lock().unwrap();
        let mut last: Option<Position> = None;
        let (mut here, mut gone) = (HashMap::new(), HashSet::new());
        for Got { position, publisher, number } in &*got {
            let position = position.expect("a position");
            if let Some(last) = last {
                let follows = position.epoch != last.epoch || position.offset > last.offset;
                assert!(follows, "{position} after {last}");
                if position.epoch != last.epoch {
                    gone.insert(last.epoch);
                }
            }
            assert!(!gone.contains(&position.epoch), "{position} of an epoch that is over");
            if !epochs.contains(&position.epoch) {
                epochs.push(position.epoch);
            }
            last = Some(position);
            let key = (position.epoch, position.offset);
            let text = *texts.entry(key).or_insert((*publisher, *number));
            assert_eq!(text, (*publisher, *number), "one publication for one position, {position}");
            let is_first = here.insert((*publisher, *number), position).is_none();
            assert!(is_first, "{publisher} {number} came twice");
        }
        let mut missed = 0;
        for sent in all.iter().filter(|sent| sent.is_logged) {
            for (number, position) in &sent.taken {
                match here.get(&(sent.publisher, *number)) {
                    Some(at) => assert_eq!(Some(*at), *position, "the position that was promised"),
                    None => missed += 1,
                }
            }
            check_order(&got, sent);
        }
        let gaps = node.gaps(&names.logged);
        assert!(missed == 0 || gaps > 0, "{missed} entries are missing, and no gap was reported");
        report.missed_logged += missed;
        report.logged_gaps += gaps;
    }
    report.epochs = epochs.len();
}

/// Each publisher's order, nothing twice, all of this node's own, and nothing of others missing without a gap.
fn check_live(node: &Node, index: usize, all: &[Sent], names: &Names, report: &mut Report) {
    let got = node.live.lock().unwrap();
    let gaps = node.gaps(&names.live);
    report.live_gaps += gaps;
    report.ups += node.ups();
    for sent in all.iter().filter(|sent| !sent.is_logged) {
        let numbers = check_order(&got, sent);
        let mut holes = 0;
        let mut was_missing = false;
        for (number, _) in &sent.taken {
            let is_missing = !numbers.contains(number);
            holes += usize::from(is_missing && !was_missing);
            was_missing = is_missing;
            report.missed_live += usize::from(is_missing);
        }
        assert!(sent.node != index || holes == 0, "a node misses its own publications");
        assert!(holes <= gaps, "{holes} holes, but {gaps} gaps were reported");
    }
}

/// Nothing twice; what the publisher knows to be taken is in order. Returns the numbers.
fn check_order(got: &[Got], sent: &Sent) -> HashSet<u64> {
    let mut numbers = HashSet::new();
    let mut last = 0;
    for got in got.iter().filter(|got| got.publisher == sent.publisher) {
        assert!(numbers.insert(got.number), "{} {} came twice", got.publisher, got.number);
        // A publication whose answer was lost may come late.
        if !sent.unknown.contains(&got.number) {
            assert!(got.number > last, "{} of {} after {last}", got.number, got.publisher);
            last = got.number;
        }
    }
    numbers
}

/// Asks again until it holds. Only for what has no event.
pub(crate) async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let asked = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
