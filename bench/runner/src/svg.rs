//! The plot: one panel per case, one bar per server.

use crate::case::{Better, Case};
use crate::results::{Results, Row};
use crate::servers::Group;
use std::fmt::Write as _;

const PANEL_WIDTH: usize = 520;
const PANELS_PER_LINE: usize = 2;
const BAR: usize = 18;
const HEAD: usize = 46;
const LABELS: usize = 150;
const VALUES: usize = 80;
const FOOT: usize = 34;

/// The whole picture.
pub(crate) fn plot(results: &Results) -> String {
    let cases = results.cases();
    let bars = cases.iter().map(|case| results.of(case).count()).max().unwrap_or(0);
    let panel_height = HEAD + bars * BAR + 14;
    let lines = cases.len().div_ceil(PANELS_PER_LINE);
    let (width, height) = (PANEL_WIDTH * PANELS_PER_LINE, lines * panel_height + FOOT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (index, case) in cases.iter().enumerate() {
        let (x, y) = (index % PANELS_PER_LINE * PANEL_WIDTH, index / PANELS_PER_LINE * panel_height);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(case, results, &mut svg);
        svg.push_str("</g>\n");
    }
    let machine = &results.machine;
    let note = escape(&format!(
        "{}; {}; medians of {} rounds of {} s, server on one core, generator on another",
        machine.date,
        machine.describe(),
        results.rounds,
        results.seconds
    ));
    let _ =
        writeln!(svg, "<text x=\"12\" y=\"{}\" font-size=\"11\" fill=\"#59636e\">{note}</text>", height - 12);
    svg.push_str("</svg>\n");
    svg
}

fn panel(case: &Case, results: &Results, svg: &mut String) {
    let column = &case.columns[0];
    let direction = match column.compared {
        Some(Better::More) => "more is better",
        Some(Better::Less) | None => "less is better",
    };
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"20\" font-weight=\"600\">{}</text>\
         <text x=\"12\" y=\"36\" font-size=\"11\" fill=\"#59636e\">{}, {direction}</text>",
        escape(&results.title(case)),
        escape(column.title)
    );
    let longest = results.of(case).filter_map(|row| Some(row.figure(column)?.median)).fold(0.0, f64::max);
    for (index, row) in results.of(case).enumerate() {
        bar(case, row, longest, HEAD + index * BAR, svg);
    }
}

fn bar(case: &Case, row: &Row, longest: f64, y: usize, svg: &mut String) {
    let column = &case.columns[0];
    let figure = row.figure(column);
    let share = figure.map_or(0.0, |figure| if longest > 0.0 { figure.median / longest } else { 0.0 });
    let length = share * (PANEL_WIDTH - LABELS - VALUES) as f64;
    let colour = match row.server.group {
        Group::Ours => "#d1570a",
        Group::Before => "#eaa57a",
        Group::Peer => "#5b7fa6",
        Group::Batching => "#94acc6",
        Group::Floor => "#b8bec4",
    };
    let value = figure.map_or_else(|| String::from("–"), |figure| column.unit.show(figure.median));
    let (middle, end) = (y + 12, LABELS as f64 + length + 5.0);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{LABELS}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
         <text x=\"{end:.1}\" y=\"{middle}\">{}</text>",
        LABELS - 6,
        escape(row.server.name),
        y + 2,
        BAR - 5,
        escape(&value)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
