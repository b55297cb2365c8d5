//! The cases. A new case is one entry here: options for the load generator, and the columns of its table.

use crate::case::{Better, Case, Column, Role, Unit};

const fn column(key: &'static str, title: &'static str, unit: Unit) -> Column {
    Column { key, title, unit, compared: None }
}

const fn compared(key: &'static str, title: &'static str, unit: Unit, better: Better) -> Column {
    Column { key, title, unit, compared: Some(better) }
}

const P50: Column = column("p50_us", "p50 µs", Unit::Microseconds);
const P99: Column = column("p99_us", "p99 µs", Unit::Microseconds);
const P999: Column = column("p999_us", "p99.9 µs", Unit::Microseconds);
const PEAK: Column = column("peak_resident_bytes", "peak RSS", Unit::Bytes);
const BUSY: Column = column("server_busy", "server busy", Unit::Percent);
const CLIENT_BUSY: Column = column("client_busy", "client busy", Unit::Percent);
const CPU: Column = compared("cpu_ns_per_message", "CPU ns/message", Unit::Nanoseconds, Better::Less);

static ECHO: &[Column] =
    &[compared("messages_per_s", "messages/s", Unit::Count, Better::More), CPU, P50, P99, P999, PEAK, BUSY];

static LARGE: &[Column] = &[
    compared("payload_bytes_per_s", "payload MB/s", Unit::MegabytesPerSecond, Better::More),
    CPU,
    P50,
    P99,
    PEAK,
    BUSY,
];

static IDLE: &[Column] = &[
    compared("idle_bytes_per_connection", "bytes/connection", Unit::Count, Better::Less),
    compared("settled_bytes_per_connection", "settled after burst", Unit::Count, Better::Less),
    column("burst_bytes_per_connection", "right after burst", Unit::Count),
    column("burst_connections", "had their burst", Unit::Count),
    PEAK,
];

static IDLE_ONCE: &[Column] =
    &[compared("idle_bytes_per_connection", "bytes/connection", Unit::Count, Better::Less), PEAK];

static DEFLATE: &[Column] = &[
    compared("messages_per_s", "messages/s", Unit::Count, Better::More),
    CPU,
    column("echo_bytes", "bytes/echo", Unit::Count),
    P50,
    P99,
    PEAK,
    BUSY,
];

static BESIDE: &[Column] = &[
    column("p999_ratio", "p99.9 with / without", Unit::Ratio),
    column("p999_alone_us", "p99.9 µs without", Unit::Microseconds),
    P999,
    compared("messages_per_s", "messages/s", Unit::Count, Better::More),
    CPU,
    BUSY,
];

static STORM: &[Column] = &[
    compared("handshakes_per_s", "handshakes/s", Unit::Count, Better::More),
    compared("cpu_ns_per_handshake", "CPU ns/handshake", Unit::Nanoseconds, Better::Less),
    P50,
    P99,
    PEAK,
    column("leaked_files", "descriptors left", Unit::Count),
];

static BROADCAST: &[Column] = &[
    compared("deliveries_per_s", "deliveries/s", Unit::Count, Better::More),
    compared("cpu_ns_per_delivery", "CPU ns/delivery", Unit::Nanoseconds, Better::Less),
    P50,
    P99,
    PEAK,
    BUSY,
];

static CLIENT: &[Column] =
    &[CPU, compared("messages_per_s", "messages/s", Unit::Count, Better::More), PEAK, CLIENT_BUSY];

static RECEIVER: &[Column] = &[
    CPU,
    compared("messages_per_s", "messages/s", Unit::Count, Better::More),
    column("payload_bytes_per_s", "payload MB/s", Unit::MegabytesPerSecond),
    PEAK,
    CLIENT_BUSY,
];

static MILLION: &[Column] = &[
    compared("idle_bytes_per_connection", "bytes/connection", Unit::Count, Better::Less),
    column("idle_connections", "connections", Unit::Count),
    column("kernel_bytes_per_connection", "kernel, both ends", Unit::Count),
    column("generator_bytes_per_connection", "generator", Unit::Count),
    PEAK,
];

