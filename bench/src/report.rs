//! The tables, bench.json and bench.svg.

use crate::load::{Measured, summary};
use crate::startup::Startup;
use crate::{Options, Result};
use std::fmt::Write;

pub fn print_throughput(all: &[Measured]) {
    println!("\nThroughput of one worker; ratio and time beside the same without a filter (medians of the rounds)\n");
    println!("{:<48} {:>10} {:>7} {:>10} {:>10}", "", "requests/s", "ratio", "added µs", "of it CPU");
    for (index, entry) in all.iter().enumerate() {
        let sum = summary(all, index);
        let name = label(entry);
        if entry.variant.baseline == index {
            println!("{name:<48} {:>10.0}", sum.requests_per_second);
        } else {
            println!(
                "{name:<48} {:>10.0} {:>7.2} {:>10.1} {:>10.1}",
                sum.requests_per_second, sum.ratio, sum.added_microseconds, sum.added_cpu_microseconds
            );
        }
    }
}

pub fn print_startup(all: &[Startup]) {
    println!("\nStart-up until all workers answer, reload with nothing changed, memory of a worker (medians)\n");
    println!(
        "{:<12} {:>7} {:>10} {:>10} {:>12} {:>12} {:>12}",
        "", "workers", "start ms", "reload ms", "resident KB", "share KB", "private KB"
    );
    for case in all {
        println!(
            "{:<12} {:>7} {:>10.1} {:>10.1} {:>12.0} {:>12.0} {:>12.0}",
            case.what,
            case.workers,
            case.start_milliseconds,
            case.reload_milliseconds,
            case.resident,
            case.proportional,
            case.private
        );
    }
    for pair in all.chunks(2) {
        if let [one, eight] = pair {
            let times = eight.start_milliseconds / one.start_milliseconds;
            println!("{}: 8 workers start in {times:.2} times the time of 1", one.what);
        }
    }
}

pub fn write(options: &Options, throughput: &[Measured], startup: &[Startup]) -> Result<()> {
    let (json, svg) = (options.out().join("bench.json"), options.out().join("bench.svg"));
    std::fs::write(&json, to_json(options, throughput, startup))?;
    std::fs::write(&svg, to_svg(throughput))?;
    println!("\n{}\n{}", json.display(), svg.display());
    Ok(())
}

fn label(entry: &Measured) -> String {
    match entry.variant.name.split_once('/') {
        Some((engine, _)) => format!("{engine}: {}", entry.variant.what),
        None => entry.variant.what.to_owned(),
    }
}

/// Names and numbers only: nothing needs escaping.
fn to_json(options: &Options, throughput: &[Measured], startup: &[Startup]) -> String {
    let variants: Vec<_> = throughput
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let sum = summary(throughput, index);
            let rates: Vec<_> = entry.samples.iter().map(|s| format!("{:.1}", s.requests_per_second)).collect();
            format!(
                "    {{\"name\": \"{}\", \"what\": \"{}\", \"baseline\": \"{}\", \"ratio\": {:.4}, \
                 \"added_us\": {:.3}, \"added_cpu_us\": {:.3}, \"requests_per_second\": [{}]}}",
                entry.variant.name,
                entry.variant.what,
                throughput[entry.variant.baseline].variant.name,
                sum.ratio,
                sum.added_microseconds,
                sum.added_cpu_microseconds,
                rates.join(", ")
            )
        })
        .collect();
    let cases: Vec<_> = startup
        .iter()
        .map(|case| {
            format!(
                "    {{\"what\": \"{}\", \"workers\": {}, \"start_ms\": {:.2}, \"reload_ms\": {:.2}, \
                 \"resident_kb\": {:.0}, \"share_kb\": {:.0}, \"private_kb\": {:.0}}}",
                case.what,
                case.workers,
                case.start_milliseconds,
                case.reload_milliseconds,
                case.resident,
                case.proportional,
                case.private
            )
        })
        .collect();
    format!(
        "{{\n  \"rounds\": {}, \"seconds_each\": {}, \"connections\": {},\n  \"throughput\": [\n{}\n  ],\n  \"startup\": [\n{}\n  ]\n}}\n",
        options.rounds,
        options.seconds,
        options.connections,
        variants.join(",\n"),
        cases.join(",\n")
    )
}

/// A bar for each variant: how much of the throughput without a filter is left.
fn to_svg(all: &[Measured]) -> String {
    const LEFT: f64 = 330.0;
    const WIDTH: f64 = 480.0;
    const ROW: f64 = 26.0;
    let bars: Vec<_> = (0..all.len()).filter(|&index| all[index].variant.baseline != index).collect();
    let height = 60.0 + ROW * bars.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">Throughput left, of the same nginx without a filter (1 = all)</text>\n",
        LEFT + WIDTH + 150.0
    );
    let mut line = |text: String| writeln!(svg, "{text}").unwrap_or_default();
    for tenth in 0..=10 {
        let x = LEFT + WIDTH * f64::from(tenth) / 10.0;
        line(format!("<line x1=\"{x}\" y1=\"36\" x2=\"{x}\" y2=\"{}\" stroke=\"#ddd\"/>", height - 20.0));
        line(format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{:.1}</text>",
            height - 5.0,
            f64::from(tenth) / 10.0
        ));
    }
    for (row, &index) in bars.iter().enumerate() {
        let sum = summary(all, index);
        let y = 40.0 + ROW * row as f64;
        let fill = if all[index].variant.name.starts_with("wasmtime") { "#3b6fb6" } else { "#d08a3e" };
        let width = WIDTH * sum.ratio.clamp(0.0, 1.1);
        line(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 15.0,
            label(&all[index])
        ));
        line(format!(
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{fill}\"/>",
            y + 2.0,
            ROW - 7.0
        ));
        line(format!(
            "<text x=\"{:.1}\" y=\"{}\">{:.2} (+{:.1} µs)</text>",
            LEFT + width + 6.0,
            y + 15.0,
            sum.ratio,
            sum.added_microseconds
        ));
    }
    svg.push_str("</svg>\n");
    svg
}
