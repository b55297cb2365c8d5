//! Runs each server in each case, interleaved, and writes the table, the raw numbers and the plot.
//!
//! See the benchmark's README for the options and for what each number means.

mod case;
mod cases;
mod certificate;
mod machine;
mod measure;
mod options;
mod paths;
mod report;
mod results;
mod servers;
mod svg;

use case::{Case, Role};
use certificate::Certificate;
use measure::Rig;
use options::Options;
use results::Results;
use servers::Server;
use std::process::ExitCode;

fn main() -> ExitCode {
    // All servers inherit this limit, including those that do not raise it themselves.
    bench_common::os::raise_file_limit();
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    // All cases with TLS use the same certificate.
    let certificate =
        options.cases.iter().any(|case| case.role == Role::Tls).then(Certificate::new).transpose();
    let certificate = match certificate {
        Ok(certificate) => certificate,
        Err(error) => {
            eprintln!("no certificate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let results = run(&options, certificate.as_ref());
    match write(&options, &results) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", options.results.display());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, certificate: Option<&Certificate>) -> Results {
    let mut results = Results::new(options);
    let present: Vec<(&Server, _)> = options
        .servers
        .iter()
        .filter_map(|&server| {
            let found = server.locate(&options.builds);
            if found.is_none() {
                eprintln!("{}: no binary `{}`, left out", server.name, server.binary);
            }
            Some((server, found?))
        })
        .collect();
    for &case in &options.cases {
        for round in 0..options.rounds.min(case.max_rounds) {
            for (server, binary) in present.iter().filter(|(server, _)| server.takes_part(case)) {
                let rig = Rig { options, server, binary, certificate };
                one(&rig, case, round, &mut results);
            }
        }
        println!("{}", report::table(case, &results));
    }
    results
}

fn one(rig: &Rig<'_>, case: &'static Case, round: usize, results: &mut Results) {
    let server = rig.server;
    let outcome = rig.measure(case);
    match &outcome {
        Ok(numbers) => eprintln!("{} {} {}: {}", case.name, round + 1, server.name, case.glance(numbers)),
        Err(message) => eprintln!("{} {} {}: {message}", case.name, round + 1, server.name),
    }
    results.add(case, server, outcome);
}

fn write(options: &Options, results: &Results) -> std::io::Result<()> {
    std::fs::create_dir_all(&options.results)?;
    let name = |extension| options.results.join(format!("latest.{extension}"));
    std::fs::write(name("md"), report::document(results))?;
    std::fs::write(name("json"), report::raw(results))?;
    std::fs::write(name("svg"), svg::plot(results))
}
