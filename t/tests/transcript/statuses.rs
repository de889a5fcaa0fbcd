//! What the calls of the tables answer.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use wasmx_t::{Engine, Nginx, Running, Upstream, workspace};

use crate::guest::{MARK, ZERO, guest};
use crate::table::{Callback, LATEST, Line, parse, row, show};

wasmx_t::on_every_engine![host_functions_in_every_callback, wasi_functions_in_every_callback];

fn host_functions_in_every_callback(engine: Engine) {
    judge(engine, "proxy_wasm.txt", &[LATEST, "0.2.0", "0.1.0"]);
}

fn wasi_functions_in_every_callback(engine: Engine) {
    judge(engine, "wasi.txt", &[LATEST]);
    let mut lines = read("wasi.txt");
    for line in &mut lines {
        if let Line::Module(name) = line {
            *name = "wasi_unstable".to_owned();
        }
    }
    compare(engine, "wasi_unstable.txt", &mut lines, &[LATEST]);
}

fn path(name: &str) -> PathBuf {
    workspace().join("t/tests/transcript").join(name)
}

fn read(name: &str) -> Vec<Line> {
    let path = path(name);
    parse(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Judges the calls of a table, or takes down what they answer.
fn judge(engine: Engine, name: &str, versions: &[&str]) {
    let mut lines = read(name);
    if std::env::var_os("WASMX_UPDATE").is_some() {
        differences(engine, &mut lines, versions);
        write(&path(name), &show(&lines));
    } else {
        compare(engine, name, &mut lines, versions);
    }
}

fn compare(engine: Engine, name: &str, lines: &mut [Line], versions: &[&str]) {
    let calls = lines.iter().filter(|line| row(line).is_some()).count() * versions.len();
    let wrong: Vec<_> = differences(engine, lines, versions).iter().map(Difference::to_string).collect();
    // `make compare` wants to know of each engine what was asked and which answers differ, in a folder of its own in this one.
    if let Some(folder) = std::env::var_os("WASMX_TRANSCRIPTS") {
        let callbacks = Callback::ALL.map(|callback| format!("callback {}\n", callback.words())).concat();
        let differs: String = wrong.iter().map(|wrong| format!("differs {wrong}\n")).collect();
        let file = Path::new(&folder).join(engine.name()).join(name);
        write(&file, &format!("calls {calls}\n{callbacks}{differs}"));
    }
    assert!(wrong.is_empty(), "{name}: {} calls answer otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// An answer that is not the table's.
struct Difference {
    /// The call, and the version of the ABI that it was made in.
    call: String,
    callback: Callback,
    /// `None` where the table has too few.
    expected: Option<u32>,
    seen: u32,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected.map_or("nothing".to_owned(), |status| status.to_string());
        write!(f, "{} | {} | {}, not {expected}", self.call, self.callback.words(), self.seen)
    }
}

/// Makes the calls of a table, in every callback and these versions of the ABI, takes note of what they answer, and
/// tells where that is another status than was expected.
fn differences(engine: Engine, lines: &mut [Line], versions: &[&str]) -> Vec<Difference> {
    let mut wrong = Vec::new();
    for version in versions {
        let seen = statuses(engine, lines, version);
        let (mut function, mut index) = (String::new(), 0);
        for line in lines.iter_mut() {
            match line {
                Line::Function { name, .. } => function.clone_from(name),
                Line::Call(row) => {
                    let seen: Vec<u32> = seen.iter().map(|column| column[index]).collect();
                    let call = format!("{function}: {} ({}), {version}", row.what, row.arguments);
                    wrong.extend(differences_of(&call, row.in_version(version), &seen));
                    row.note(version, seen);
                    index += 1;
                }
                Line::Text(_) | Line::Module(_) => {}
            }
        }
    }
    wrong
}

/// Where a call does not answer what is expected of it.
fn differences_of(call: &str, expected: &[u32], seen: &[u32]) -> Vec<Difference> {
    let difference = |(index, (callback, seen)): (usize, (Callback, &u32))| {
        let expected = expected.get(index).copied();
        (expected != Some(*seen)).then(|| Difference { call: call.to_owned(), callback, expected, seen: *seen })
    };
    Callback::ALL.into_iter().zip(seen).enumerate().filter_map(difference).collect()
}

/// The statuses of all calls, by callback.
fn statuses(engine: Engine, lines: &[Line], version: &str) -> Vec<Vec<u32>> {
    let up = Upstream::new().ok("an answer");
    let mut nginx = Nginx::new(engine);
    for callback in Callback::ALL {
        let name = format!("{callback:?}").to_lowercase();
        nginx = nginx.wat(&name, guest(lines, callback, version));
        nginx = nginx.location(&format!("/{name}"), (format!("proxy_wasm {name} configured;"), up.pass()));
    }
    // One of the calls logs at critical.
    let ng = nginx.allow("a line of the table").start();
    let count = lines.iter().filter(|line| row(line).is_some()).count();
    Callback::ALL.map(|callback| in_callback(&ng, callback, count)).into()
}

fn in_callback(ng: &Running, callback: Callback, count: usize) -> Vec<u32> {
    let name = format!("{callback:?}").to_lowercase();
    // The calls may have answered it, or closed it.
    let _ = ng.request("POST", &format!("/{name}?a=b")).header("x-there", "yes").body("a body").send();
    // During the start there is no root yet, and no number of one.
    let from =
        if callback == Callback::Start { format!("[\"{name}\"] {MARK}") } else { format!("[\"{name}\" #1] {MARK}") };
    let line = ng.log().wait(&from);
    let statuses = line.split(MARK).nth(1).unwrap_or_default().split([' ', ',']).next().unwrap_or_default();
    let statuses: Vec<u32> = statuses.chars().map(|c| u32::from(c) - ZERO).collect();
    assert_eq!(statuses.len(), count, "{line}");
    statuses
}
