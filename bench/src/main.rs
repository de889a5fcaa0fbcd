//! What WasmX costs: throughput of one pinned worker beside the same nginx without a filter, start-up, memory, reload.
//!
//! Everything is measured in one run, on one nginx, in interleaved rounds, and told as the median of the rounds' ratios: on a
//! machine that others use too, ratios of neighbours in time say more than seconds.

mod client;
mod compare;
mod compile;
mod limits;
mod load;
mod nginx;
mod plot;
mod report;
mod results;
mod startup;
mod variants;

use compile::Compiled;
use limits::Ended;
use results::Results;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the environment may change: `make bench ROUNDS=1 SECONDS_EACH=1` is a quick look.
pub struct Options {
    /// The repository's folder.
    pub top: PathBuf,
    pub engines: Vec<String>,
    pub rounds: usize,
    /// How long wrk runs for each variant and round.
    pub seconds: u32,
    pub connections: u32,
    /// A variant to run under `perf` instead of measuring, as `wasmtime/empty`.
    pub perf: Option<String>,
}

impl Options {
    fn from_environment() -> Result<Self> {
        let var = |name: &str, default: &str| match std::env::var(name) {
            Ok(value) if !value.is_empty() => value,
            _ => default.to_owned(),
        };
        let top = std::env::current_dir()?;
        Ok(Self {
            top,
            engines: var("ENGINES", "wasmtime,wasmi").split(',').map(str::to_owned).collect(),
            rounds: var("ROUNDS", "5").parse()?,
            seconds: var("SECONDS_EACH", "2").parse()?,
            connections: var("CONNECTIONS", "32").parse()?,
            perf: Some(var("PERF", "")).filter(|variant| !variant.is_empty()),
        })
    }

    /// The module that is measured.
    pub fn module(&self) -> PathBuf {
        self.top.join("target/modules/release/ngx_wasmx_module.so")
    }

    /// The nginx that it is measured in.
    pub fn nginx(&self) -> PathBuf {
        self.top.join("target/nginx/release/nginx")
    }

    pub fn out(&self) -> PathBuf {
        self.top.join("target/bench")
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::from_environment()?;
    std::fs::create_dir_all(options.out())?;
    match std::env::args().nth(1).as_deref() {
        None => bench(&options)?,
        Some("once") => once(&options)?,
        Some("compare") => return Ok(if compare::run(&options)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Some(other) => return Err(format!("unknown: {other} (nothing, once, compare)").into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// `make bench`.
fn bench(options: &Options) -> Result<()> {
    if let Some(variant) = &options.perf {
        return load::profile(options, variant);
    }
    let measured = load::measure(options)?;
    let mut results = Results::of(options, &measured, Vec::new());
    report::print_throughput(&results);
    results.starts = startup::measure(options)?;
    report::print_startup(&results.starts);
    report::write(options, &results)
}

/// For `make compare` only: what hardly changes from one version to the next.
fn once(options: &Options) -> Result<()> {
    let compiled: Vec<_> = compile::measure(options)?.iter().map(Compiled::to_json).collect();
    let ended: Vec<_> = limits::measure(options)?.iter().map(Ended::to_json).collect();
    let folder = options.top.join("target/compare");
    std::fs::create_dir_all(&folder)?;
    let all = serde_json::json!({ "compiled": compiled, "ended": ended });
    Ok(std::fs::write(folder.join("once.json"), format!("{all:#}\n"))?)
}
