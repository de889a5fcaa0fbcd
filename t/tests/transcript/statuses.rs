//! What the calls of the tables answer.

use std::fs;
use std::path::{Path, PathBuf};

use wasmx_t::{Engine, Nginx, Running, Upstream, workspace};

use crate::guest::{MARK, ZERO, guest};
use crate::table::{Callback, LATEST, Line, Row, parse, row, show};

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

fn write(path: &Path, lines: &[Line]) {
    fs::write(path, show(lines)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Judges the calls of a table, or takes down what they answer.
fn judge(engine: Engine, name: &str, versions: &[&str]) {
    let mut lines = read(name);
    if std::env::var_os("WASMX_UPDATE").is_some() {
        differences(engine, &mut lines, versions);
        write(&path(name), &lines);
    } else {
        compare(engine, name, &mut lines, versions);
    }
}

fn compare(engine: Engine, name: &str, lines: &mut [Line], versions: &[&str]) {
    let wrong = differences(engine, lines, versions);
    // `make compare` wants to have what each engine answers, in a folder of its own in this one.
    if let Some(folder) = std::env::var_os("WASMX_TRANSCRIPTS") {
        write(&Path::new(&folder).join(engine.name()).join(name), lines);
    }
    assert!(wrong.is_empty(), "{name}: {} calls answer otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// Makes the calls of a table, in every callback and these versions of the ABI, takes note of what they answer, and
/// tells where that is another status than was expected.
fn differences(engine: Engine, lines: &mut [Line], versions: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in versions {
        let seen = statuses(engine, lines, version);
        for (index, row) in lines.iter_mut().filter_map(row_mut).enumerate() {
            let seen: Vec<u32> = seen.iter().map(|column| column[index]).collect();
            wrong.extend(differences_of(row, version, &seen));
            row.note(version, seen);
        }
    }
    wrong
}

fn row_mut(line: &mut Line) -> Option<&mut Row> {
    if let Line::Call(row) = line { Some(row) } else { None }
}

/// Where a call does not answer what its row says.
fn differences_of(row: &Row, version: &str, seen: &[u32]) -> Vec<String> {
    let expected = row.in_version(version);
    if expected.len() != seen.len() {
        return vec![format!("{} ({}): {} statuses", row.what, row.arguments, expected.len())];
    }
    let differ = Callback::ALL.iter().zip(expected.iter().zip(seen)).filter(|(_, (expected, seen))| expected != seen);
    differ
        .map(|(callback, (expected, seen))| {
            format!("{version} {callback:?}: {} ({}): {seen}, not {expected}", row.what, row.arguments)
        })
        .collect()
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
