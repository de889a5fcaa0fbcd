//! How exactly calls end at their time limit.

use crate::load::median;
use crate::nginx::Nginx;
use crate::results::{number, rounded, text};
use crate::{Options, Result, client};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

/// The limit, in milliseconds.
pub const LIMIT: f64 = 50.0;
/// Requests for each round.
const TIMES: usize = 10;

/// Ways to go on for ever: what they are, and the code.
const LOOPS: [(&str, &str); 3] = [
    ("an empty loop", "(loop $again (br $again))"),
    (
        "arithmetic",
        "(loop $again (global.set $n (i32.mul (i32.add (global.get $n) (i32.const 7)) (i32.const 31))) (br $again))",
    ),
    (
        "1 MB of memory filled, again and again",
        "(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x100000)) (br $again))",
    ),
];

/// When requests were answered whose filter went on for ever.
pub struct Ended {
    pub engine: String,
    /// What the filter did.
    pub what: String,
    /// Milliseconds after [`LIMIT`]: the median, and the worst. Below 0 where it ended too early.
    pub late: f64,
    pub latest: f64,
}

impl Ended {
    pub fn to_json(&self) -> Value {
        json!({
            "engine": self.engine,
            "what": self.what,
            "late_ms": rounded(self.late, 2),
            "latest_ms": rounded(self.latest, 2),
        })
    }

    /// # Errors
    /// The first thing that is not as [`Ended::to_json`] writes it.
    pub fn from_json(object: &Value) -> Result<Self> {
        Ok(Self {
            engine: text(object, "engine")?,
            what: text(object, "what")?,
            late: number(object, "late_ms")?,
            latest: number(object, "latest_ms")?,
        })
    }
}

/// Asks for what never ends, on each engine.
///
/// # Errors
/// When something else than the limit ends it.
pub fn measure(options: &Options) -> Result<Vec<Ended>> {
    eprintln!("==> time limits (some seconds)");
    let folder = options.out().join("limits");
    fs::create_dir_all(&folder)?;
    for (index, (_, code)) in LOOPS.iter().enumerate() {
        fs::write(folder.join(format!("{index}.wat")), filter(code))?;
    }
    let nginx = Nginx::start(options, "limits", |port| conf(options, port))?;
    let mut all = Vec::new();
    for engine in &options.engines {
        for (index, (what, _)) in LOOPS.iter().enumerate() {
            let path = format!("/{engine}-{index}");
            let late: Vec<f64> = (0..TIMES * options.rounds).map(|_| late(nginx.port, &path)).collect::<Result<_>>()?;
            all.push(Ended {
                engine: engine.clone(),
                what: (*what).to_owned(),
                late: median(late.iter().copied()),
                latest: late.iter().copied().fold(f64::MIN, f64::max),
            });
        }
    }
    Ok(all)
}

fn late(port: u16, path: &str) -> Result<f64> {
    let began = Instant::now();
    let status = client::ask(port, path)?.status()?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    if status == 500 { Ok(took - LIMIT) } else { Err(format!("{path}: status {status} after {took:.1} ms").into()) }
}

fn filter(code: &str) -> String {
    format!(
        r#"(module
  (memory (export "memory") 17) (global $n (mut i32) (i32.const 1))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {code} (i32.const 0)))
"#
    )
}

fn conf(options: &Options, port: u16) -> String {
    let folder = options.out().join("limits");
    let module = options.module();
    let (mut modules, mut locations) = (String::new(), String::new());
    for engine in &options.engines {
        for index in 0..LOOPS.len() {
            let file = folder.join(format!("{index}.wat"));
            let _ = writeln!(modules, "    module {engine}_{index} {} engine={engine};", file.display());
            let _ = writeln!(
                locations,
                "        location = /{engine}-{index} {{ proxy_wasm {engine}_{index}; return 200; }}"
            );
        }
    }
    let user = if crate::variants::runs_as_root() { "user root;\n" } else { "" };
    format!(
        "load_module {};\n{user}daemon off;\npid nginx.pid;\nerror_log error.log crit;\nworker_processes 1;\n\
         events {{ worker_connections 1024; }}\n\
         wasm {{\n    proxy_wasm_time_limit {LIMIT}ms;\n{modules}}}\n\
         http {{\n    access_log off;\n    server {{\n        listen 127.0.0.1:{port};\n        \
         location = /pid {{ return 200 $pid; }}\n{locations}    }}\n}}\n",
        module.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let one = json!({"engine": "wasmi", "what": "a loop", "late_ms": 0.75, "latest_ms": 2.5});
        assert_eq!(Ended::from_json(&one).unwrap().to_json(), one);
    }
}
