//! What the tests and the benches left.

use crate::compile::Compiled;
use crate::limits::Ended;
use crate::results::Results;
use crate::{Options, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Everything that the report is made from. What was not measured is empty, and the report says so.
#[derive(Default)]
pub struct Inputs {
    /// What the runner of the conformance suite printed.
    pub suite: String,
    /// What its tests said aside: where an engine does something else.
    pub differs: String,
    pub transcripts: Vec<Transcript>,
    pub bench: Option<Results>,
    pub compiled: Vec<Compiled>,
    pub ended: Vec<Ended>,
    /// What divan printed.
    pub seam: String,
    /// What modules have in them, and their bytes, stripped.
    pub sizes: Vec<(String, u64)>,
    /// What it was measured on: what, and which.
    pub machine: Vec<(String, String)>,
    /// Cargo.lock.
    pub lock: String,
}

/// One table of t/tests/transcript, and what became of it.
pub struct Transcript {
    /// As `proxy_wasm`.
    pub name: String,
    /// By engine; without those whose test did not come so far.
    pub seen: Vec<(String, String)>,
}

/// The tables, and the files of their transcripts: WASI goes by two names.
const TABLES: [(&str, &str); 3] =
    [("proxy_wasm", "proxy_wasm.txt"), ("wasi_snapshot_preview1", "wasi.txt"), ("wasi_unstable", "wasi_unstable.txt")];

impl Inputs {
    /// # Errors
    /// When a file is there and is not what it should be, or when Cargo.lock is not.
    pub fn read(options: &Options) -> Result<Self> {
        let folder = options.top.join("target/compare");
        let once: Value = match some(&folder.join("once.json")) {
            text if text.is_empty() => Value::Null,
            text => serde_json::from_str(&text)?,
        };
        let list = |name: &str| once[name].as_array().into_iter().flatten();
        let bench = some(&options.out().join("bench.json"));
        Ok(Self {
            suite: some(&folder.join("suite.out")),
            differs: some(&folder.join("suite.err")),
            transcripts: transcripts(options),
            bench: if bench.is_empty() { None } else { Some(Results::from_json(&bench)?) },
            compiled: list("compiled").map(Compiled::from_json).collect::<Result<_>>()?,
            ended: list("ended").map(Ended::from_json).collect::<Result<_>>()?,
            seam: some(&folder.join("seam.out")),
            sizes: pairs(&some(&folder.join("sizes")))
                .into_iter()
                .filter_map(|(name, bytes)| Some((name, bytes.parse().ok()?)))
                .collect(),
            machine: pairs(&some(&folder.join("machine"))),
            lock: fs::read_to_string(options.top.join("Cargo.lock"))?,
        })
    }

    /// The bench's start-ups with so many workers.
    pub fn start(&self, engine: &str, workers: usize) -> Option<&crate::startup::Startup> {
        self.bench.as_ref()?.starts.iter().find(|it| it.what == engine && it.workers == workers)
    }
}

fn transcripts(options: &Options) -> Vec<Transcript> {
    let table = |(name, file): (&str, &str)| {
        let read = |engine: &String| {
            let seen = some(&options.top.join("target/compare/transcripts").join(engine).join(file));
            Some((engine.clone(), seen)).filter(|(_, seen)| !seen.is_empty())
        };
        Transcript { name: name.to_owned(), seen: options.engines.iter().filter_map(read).collect() }
    };
    TABLES.into_iter().map(table).collect()
}

/// A file that may not be there.
fn some(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Lines `NAME: VALUE`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_lines() {
        let read = pairs("cores: 2\nnothing\ncpu: A: B \n");
        assert_eq!(read, [("cores".to_owned(), "2".to_owned()), ("cpu".to_owned(), "A: B".to_owned())]);
    }
}
