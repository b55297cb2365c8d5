//! `ws`: WebSockets on the command line.

mod bench;
mod cli;
mod connect;
mod console;
mod escape;
mod events;
mod exit;
mod generate;
mod latency;
mod listen;
mod ping;
mod pipe;
mod record;
mod terminal;

use std::{
    io::{IsTerminal as _, stdin, stdout},
    process::ExitCode,
};

use clap::Parser as _;
use ws_client::reconnecting::WhileAway;

use cli::{Cli, Command, SessionArgs};
use connect::{Link, Target};
use exit::{Code, Failure, Outcome};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are no errors.
            let code = u8::from(error.use_stderr());
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Prints the error, and returns its code.
fn report(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        console::err(format!("ws: {}", escape::line(&failure.message)));
    }
    if !failure.detail.is_empty() {
        console::err(escape::lines(&failure.detail));
    }
    ExitCode::from(failure.code as u8)
}

fn run(cli: Cli) -> Outcome {
    // One thread is enough for one connection, and starts faster.
    let mut builder = match &cli.command {
        Some(Command::Listen(_) | Command::Bench(_)) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime =
        builder.enable_all().build().map_err(|error| Failure::local("the runtime cannot start", &error))?;
    let result = runtime.block_on(async {
        match cli.command {
            None => connect(cli.session).await,
            Some(Command::Record(args)) => record::record(args).await,
            Some(Command::Replay(args)) => record::replay(args).await,
            Some(Command::Listen(args)) => listen::listen(args).await,
            Some(Command::Ping(args)) => ping::ping(args).await,
            Some(Command::Bench(args)) => bench::bench(args).await,
            Some(Command::Completions(args)) => generate::completions(args.shell),
            Some(Command::Man(args)) => generate::man(args.command.as_deref()),
        }
    });
    // Does not wait for a name resolution that may still run.
    runtime.shutdown_background();
    result
}

async fn connect(args: SessionArgs) -> Outcome {
    let Some(url) = &args.url else {
        return Err(Failure::usage("a URL or a command is missing; see ws --help"));
    };
    let target = Target::new(url, &args.subprotocol, &args.connection)?;
    let started = tokio::time::Instant::now();
    let has_user =
        stdin().is_terminal() && stdout().is_terminal() && !args.framing.is_chosen() && !args.no_input;
    let connecting = async {
        if !args.reconnect {
            return target.connect().await.map(Link::Once);
        }
        // What a user types is for now. The input of a pipe can wait.
        let while_away = if has_user { WhileAway::Fail } else { WhileAway::Wait };
        Ok(Link::again(target.clone(), args.reconnect_max, while_away))
    };
    let link = tokio::select! {
        link = connecting => link?,
        () = connect::sleep(args.timeout) => return Err(Failure::new(Code::Timeout, "--timeout has passed")),
    };
    let timeout = args.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
    if has_user {
        return terminal::run(link, &SessionArgs { timeout, ..args }, target.url()).await;
    }
    let options = pipe::Options {
        framing: args.framing,
        prints: true,
        count: args.count,
        linger: args.linger,
        timeout,
        duration: None,
        recorder: None,
    };
    let input = (!args.no_input).then(|| pipe::stdin(args.framing, args.connection.max_size));
    pipe::run(link, input, options).await
}
