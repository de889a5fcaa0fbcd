//! The tables, bench.json and bench.svg.

use crate::results::Results;
use crate::startup::Startup;
use crate::{Options, Result};

pub fn print_throughput(results: &Results) {
    println!("\nThroughput of one worker; ratio and time beside the same without a filter (medians of the rounds)\n");
    println!("{:<48} {:>10} {:>7} {:>10} {:>10}", "", "requests/s", "ratio", "added µs", "of it CPU");
    for work in &results.works {
        let (name, sum) = (work.label(), &work.summary);
        if work.engine().is_none() {
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

pub fn write(options: &Options, results: &Results) -> Result<()> {
    let (json, svg) = (options.out().join("bench.json"), options.out().join("bench.svg"));
    std::fs::write(&json, format!("{:#}\n", results.to_json()))?;
    std::fs::write(&svg, results.plot().svg())?;
    println!("\n{}\n{}", json.display(), svg.display());
    Ok(())
}
