//! The transcripts: what every host function answers in every callback, row by row.
//!
//! The form of the tables is told in t/tests/transcript/table.rs. Only what is compared is read here.

use super::inputs;
use super::known::{Difference, Known, mark};
use super::{head, markdown};
use crate::Result;

/// The callbacks, in the order of the statuses.
const CALLBACKS: [&str; 13] = [
    "start",
    "create of a root",
    "vm_start",
    "configure",
    "tick",
    "create",
    "request headers",
    "request body",
    "response headers",
    "response body",
    "done",
    "log",
    "delete",
];
/// The version of the ABI that rows are for unless they say otherwise.
const LATEST: &str = "0.2.1";

/// A call in a version of the ABI, and what it answers in each callback.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    /// Function, arguments and version.
    name: String,
    statuses: Vec<u32>,
}

/// A table, and what engines answered.
struct Table {
    name: String,
    calls: usize,
    /// By engine: where it answers otherwise; `None` when it was not seen.
    engines: Vec<(String, Option<Vec<Other>>)>,
}

/// An answer that is not the table's.
struct Other {
    call: String,
    callback: usize,
    expected: u32,
    seen: u32,
    note: Option<usize>,
}

/// The tables, on all engines.
pub struct Transcript {
    engines: Vec<String>,
    tables: Vec<Table>,
}

/// Compares what engines answered with the tables.
///
/// # Errors
/// When a table is not one.
pub fn judge(all: &[inputs::Transcript], engines: &[String], known: &Known) -> Result<Transcript> {
    let tables = all.iter().map(|it| table(it, engines, known)).collect::<Result<_>>()?;
    Ok(Transcript { engines: engines.to_vec(), tables })
}

fn table(transcript: &inputs::Transcript, engines: &[String], known: &Known) -> Result<Table> {
    let expected = parse(&transcript.expected, &transcript.name)?;
    let mut judged = Vec::new();
    for engine in engines {
        let others = match transcript.seen.iter().find(|(it, _)| it == engine) {
            Some((_, seen)) => {
                let explain = |call: &str| known.explains(&transcript.name, call, engine);
                Some(others(&expected, &parse(seen, &transcript.name)?, explain)?)
            }
            None => None,
        };
        judged.push((engine.clone(), others));
    }
    Ok(Table { name: transcript.name.clone(), calls: expected.len(), engines: judged })
}

/// Reads a table. Host functions of Proxy-Wasm are there in three versions, those of WASI in one.
fn parse(text: &str, name: &str) -> Result<Vec<Call>> {
    let versions: &[&str] = if name == "proxy_wasm" { &[LATEST, "0.2.0", "0.1.0"] } else { &[LATEST] };
    let mut function = "";
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', '@'])) {
        let Some((what, rest)) = line.strip_prefix("    ").and_then(|row| row.split_once('|')) else {
            function = line.split(' ').next().unwrap_or_default();
            continue;
        };
        let (arguments, statuses) = rest.rsplit_once('|').ok_or_else(|| format!("{name}: no statuses: {line}"))?;
        let (what, arguments, statuses) = (what.trim(), arguments.trim(), statuses_of(statuses, line)?);
        if let (true, Some(version)) = (what.is_empty(), arguments.strip_prefix("in ")) {
            // The calls of the row above are the last ones, one for each version.
            let above =
                calls.iter_mut().rev().take(versions.len()).find(|it| it.name.ends_with(&format!(", {version}")));
            above.ok_or_else(|| format!("{name}: no such version: {line}"))?.statuses = statuses;
            continue;
        }
        calls.extend(versions.iter().map(|version| Call {
            name: format!("{function}: {what} ({arguments}), {version}"),
            statuses: statuses.clone(),
        }));
    }
    Ok(calls)
}

fn statuses_of(text: &str, line: &str) -> Result<Vec<u32>> {
    let given = text.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<u32>, _>>()?;
    match given[..] {
        [one] => Ok(vec![one; CALLBACKS.len()]),
        _ if given.len() == CALLBACKS.len() => Ok(given),
        _ => Err(format!("{} statuses: {line}", given.len()).into()),
    }
}

fn others(expected: &[Call], seen: &[Call], explain: impl Fn(&str) -> Option<usize>) -> Result<Vec<Other>> {
    let mut found = Vec::new();
    if expected.len() != seen.len() {
        return Err(
            format!("{} calls, not {}: is the transcript of an older table?", seen.len(), expected.len()).into()
        );
    }
    for (expected, seen) in expected.iter().zip(seen) {
        if expected.name != seen.name {
            return Err(format!(
                "{:?} where {:?} should be: is the transcript of an older table?",
                seen.name, expected.name
            )
            .into());
        }
        for (callback, (a, b)) in expected.statuses.iter().zip(&seen.statuses).enumerate().filter(|(_, (a, b))| a != b)
        {
            let note = explain(&expected.name);
            found.push(Other { call: expected.name.clone(), callback, expected: *a, seen: *b, note });
        }
    }
    Ok(found)
}

impl Table {
    fn answers(&self) -> usize {
        self.calls * CALLBACKS.len()
    }
}

