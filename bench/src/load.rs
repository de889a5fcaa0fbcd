//! Throughput: one worker on core 0, wrk on core 1.

use crate::nginx::{Nginx, cpu_time};
use crate::variants::{self, Variant};
use crate::{Options, Result};
use std::process::Command;

/// A browser's headers, about: what a filter that reads all of them finds.
const HEADERS: [&str; 5] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=3f2a9c0d8e7b6a5f",
];

const WORKER: &str = "worker_processes 1;\nworker_cpu_affinity 01;";

/// One run of wrk.
#[derive(Clone, Copy)]
pub struct Sample {
    pub requests_per_second: f64,
    /// Time that the worker was on its core, for each request.
    pub cpu_microseconds: f64,
}

/// A variant and its rounds' samples.
pub struct Measured {
    pub variant: Variant,
    pub samples: Vec<Sample>,
}

/// What the rounds say of a variant: medians, beside its baseline in the same round.
pub struct Summary {
    pub requests_per_second: f64,
    pub ratio: f64,
    pub added_microseconds: f64,
    pub added_cpu_microseconds: f64,
}

pub fn measure(options: &Options) -> Result<Vec<Measured>> {
    let variants = variants::all(&options.engines);
    let peer = Nginx::start(options, "peer", variants::peer_conf)?;
    let conf = |port| variants::nginx_conf(options, port, peer.port, WORKER, &variants, false);
    let nginx = Nginx::start(options, "load", conf)?;
    let worker = *nginx.workers().first().ok_or("no worker")?;
    let mut measured: Vec<_> =
        variants.into_iter().map(|variant| Measured { variant, samples: Vec::with_capacity(options.rounds) }).collect();

    let total = measured.len() as u32 * options.seconds * options.rounds as u32;
    eprintln!("==> {} variants, {} rounds, {} s each ({total} s)", measured.len(), options.rounds, options.seconds);
    for entry in &measured {
        wrk(options, nginx.port, &entry.variant, 1)?;
    }
    for round in 0..options.rounds {
        // There and back, so that a drift of the machine does not favour the early ones.
        let mut order: Vec<usize> = (0..measured.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let before = cpu_time(worker)?;
            let (requests_per_second, requests) = wrk(options, nginx.port, &measured[index].variant, options.seconds)?;
            let cpu_microseconds = (cpu_time(worker)? - before) as f64 / 1e3 / requests;
            measured[index].samples.push(Sample { requests_per_second, cpu_microseconds });
        }
        eprintln!("    round {} of {}", round + 1, options.rounds);
    }
    let complaints = nginx.complaints();
    if !complaints.is_empty() {
        return Err(format!("nginx complained:\n{}", complaints.lines().take(10).collect::<Vec<_>>().join("\n")).into());
    }
    if nginx.workers() != [worker] {
        return Err("the worker died".into());
    }
    Ok(measured)
}

/// Requests per second, and requests.
fn wrk(options: &Options, port: u16, variant: &Variant, seconds: u32) -> Result<(f64, f64)> {
    let output = Command::new("taskset")
        .args(["-c", "1", "wrk", "-t1", "-c", &options.connections.to_string(), "-d", &format!("{seconds}s")])
        .args(HEADERS.iter().flat_map(|header| ["-H", header]))
        .arg(format!("http://127.0.0.1:{port}{}", variant.path()))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("{}: {text}{}", variant.name, String::from_utf8_lossy(&output.stderr)).into());
    }
    let number = |word: Option<&str>| word.unwrap_or("0").parse::<f64>();
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).map(str::trim);
    let requests =
        text.lines().find(|line| line.contains(" requests in ")).and_then(|line| line.split_whitespace().next());
    Ok((number(rate)?, number(requests)?))
}

/// The summary of the variant at `index`.
pub fn summary(all: &[Measured], index: usize) -> Summary {
    let (own, base) = (&all[index].samples, &all[all[index].variant.baseline].samples);
    let over_rounds =
        |f: &dyn Fn(&Sample, &Sample) -> f64| median(own.iter().zip(base).map(|(own, base)| f(own, base)));
    Summary {
        requests_per_second: median(own.iter().map(|sample| sample.requests_per_second)),
        ratio: over_rounds(&|own, base| own.requests_per_second / base.requests_per_second),
        added_microseconds: over_rounds(&|own, base| 1e6 / own.requests_per_second - 1e6 / base.requests_per_second),
        added_cpu_microseconds: over_rounds(&|own, base| own.cpu_microseconds - base.cpu_microseconds),
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Where the time of one variant goes: `perf` on the worker while wrk asks.
pub fn profile(options: &Options, name: &str) -> Result<()> {
    let mut variants = variants::all(&options.engines);
    let wanted = variants.iter().position(|variant| variant.name == name).ok_or("no such variant")?;
    let peer = Nginx::start(options, "peer", variants::peer_conf)?;
    let conf = |port| variants::nginx_conf(options, port, peer.port, WORKER, &variants, true);
    let nginx = Nginx::start(options, "perf", conf)?;
    let worker = *nginx.workers().first().ok_or("no worker")?;
    let variant = variants.swap_remove(wanted);
    wrk(options, nginx.port, &variant, 1)?;
    let data = options.out().join("perf.data");
    let mut perf = Command::new("perf")
        .args(["record", "-q", "-F", "1999", "-g", "-p", &worker.to_string(), "-o"])
        .arg(&data)
        .args(["--", "sleep", &options.seconds.to_string()])
        .spawn()?;
    wrk(options, nginx.port, &variant, options.seconds + 1)?;
    perf.wait()?;
    let report = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.4", "-i"])
        .arg(&data)
        .output()?;
    print!("{}", String::from_utf8_lossy(&report.stdout));
    Ok(())
}
