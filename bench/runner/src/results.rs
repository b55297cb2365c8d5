//! All measurements of one invocation, and the statistics over rounds.

use crate::case::{Better, Case, Column};
use crate::machine::Machine;
use crate::options::Options;
use crate::servers::{Group, Server};
use bench_common::json::Numbers;

/// One server in one case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) server: &'static Server,
    pub(crate) runs: Vec<Numbers>,
    pub(crate) failures: Vec<String>,
}

/// A median and the spread of the runs around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// The median absolute deviation, as a fraction of the median.
    pub(crate) spread: f64,
}

/// All measurements.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// The second core of a server is the generator's core.
    pub(crate) shared: bool,
    pub(crate) rows: Vec<Row>,
}

impl Results {
    pub(crate) fn new(options: &Options) -> Self {
        let (rounds, seconds) = (options.rounds, options.seconds);
        let shared = options.second_core == options.generator_core;
        Self { machine: Machine::this(), rounds, seconds, shared, rows: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        case: &'static Case,
        server: &'static Server,
        outcome: Result<Numbers, String>,
    ) {
        let known =
            self.rows.iter().position(|row| row.case.name == case.name && row.server.name == server.name);
        let index = known.unwrap_or(self.rows.len());
        if index == self.rows.len() {
            self.rows.push(Row { case, server, runs: Vec::new(), failures: Vec::new() });
        }
        match outcome {
            Ok(numbers) => self.rows[index].runs.push(numbers),
            Err(message) => self.rows[index].failures.push(message),
        }
    }

    /// The rows of a case, in the order in which its servers ran.
    pub(crate) fn of(&self, case: &Case) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.case.name == case.name)
    }

    /// The cases that were run.
    pub(crate) fn cases(&self) -> Vec<&'static Case> {
        let mut cases: Vec<&'static Case> = self.rows.iter().map(|row| row.case).collect();
        cases.dedup_by_key(|case| case.name);
        cases
    }

    /// The best median of the peers' plain loops.
    pub(crate) fn best_peer(&self, case: &Case, column: &Column) -> Option<f64> {
        let peers = self.of(case).filter(|row| row.server.group == Group::Peer);
        let medians = peers.filter_map(|row| Some(row.figure(column)?.median));
        match column.compared? {
            Better::More => medians.max_by(f64::total_cmp),
            Better::Less => medians.min_by(f64::total_cmp),
        }
    }

    /// The median of the program that ratios refer to.
    pub(crate) fn base(&self, case: &Case, column: &Column) -> Option<f64> {
        let (base, _) = case.role.base()?;
        self.of(case).find(|row| row.server.name == base)?.figure(column).map(|figure| figure.median)
    }

    /// The title of a case, with a note if the server and the generator share a core.
    pub(crate) fn title(&self, case: &Case) -> String {
        let note =
            if case.cores > 1 && self.shared { " (the generator shares one of 2 server cores)" } else { "" };
        format!("{}{note}", case.title)
    }
}

impl Row {
    /// The statistics of one column, if any run has it.
    pub(crate) fn figure(&self, column: &Column) -> Option<Figure> {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| run.get(column.key)).collect();
        let median = median(&values)?;
        let deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        let deviation = self::median(&deviations)?;
        Some(Figure { median, spread: if median == 0.0 { 0.0 } else { deviation / median } })
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
