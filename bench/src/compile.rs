//! How long engines take to compile the filters of examples/: as `nginx -t` tells it.

use crate::load::median;
use crate::results::{number, rounded, text};
use crate::{Options, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Engines, each with a compiler of its own.
const COMPILERS: [(&str, &str); 4] =
    [("wasmtime", "cranelift"), ("wasmtime", "winch"), ("wasmer", "cranelift"), ("wasmi", "auto")];

/// The median for one filter and compiler.
pub struct Compiled {
    /// The filter's file, below `target/examples`, without its ending.
    pub filter: String,
    /// Of the filter's file.
    pub bytes: u64,
    pub engine: String,
    /// `auto` for an engine that has but one way.
    pub compiler: String,
    pub milliseconds: f64,
}

impl Compiled {
    /// The engine and its compiler, where it has some.
    pub fn by(&self) -> String {
        if self.compiler == "auto" { self.engine.clone() } else { format!("{} {}", self.engine, self.compiler) }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "filter": self.filter,
            "bytes": self.bytes,
            "engine": self.engine,
            "compiler": self.compiler,
            "ms": rounded(self.milliseconds, 1),
        })
    }

    /// # Errors
    /// The first thing that is not as [`Compiled::to_json`] writes it.
    pub fn from_json(object: &Value) -> Result<Self> {
        Ok(Self {
            filter: text(object, "filter")?,
            bytes: object["bytes"].as_u64().ok_or("no bytes")?,
            engine: text(object, "engine")?,
            compiler: text(object, "compiler")?,
            milliseconds: number(object, "ms")?,
        })
    }
}

/// Compiles each filter `rounds` times with each compiler of the engines.
///
/// # Errors
/// When there are no filters, or one cannot be compiled.
pub fn measure(options: &Options) -> Result<Vec<Compiled>> {
    let filters = filters(&options.top.join("target/examples"))?;
    let compilers = COMPILERS.iter().filter(|(engine, _)| options.engines.iter().any(|it| it == engine));
    let mut cases: Vec<_> = filters
        .iter()
        .flat_map(|(name, path)| compilers.clone().map(move |how| (name, path, how, Vec::new())))
        .collect();
    eprintln!("==> compiling {} filters (a minute)", filters.len());
    for _ in 0..options.rounds {
        for (_, path, (engine, compiler), times) in &mut cases {
            times.push(once(options, path, engine, compiler)?);
        }
    }
    let summary = |(name, path, (engine, compiler), times): (&String, &PathBuf, &(&str, &str), Vec<f64>)| {
        Ok(Compiled {
            filter: name.clone(),
            bytes: fs::metadata(path)?.len(),
            engine: (*engine).to_owned(),
            compiler: (*compiler).to_owned(),
            milliseconds: median(times.into_iter()),
        })
    };
    cases.into_iter().map(summary).collect()
}

/// The filters in the folder and in those in it, by name.
fn filters(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "wasm") {
                let name = path.strip_prefix(folder)?.with_extension("").display().to_string();
                found.push((name, path));
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(format!("no filters in {}", folder.display()).into()) } else { Ok(found) }
}

fn once(options: &Options, filter: &Path, engine: &str, compiler: &str) -> Result<f64> {
    let prefix = options.out().join("compile");
    fs::create_dir_all(prefix.join("logs"))?;
    let module = options.module();
    let conf = format!(
        "load_module {};\nerror_log stderr info;\nevents {{}}\nwasm {{ {engine} {{ compiler {compiler}; }} module it {} engine={engine}; }}\n",
        module.display(),
        filter.display()
    );
    fs::write(prefix.join("nginx.conf"), conf)?;
    let output = Command::new(options.nginx())
        .arg("-t")
        .arg("-p")
        .arg(prefix.join(""))
        .arg("-c")
        .arg(prefix.join("nginx.conf"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    milliseconds(&said).ok_or_else(|| format!("{} with {engine} {compiler}: {said}", filter.display()).into())
}

/// Out of the line of nginx about a module that it has compiled.
fn milliseconds(log: &str) -> Option<f64> {
    let line = log.lines().find(|line| line.contains("successfully loaded \""))?;
    line.split_once("\" module in ")?.1.split_once("ms")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_in_what_nginx_says() {
        let log =
            "nginx: [info] [wasm] using wasmtime\nnginx: [info] [wasm] successfully loaded \"it\" module in 90ms\n";
        assert_eq!(milliseconds(log), Some(90.0));
        assert_eq!(milliseconds("nginx: [emerg] [wasm] failed"), None);
    }

    #[test]
    fn what_was_written_is_read() {
        let one = json!({"filter": "go/it", "bytes": 7, "engine": "wasmtime", "compiler": "winch", "ms": 2.5});
        let read = Compiled::from_json(&one).unwrap();
        assert_eq!((read.to_json(), read.by().as_str()), (one, "wasmtime winch"));
        assert_eq!(Compiled { compiler: "auto".into(), ..read }.by(), "wasmtime");
    }
}
