//! Load generator: one thread on raw epoll, every echo checked, the result as one line of JSON on stdout.
//!
//! See the benchmark's README for the options and for what each number means.

mod connect;
mod engine;
mod histogram;
mod messages;
mod modes;
mod options;
mod plan;
mod scratch;
mod stream;

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_common::os::raise_file_limit();
    let options = match options::Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match modes::run(&options) {
        Ok(numbers) => {
            println!("{}", numbers.to_json());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
