//! Options of the other commands.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ValueEnum, ValueHint};

use super::{
    ConnectionArgs,
    values::{duration, positive, size, speed},
};

#[derive(Args)]
#[command(group = ArgGroup::new("mode").required(true))]
pub(crate) struct ListenArgs {
    /// A port, HOST:PORT, or unix:PATH; a port alone listens on 127.0.0.1
    pub(crate) address: String,

    /// Sends each message back
    #[arg(long, group = "mode")]
    echo: bool,

    /// Sends each message to all other connections
    #[arg(long, group = "mode")]
    broadcast: bool,

    /// Runs a shell command for each connection: messages are its input lines, its output lines are messages
    ///
    /// The command has WS_PATH, WS_QUERY, WS_PEER and WS_SUBPROTOCOL in its environment.
    #[arg(long, group = "mode", value_name = "COMMAND")]
    exec: Option<String>,

    /// Supports a subprotocol; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    /// The certificate chain for wss, in PEM
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,

    /// The private key for wss, in PEM
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,

    /// A web page's origin that may connect, or `any`; may be repeated. Default: pages of the same host
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,

    /// The most connections at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub(crate) max_connections: usize,

    /// The longest message, in bytes; k, M and G are powers of 1024
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = size)]
    pub(crate) max_size: usize,

    /// Does not support compression
    #[arg(long)]
    pub(crate) no_compress: bool,
}

/// What `ws listen` does with messages.
pub(crate) enum Mode {
    Echo,
    Broadcast,
    Exec(String),
}

impl ListenArgs {
    pub(crate) fn mode(&self) -> Mode {
        match &self.exec {
            Some(command) => Mode::Exec(command.clone()),
            None if self.broadcast => Mode::Broadcast,
            None => Mode::Echo,
        }
    }
}

#[derive(Args)]
pub(crate) struct PingArgs {
    /// The server
    pub(crate) url: String,

    /// Ends after COUNT pings. Default: when interrupted
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,

    /// The time between two pings
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,

    /// The longest time to wait for a pong
    #[arg(short = 'W', long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Offers a subprotocol; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// An echo server
    pub(crate) url: String,

    /// The number of connections
    #[arg(short, long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Messages per second, all connections together
    ///
    /// Each message has a time at which it is due. Its latency counts from that time, also if it is sent later because
    /// the server or the network stalls.
    #[arg(short, long, value_name = "RATE", default_value = "1000", value_parser = positive)]
    pub(crate) rate: f64,

    /// The payload of a message, in bytes; k, M and G are powers of 1024
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = size)]
    pub(crate) size: usize,

    /// How long messages are sent
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,

    /// How long to wait for answers after the last message
    #[arg(short = 'W', long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Sends binary messages. Default: text
    #[arg(short = 'b', long)]
    pub(crate) binary: bool,

    /// Prints the result as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Offers a subprotocol; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Args)]
pub(crate) struct RecordArgs {
    /// The server
    pub(crate) url: String,

    /// The file to write; `-` is the standard output
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Offers a subprotocol; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    /// Ends after COUNT received messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Ends after this time, with exit code 0
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// A recording; `-` is the standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The server
    pub(crate) url: String,

    /// The speed: 2x halves all pauses, `max` leaves them out
    #[arg(long, default_value = "1x", value_parser = speed)]
    pub(crate) speed: f64,

    /// Which messages of the recording to send
    #[arg(long, value_enum, default_value_t = DirectionArg::Out, value_name = "WHICH")]
    pub(crate) direction: DirectionArg,

    /// Offers a subprotocol; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    /// After the last message, closes when nothing was received for this time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) linger: Duration,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectionArg {
    /// Those that were sent
    Out,
    /// Those that were received
    In,
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args)]
pub(crate) struct ManArgs {
    /// The command, such as `bench`. Default: `ws` itself
    pub(crate) command: Option<String>,
}