impl Transcript {
    /// How many answers, on all engines together, are those of the tables, of how many.
    pub fn equal(&self) -> (usize, usize) {
        (0..self.engines.len()).map(|index| self.equal_on(index)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// The same on the engine at `index`.
    pub fn equal_on(&self, index: usize) -> (usize, usize) {
        let of = |table: &Table| {
            let seen = table.engines[index].1.as_ref();
            (seen.map_or(0, |others| table.answers() - others.len()), table.answers())
        };
        self.tables.iter().map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Where an engine does not answer what the tables say.
    pub fn differences(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        for table in &self.tables {
            for (engine, others) in &table.engines {
                let difference = |row: &str, what: String, note| Difference {
                    about: table.name.clone(),
                    row: row.to_owned(),
                    engine: engine.clone(),
                    what,
                    note,
                };
                match others {
                    None => found.push(difference("all", "no transcript was taken".to_owned(), None)),
                    Some(others) => found.extend(others.iter().map(|it| {
                        let what = format!("{} in {}, not {}", it.seen, CALLBACKS[it.callback], it.expected);
                        difference(&it.call, what, it.note)
                    })),
                }
            }
        }
        found
    }

    /// A row for each callback, a table for each file.
    pub fn tables(&self) -> String {
        let table = |table: &Table| {
            let row = |(callback, name): (usize, &&str)| {
                let cell = |(_, others): &(String, Option<Vec<Other>>)| match others {
                    None => "**not taken**".to_owned(),
                    Some(others) => match others.iter().filter(|it| it.callback == callback).count() {
                        0 => "equal".to_owned(),
                        count => format!("**{count} differ**"),
                    },
                };
                let first = [(*name).to_owned(), table.calls.to_string()];
                first.into_iter().chain(table.engines.iter().map(cell)).collect()
            };
            let rows: Vec<_> = CALLBACKS.iter().enumerate().map(row).collect();
            let head = head("callback", &head("calls", &self.engines));
            format!("**`{}`**\n\n{}", table.name, markdown(&head, &rows))
        };
        self.tables.iter().map(table).collect::<Vec<_>>().join("\n\n")
    }

    /// The answers that differ.
    pub fn difference_table(&self) -> String {
        let mut rows = Vec::new();
        for table in &self.tables {
            for (engine, other) in
                table.engines.iter().flat_map(|(engine, others)| others.iter().flatten().map(move |it| (engine, it)))
            {
                rows.push(vec![
                    format!("`{}` {}", table.name, other.call.replace('|', "\\|")),
                    CALLBACKS[other.callback].to_owned(),
                    engine.clone(),
                    format!("{}, not {}{}", other.seen, other.expected, mark(other.note)),
                ]);
            }
        }
        let head = ["call", "callback", "engine", "answer"].map(str::to_owned);
        if rows.is_empty() { "No answer differs.".to_owned() } else { markdown(&head, &rows).replace("---:", "---") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# a comment
proxy_log i32 i32 i32
    well      | 0 \"a | b\" | 0
    a level   | 6 \"a\"     | 2  0  0  0  0  0  0  0  0  0  0  0  0
              | in 0.1.0  | 1

proxy_done
    well      |           | 0
";

    fn transcript(seen: &[(&str, &str)], known: &str) -> Transcript {
        let transcript = inputs::Transcript {
            name: "proxy_wasm".into(),
            expected: TABLE.into(),
            seen: seen.iter().map(|(engine, text)| ((*engine).to_owned(), (*text).to_owned())).collect(),
        };
        let engines = ["wasmtime", "wasmer"].map(str::to_owned);
        judge(&[transcript], &engines, &Known::parse(known).unwrap()).unwrap()
    }

    #[test]
    fn a_row_is_a_call_in_each_version() {
        let calls = parse(TABLE, "proxy_wasm").unwrap();
        assert_eq!(calls.len(), 9);
        assert_eq!(calls[0].name, "proxy_log: well (0 \"a | b\"), 0.2.1");
        assert_eq!((calls[3].statuses[0], calls[3].statuses[1]), (2, 0));
        assert_eq!(
            (calls[4].name.as_str(), calls[5].statuses[..2].to_vec()),
            ("proxy_log: a level (6 \"a\"), 0.2.0", vec![1, 1])
        );
        assert_eq!(
            parse(TABLE, "wasi_unstable").err().unwrap().to_string().split(':').next().unwrap(),
            "wasi_unstable"
        );
        assert!(parse("f i32\n    well | 0 | 1 2\n", "proxy_wasm").is_err());
    }

    #[test]
    fn equal_is_equal() {
        let both = transcript(&[("wasmtime", TABLE), ("wasmer", TABLE)], "");
        assert!(both.differences().is_empty());
        assert_eq!(both.equal(), (9 * 13 * 2, 9 * 13 * 2));
        assert!(both.tables().contains("| tick | 9 | equal | equal |"));
        assert_eq!(both.difference_table(), "No answer differs.");
    }

    #[test]
    fn what_differs_is_named_and_what_was_not_seen_too() {
        let other = TABLE.replace("2  0  0  0  0", "2  0  0  0  5");
        let one = transcript(&[("wasmtime", &other)], "proxy_wasm | proxy_log: a level* | wasmtime | So.");
        let differences = one.differences();
        assert_eq!(differences.len(), 3, "{differences:?}");
        assert_eq!((differences[0].what.as_str(), differences[0].note), ("5 in tick, not 0", Some(1)));
        assert_eq!((differences[2].engine.as_str(), differences[2].note), ("wasmer", None));
        assert!(one.tables().contains("| tick | 9 | **2 differ** | **not taken** |"));
        assert_eq!(one.equal_on(0), (9 * 13 - 2, 9 * 13));
    }

    #[test]
    fn a_transcript_of_another_table_is_refused() {
        let known = Known::parse("").unwrap();
        let engines = ["wasmi".to_owned()];
        for seen in [TABLE.replace("proxy_done", "proxy_end"), format!("{TABLE}    more | | 0\n")] {
            let it = inputs::Transcript {
                name: "proxy_wasm".into(),
                expected: TABLE.into(),
                seen: vec![("wasmi".into(), seen)],
            };
            assert!(judge(&[it], &engines, &known).is_err());
        }
    }
}
