//! The table for people and the raw numbers for programs.

use crate::case::{Case, Column};
use crate::results::{Results, Row};
use crate::servers::Group;
use std::fmt::Write as _;

/// The whole report in Markdown.
pub(crate) fn document(results: &Results) -> String {
    let mut text = String::from("# Latest run\n\n");
    let machine = &results.machine;
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}. {}.\n", machine.date, machine.describe());
    let _ = writeln!(
        text,
        "Medians of {} rounds of {} s, interleaved; ± is the median absolute deviation. Load average before the first \
         run: {}.\n“× peer” is the ratio to the best Rust library's plain `send` loop, “× floor” to the floor, “× own” to our own server, \
         “× one shard” to one shard with the handler API. \
         For CPU and bytes less is better.\n",
        results.rounds, results.seconds, machine.load
    );
    text.push_str("![plot](latest.svg)\n");
    for case in results.cases() {
        text.push('\n');
        text.push_str(&table(case, results));
    }
    text
}

/// One case.
pub(crate) fn table(case: &Case, results: &Results) -> String {
    let columns: Vec<&Column> = case
        .columns
        .iter()
        .filter(|column| results.of(case).any(|row| row.figure(column).is_some()))
        .collect();
    let mut text = format!("## {}: {}\n\n| server |", case.name, results.title(case));
    let mut cells = 0;
    for column in &columns {
        let ratios = ratios(case, column, results);
        cells += 1 + ratios.len();
        let _ = write!(text, " {} |", column.title);
        for (name, _) in ratios {
            let _ = write!(text, " × {name} |");
        }
    }
    let _ = write!(text, "\n|---|{}", "--:|".repeat(cells));
    for row in results.of(case) {
        let _ = write!(text, "\n| {} |", label(row));
        for column in &columns {
            text.push_str(&cell(case, column, row, results));
        }
    }
    text.push('\n');
    for row in results.of(case) {
        if let Some(failure) = row.failures.first() {
            let _ = writeln!(text, "\n{} failed {} times: {failure}", row.server.name, row.failures.len());
        }
    }
    text
}

fn label(row: &Row) -> String {
    let version = row.server.version().map(|version| format!(" {version}")).unwrap_or_default();
    format!("{}{version}", row.server.name)
}

/// The medians that a column is compared with, and their names.
fn ratios(case: &Case, column: &Column, results: &Results) -> Vec<(&'static str, Option<f64>)> {
    if column.compared.is_none() {
        return Vec::new();
    }
    let peer = results.of(case).any(|row| row.server.group == Group::Peer);
    let peer = peer.then(|| ("peer", results.best_peer(case, column)));
    let base = case.role.base().map(|(_, name)| (name, results.base(case, column)));
    peer.into_iter().chain(base).collect()
}

fn cell(case: &Case, column: &Column, row: &Row, results: &Results) -> String {
    let figure = row.figure(column);
    let mut text = match figure {
        None => String::from(" – |"),
        Some(figure) if column.compared.is_none() => format!(" {} |", column.unit.show(figure.median)),
        Some(figure) => format!(" {} ± {:.1} % |", column.unit.show(figure.median), figure.spread * 100.0),
    };
    for (_, base) in ratios(case, column, results) {
        // Writing to a String cannot fail.
        let _ = match (figure, base) {
            (Some(figure), Some(base)) if base > 0.0 => write!(text, " {:.2} |", figure.median / base),
            _ => write!(text, " – |"),
        };
    }
    text
}

/// Every run in JSON.
pub(crate) fn raw(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = String::from("{\n");
    let fields = [
        ("date", &machine.date),
        ("processor", &machine.processor),
        ("kernel", &machine.kernel),
        ("compiler", &machine.compiler),
        ("load_average", &machine.load),
    ];
    for (name, value) in fields {
        let _ = writeln!(text, "  \"{name}\": {},", quoted(value));
    }
    let _ = writeln!(text, "  \"cores\": {},\n  \"seconds\": {},", machine.cores, results.seconds);
    text.push_str("  \"results\": [");
    for (index, row) in results.rows.iter().enumerate() {
        let runs: Vec<String> = row.runs.iter().map(|run| format!("\n      {}", run.to_json())).collect();
        let failures: Vec<String> = row.failures.iter().map(|failure| quoted(failure)).collect();
        let _ = write!(
            text,
            "{}\n    {{\"case\": {}, \"server\": {}, \"version\": {}, \"failures\": [{}], \"runs\": [{}]}}",
            if index == 0 { "" } else { "," },
            quoted(row.case.name),
            quoted(row.server.name),
            quoted(&row.server.version().unwrap_or_default()),
            failures.join(", "),
            runs.join(",")
        );
    }
    text.push_str("\n  ]\n}\n");
    text
}

fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => {
                text.push('\\');
                text.push(character);
            }
            control if control.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
    text
}
