//! How long nginx takes until all its workers answer, what they hold in memory, and what a reload takes.

use crate::load::median;
use crate::nginx::{Nginx, memory};
use crate::variants::{self, Variant};
use crate::{Options, Result, client};
use std::collections::HashSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Medians for one configuration and number of workers.
pub struct Startup {
    /// `plain`, or the engine.
    pub what: String,
    pub workers: usize,
    pub start_milliseconds: f64,
    pub reload_milliseconds: f64,
    /// For each worker, in KiB: resident; its share of it; what is its alone.
    pub resident: f64,
    pub proportional: f64,
    pub private: f64,
}

const PATIENCE: Duration = Duration::from_secs(20);

pub fn measure(options: &Options) -> Result<Vec<Startup>> {
    let mut cases = Vec::new();
    for engine in std::iter::once("plain").chain(options.engines.iter().map(String::as_str)) {
        for workers in [1, 8] {
            cases.push((engine, workers, Vec::new()));
        }
    }
    eprintln!("==> start-up, memory and reload (half a minute)");
    for _ in 0..options.rounds {
        for (engine, workers, samples) in &mut cases {
            samples.push(sample(options, engine, *workers)?);
        }
    }
    let summary = |(what, workers, samples): (&str, usize, Vec<[f64; 5]>)| {
        let [start_milliseconds, reload_milliseconds, resident, proportional, private] =
            std::array::from_fn(|field| median(samples.iter().map(|sample| sample[field])));
        let what = what.to_owned();
        Startup { what, workers, start_milliseconds, reload_milliseconds, resident, proportional, private }
    };
    Ok(cases.into_iter().map(summary).collect())
}

fn sample(options: &Options, engine: &str, workers: usize) -> Result<[f64; 5]> {
    // `plain` has no module at all; an engine has just the empty filter.
    let one = Options {
        top: options.top.clone(),
        engines: if engine == "plain" { Vec::new() } else { vec![engine.to_owned()] },
        perf: None,
        ..*options
    };
    let variants: Vec<Variant> =
        variants::all(&one.engines).into_iter().filter(|v| v.name == "plain" || v.name.ends_with("/empty")).collect();
    let worker = format!("worker_processes {workers};");

    let began = Instant::now();
    let nginx =
        Nginx::spawn(options, "startup", |port| variants::nginx_conf(&one, port, port, &worker, &variants, false))?;
    let first = all_answer(&nginx, workers, &HashSet::new())?;
    let start = milliseconds(began);

    let path = variants.last().ok_or("no variant")?.path();
    for _ in 0..workers * 50 {
        client::get(nginx.port, &path)?;
    }
    let pids = nginx.workers();
    let mean = |field| -> Result<f64> {
        let sum: u64 = pids.iter().map(|&pid| memory(pid, field)).sum::<Result<u64>>()?;
        Ok(sum as f64 / pids.len() as f64)
    };
    let (resident, proportional) = (mean("Rss:")?, mean("Pss:")?);
    let private = mean("Private_Dirty:")? + mean("Private_Clean:")?;

    let began = Instant::now();
    nginx.signal("HUP")?;
    all_answer(&nginx, workers, &first)?;
    let reload = milliseconds(began);
    Ok([start, reload, resident, proportional, private])
}

/// Waits until `workers` workers answered that are none of `old`. Each has a listening socket of its own, and the kernel
/// spreads connections over them: a volley finds them all, and those that are not up yet answer when they are.
fn all_answer(nginx: &Nginx, workers: usize, old: &HashSet<String>) -> Result<HashSet<String>> {
    let began = Instant::now();
    let mut seen = HashSet::new();
    while began.elapsed() < PATIENCE {
        let volley: Vec<_> = (0..workers * 8).map(|_| client::ask(nginx.port, "/pid")).collect();
        if volley.iter().any(Result::is_err) {
            sleep(Duration::from_micros(500));
            continue;
        }
        // A worker on its way out may reset what it accepted last.
        seen.extend(volley.into_iter().filter_map(|pending| pending.and_then(client::Pending::body).ok()));
        seen.retain(|pid| !old.contains(pid));
        if seen.len() == workers {
            return Ok(seen);
        }
        sleep(Duration::from_micros(500));
    }
    Err(format!("{} of {workers} workers answer after {PATIENCE:?}", seen.len()).into())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
