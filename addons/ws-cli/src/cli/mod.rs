//! The command line: one definition, from which the parser, the help, the completions and the man page come.

mod connection;
mod session;
mod tools;
pub(crate) mod values;

use clap::{CommandFactory as _, Parser, Subcommand};

pub(crate) use connection::{ConnectionArgs, RootsArg};
pub(crate) use session::{ColorArg, FramingArgs, SessionArgs};
pub(crate) use tools::{
    BenchArgs, CompletionsArgs, DirectionArg, ListenArgs, ManArgs, Mode, PingArgs, RecordArgs, ReplayArgs,
};

/// WebSockets on the command line.
///
/// `ws URL` connects. On a terminal it edits lines and keeps a history; `/help` lists its commands. In a pipe, one line
/// is one message, in both directions.
#[derive(Parser)]
#[command(name = "ws", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    closed with 1000 or 1001 or without a code, or ended as asked
  1    usage, or a local file or stream failed
  2    the name, the network or the proxy failed
  3    TLS failed
  4    the server answered with another status than 101
  5    the protocol was violated, or a limit was exceeded
  6    the connection ended without a Close
  7    closed with another code, or before all input was sent
  124  a timeout passed
  130  interrupted";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Listens, and echoes, broadcasts or runs a command for each connection
    Listen(ListenArgs),
    /// Measures the round-trip time with ping frames
    Ping(PingArgs),
    /// Measures the latency of an echo server under load
    Bench(BenchArgs),
    /// Records a connection as JSON lines
    Record(RecordArgs),
    /// Sends the messages of a recording again
    Replay(ReplayArgs),
    /// Prints completions for a shell
    Completions(CompletionsArgs),
    /// Prints the man page
    Man(ManArgs),
}

/// The definition, for completions and the man page.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
