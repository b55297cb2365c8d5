//! The command line.

use crate::plan::Opcode;
use crate::stream::TlsSettings;
use bench_common::args::Args;
use bench_common::os::Process;
use std::net::SocketAddrV4;
use std::time::Duration;

/// All options; see the README.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) addr: SocketAddrV4,
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) depth: u64,
    pub(crate) opcode: Opcode,
    pub(crate) seconds: Duration,
    pub(crate) warmup: Duration,
    pub(crate) idle: usize,
    pub(crate) idle_burst: Option<usize>,
    pub(crate) connect_storm: usize,
    pub(crate) broadcast_receivers: usize,
    pub(crate) broadcast_groups: usize,
    pub(crate) at_once: usize,
    pub(crate) deflate: bool,
    pub(crate) mixed: bool,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) server: Option<Process>,
    pub(crate) max_resident: u64,
    /// No more idle connections are opened if less memory than this is available.
    pub(crate) min_available: u64,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut args = Args::from_env()?;
        let opcode = match args.take("opcode", String::from("binary"))?.as_str() {
            "text" => Opcode::Text,
            "binary" => Opcode::Binary,
            other => return Err(format!("--opcode text|binary, not `{other}`")),
        };
        let burst = match args.take_optional::<String>("idle-burst")? {
            None => None,
            Some(value) if value.is_empty() => Some(1 << 20),
            Some(value) => Some(value.parse().map_err(|_| format!("--idle-burst: cannot read `{value}`"))?),
        };
        let options = Self {
            addr: args.take_optional("addr")?.ok_or("--addr IP:PORT is missing")?,
            connections: args.take("connections", 100)?,
            size: args.take("size", 20)?,
            depth: args.take("depth", 1)?,
            opcode,
            seconds: Duration::from_secs_f64(args.take("seconds", 3.0)?),
            warmup: Duration::from_secs_f64(args.take("warmup", 0.5)?),
            idle: args.take("idle", 0)?,
            idle_burst: burst,
            connect_storm: args.take("connect-storm", 0)?,
            broadcast_receivers: args.take("broadcast-receivers", 0)?,
            broadcast_groups: args.take("broadcast-groups", 1)?,
            at_once: args.take("at-once", 64)?,
            deflate: args.take_flag("deflate"),
            mixed: args.take_flag("mixed"),
            tls: args.take_optional::<String>("tls")?.map(|file| TlsSettings::trusting(&file)).transpose()?,
            server: args.take_optional("server-pid")?.map(|pid| Process { pid }),
            max_resident: args.take("max-resident-mib", 6144_u64)? << 20,
            min_available: args.take("min-available-mib", 0_u64)? << 20,
        };
        args.finish()?;
        if options.depth == 0 || options.at_once == 0 || options.broadcast_groups == 0 {
            return Err(String::from("--depth, --at-once and --broadcast-groups start at 1"));
        }
        if options.tls.is_some() && (options.mixed || options.deflate) {
            // Their loops do not wait for room in the kernel's buffer.
            return Err(String::from("--tls: not with --mixed or --deflate"));
        }
        if options.broadcast_receivers > 0 && options.broadcast_groups > options.broadcast_receivers {
            return Err(String::from("--broadcast-groups: fewer than --broadcast-receivers"));
        }
        Ok(options)
    }
}