const fn echo(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case {
        name,
        title,
        role: Role::Echo,
        load,
        server_options: "",
        cores: 1,
        undisturbed: None,
        max_rounds: usize::MAX,
        on_demand: false,
        columns: ECHO,
    }
}

const fn large(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { columns: LARGE, ..echo(name, title, load) }
}

const fn deflate(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Deflate, columns: DEFLATE, ..echo(name, title, load) }
}

const fn axum(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Axum, on_demand: true, ..echo(name, title, load) }
}

const fn client(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Client, columns: CLIENT, ..echo(name, title, load) }
}

const fn receiver(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Receiver, columns: RECEIVER, ..echo(name, title, load) }
}

const fn tls(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Tls, ..echo(name, title, load) }
}

const fn shards(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Shards, cores: 2, ..echo(name, title, load) }
}

const SMALL: &str = "--connections 100 --size 20";
const PIPELINED: &str = "--connections 10 --size 64 --depth 64";

const fn one_worker(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Workers, server_options: "--workers 1", ..echo(name, title, load) }
}

const fn two_workers(name: &'static str, title: &'static str, load: &'static str) -> Case {
    Case { role: Role::Workers, server_options: "--workers 2", cores: 2, ..echo(name, title, load) }
}

/// All cases, in the order of the report.
pub(crate) static CASES: &[Case] = &[
    echo("small", "100 connections × 20 B binary, 1 in flight", SMALL),
    echo(
        "text-1k",
        "100 connections × 1 KiB text, 1 in flight",
        "--connections 100 --size 1024 --opcode text",
    ),
    echo("pipelined", "10 connections × 64 B binary, 64 in flight", PIPELINED),
    echo(
        "pipelined-text",
        "50 connections × 1000 B text, 16 in flight",
        "--connections 50 --size 1000 --depth 16 --opcode text",
    ),
    echo(
        "pipelined-300",
        "37 connections × 300 B binary, 7 in flight",
        "--connections 37 --size 300 --depth 7",
    ),
    large("64k", "10 connections × 64 KiB binary, 1 in flight", "--connections 10 --size 65536"),
    large("200k", "4 connections × 200 kB binary, 2 in flight", "--connections 4 --size 200000 --depth 2"),
    large("1m", "2 connections × 1 MiB binary, 1 in flight", "--connections 2 --size 1048576"),
    large("16m", "1 connection × 16 MiB binary, 1 in flight", "--connections 1 --size 16777216"),
    large("100m", "1 connection × 100 MiB binary, 1 in flight", "--connections 1 --size 104857600"),
    Case {
        max_rounds: 2,
        columns: IDLE,
        ..echo(
            "idle",
            "10,000 idle connections after one message each, then after 1 MiB each",
            "--connections 0 --idle 10000 --idle-burst 1048576",
        )
    },
    Case {
        max_rounds: 1,
        on_demand: true,
        columns: IDLE,
        ..echo(
            "idle-50k",
            "50,000 idle connections after one message each, then after 1 MiB each",
            "--connections 0 --idle 50000 --idle-burst 1048576 --max-resident-mib 12288",
        )
    },
    Case {
        undisturbed: Some(SMALL),
        columns: BESIDE,
        ..echo(
            "beside-idle",
            "100 connections × 20 B beside 10,000 idle ones",
            "--connections 100 --size 20 --idle 10000",
        )
    },
    Case {
        columns: STORM,
        ..echo(
            "storm",
            "10,000 handshakes, 64 at a time, all kept open",
            "--connect-storm 10000 --at-once 64",
        )
    },
    Case {
        role: Role::Broadcast,
        columns: BROADCAST,
        ..echo(
            "broadcast-1k",
            "one 100 B message at a time to 1,000 connections",
            "--broadcast-receivers 1000 --size 100",
        )
    },
    Case {
        role: Role::Broadcast,
        columns: BROADCAST,
        ..echo(
            "broadcast-10k",
            "one 100 B message at a time to 10,000 connections",
            "--broadcast-receivers 10000 --size 100",
        )
    },
    Case {
        role: Role::Broadcast,
        columns: BROADCAST,
        ..echo(
            "broadcast-topics",
            "100 topics × 100 connections, 10 × 100 B at a time in each",
            "--broadcast-receivers 9999 --broadcast-groups 100 --depth 10 --size 100",
        )
    },
    deflate(
        "deflate-1k",
        "100 connections × 1000 B JSON compressed, 1 in flight",
        "--connections 100 --size 1000",
    ),
    deflate(
        "deflate-16k",
        "20 connections × 16 KiB JSON compressed, 1 in flight",
        "--connections 20 --size 16384",
    ),
    Case {
        max_rounds: 2,
        columns: IDLE_ONCE,
        ..deflate(
            "deflate-idle-1k",
            "1,000 idle connections after one compressed message of 1000 B each",
            "--idle 1000 --size 1000",
        )
    },
    Case {
        max_rounds: 2,
        columns: IDLE_ONCE,
        ..deflate(
            "deflate-idle-10k",
            "10,000 idle connections after one compressed message of 1000 B each",
            "--idle 10000 --size 1000",
        )
    },
    axum("axum-small", "inside axum: 100 connections × 20 B binary, 1 in flight", SMALL),
    axum("axum-pipelined", "inside axum: 10 connections × 64 B binary, 64 in flight", PIPELINED),
    Case {
        max_rounds: 3,
        columns: IDLE_ONCE,
        ..axum(
            "axum-idle",
            "inside axum: 10,000 idle connections after one message each",
            "--connections 0 --idle 10000",
        )
    },
    client("client-small", "one client, 20 B binary, 1 in flight", "--size 20"),
    client("client-1k", "one client, 1 KiB binary, 1 in flight", "--size 1024"),
    client("client-64k", "one client, 64 KiB binary, 1 in flight", "--size 65536"),
    client("client-1m", "one client, 1 MiB binary, 1 in flight", "--size 1048576"),
    receiver("stream-40", "one client receives a stream of 40 B messages", "--receive --size 40"),
    receiver("stream-200", "one client receives a stream of 200 B messages", "--receive --size 200"),
    receiver("stream-1k", "one client receives a stream of 1000 B messages", "--receive --size 1000"),
    receiver("stream-20k", "one client receives a stream of 20,000 B messages", "--receive --size 20000"),
    one_worker("workers-1-small", "runtime of 1 worker: 100 connections × 20 B, 1 in flight", SMALL),
    one_worker("workers-1-pipelined", "runtime of 1 worker: 10 connections × 64 B, 64 in flight", PIPELINED),
    two_workers("workers-2-small", "runtime of 2 workers: 100 connections × 20 B, 1 in flight", SMALL),
    two_workers(
        "workers-2-pipelined",
        "runtime of 2 workers: 10 connections × 64 B, 64 in flight",
        PIPELINED,
    ),
    shards("shards-small", "1 and 2 shards: 100 connections × 20 B, 1 in flight", SMALL),
    shards("shards-pipelined", "1 and 2 shards: 10 connections × 64 B, 64 in flight", PIPELINED),
    tls("tls-small", "TLS 1.3: 100 connections × 20 B binary, 1 in flight", SMALL),
    tls("tls-64k", "TLS 1.3: 10 connections × 64 KiB binary, 1 in flight", "--connections 10 --size 65536"),
    echo(
        "mixed",
        "100 connections, 90 % of messages 20–100 B, 10 % 16 KiB, a ping before 10 %, 1 in flight",
        "--mixed --connections 100",
    ),
    Case {
        role: Role::Million,
        max_rounds: 1,
        on_demand: true,
        columns: MILLION,
        ..echo(
            "idle-1m",
            "1,000,000 idle connections after one message each, or as many as fit into memory",
            "--connections 0 --idle 1000000 --at-once 256 --min-available-mib 2048",
        )
    },
];

#[cfg(test)]
mod tests {
    use super::CASES;
    use crate::servers::SERVERS;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }

    #[test]
    fn each_case_has_servers_and_its_base_among_them() {
        for case in CASES {
            let mut servers = SERVERS.iter().filter(|server| server.takes_part(case));
            match case.role.base() {
                Some((base, _)) => assert!(servers.any(|server| server.name == base), "{}", case.name),
                None => assert!(servers.next().is_some(), "{}", case.name),
            }
        }
    }
}
