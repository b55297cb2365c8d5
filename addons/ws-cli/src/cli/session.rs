//! Options of `ws URL`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    ConnectionArgs,
    values::{Limit, duration, limit},
};

#[derive(Args)]
pub(crate) struct SessionArgs {
    /// The server: ws://, wss:// or ws+unix:/SOCKET:/PATH; a URL without a scheme is ws://
    pub(crate) url: Option<String>,

    /// Offers a subprotocol; may be repeated, the most preferred one first
    #[arg(short, long, value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,

    /// Ends after COUNT received messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// After the end of the input, closes when nothing was received for this time; `inf` waits for the server's Close
    ///
    /// Default: 1s once as many messages were received as sent, and 5s before that; `inf` with --count.
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub(crate) linger: Option<Limit>,

    /// Ends with exit code 124 after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Connects again when the connection is lost, and until it is there at first
    ///
    /// Shows on stderr when there is no connection and when there is one again. The pauses are random and grow to 30s.
    /// Input waits for a connection; a line on a terminal is refused while there is none. What was sent is never sent
    /// again. It ends when another attempt is of no use, such as after status 404 or close code 1008.
    #[arg(long)]
    pub(crate) reconnect: bool,

    /// With --reconnect: gives up after this time without a connection; the default is to try forever
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "reconnect")]
    pub(crate) reconnect_max: Option<Duration>,

    /// Does not read the input: only receives
    #[arg(long)]
    pub(crate) no_input: bool,

    /// On a terminal: indents messages that are JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// On a terminal: shows the time of each message
    #[arg(short = 't', long)]
    pub(crate) timestamps: bool,

    /// On a terminal: does not read or write the history file
    #[arg(long)]
    pub(crate) no_history: bool,

    /// When to use colours
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN")]
    pub(crate) color: ColorArg,

    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// How messages are separated in the input and the output.
#[derive(Args, Clone, Copy, Default)]
#[command(next_help_heading = "Format in a pipe")]
pub(crate) struct FramingArgs {
    /// Messages end with a zero byte, in place of a line break
    #[arg(long, short = '0', conflicts_with_all = ["length_prefixed", "whole", "jsonl"])]
    pub(crate) null: bool,

    /// Each message follows its length as four bytes, the most significant first
    #[arg(long, conflicts_with_all = ["whole", "jsonl"])]
    pub(crate) length_prefixed: bool,

    /// The whole input is one message; nothing is added to the output
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) whole: bool,

    /// JSON lines in both directions, with type, time and text or base64
    #[arg(long)]
    pub(crate) jsonl: bool,

    /// Sends binary messages; the default is text, which must be UTF-8
    #[arg(short = 'b', long, conflicts_with = "jsonl")]
    pub(crate) binary: bool,
}

impl FramingArgs {
    /// Whether a format was chosen. Then `ws` does not edit lines, even on a terminal.
    pub(crate) const fn is_chosen(self) -> bool {
        self.null || self.length_prefixed || self.whole || self.jsonl || self.binary
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}
