//! Counts the instructions of the hot paths under valgrind, and compares them with `table.txt`.
//!
//! ```text
//! instructions [CASE]…          compares; fails if a case takes over 5 % more than in the table
//! instructions --write          counts and writes the table
//! instructions run CASE COUNT   runs a case for COUNT messages: what valgrind runs, and a profiler may
//! ```
//!
//! Each case runs twice, the second time with twice as many messages. The difference divided by the number of messages
//! is the result, so that the start and the end of the process do not count. Instructions in the kernel do not count
//! either. Nothing depends on the machine's speed or load.

mod cases;
mod gate;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["run", name, count] => run(name, count),
        ["--write"] => gate::write(),
        ref names if names.iter().all(|name| cases::find(name).is_some()) => gate::check(names),
        _ => {
            Err(format!("usage: instructions [CASE]… | --write | run CASE COUNT\ncases: {}", cases::names()))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, count: &str) -> Result<(), String> {
    let case = cases::find(name).ok_or_else(|| format!("no case {name}; there are {}", cases::names()))?;
    let count = count.parse().map_err(|_| format!("not a number: {count}"))?;
    (case.run)(count);
    Ok(())
}
