//! The transcripts: what every host function answers in every callback, row by row.
//!
//! They are judged by t/tests/transcript, which leaves for each engine what `compare` in statuses.rs writes.

use super::inputs;
use super::known::{Difference, Known, mark};
use super::{head, markdown};
use crate::Result;

/// A table, and what engines answered.
struct Table {
    name: String,
    /// Each in every version of the ABI.
    calls: usize,
    callbacks: Vec<String>,
    /// By engine: where it answers otherwise; `None` when it was not seen.
    engines: Vec<(String, Option<Vec<Other>>)>,
}

/// An answer that is not the table's.
struct Other {
    /// Function, arguments and version.
    call: String,
    callback: String,
    /// Which it is, and which it should be.
    answer: String,
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
    let mut table = Table {
        name: transcript.name.clone(),
        calls: 0,
        callbacks: Vec::new(),
        engines: Vec::with_capacity(engines.len()),
    };
    for engine in engines {
        let seen = transcript.seen.iter().find(|(it, _)| it == engine);
        let explain = |call: &str| known.explains(&transcript.name, call, engine);
        let others = seen.map(|(_, text)| table.read(text, explain)).transpose()?;
        table.engines.push((engine.clone(), others));
    }
    Ok(table)
}

impl Table {
    fn answers(&self) -> usize {
        self.calls * self.callbacks.len()
    }

    /// Reads what the test of an engine left: the same calls and callbacks as on others, and its own answers.
    fn read(&mut self, text: &str, explain: impl Fn(&str) -> Option<usize>) -> Result<Vec<Other>> {
        let (mut calls, mut callbacks, mut others) = (0, Vec::new(), Vec::new());
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("calls", count)) => calls = count.parse()?,
                Some(("callback", name)) => callbacks.push(name.to_owned()),
                Some(("differs", what)) => {
                    let mut parts = what.rsplitn(3, " | ").map(str::to_owned);
                    let (Some(answer), Some(callback), Some(call)) = (parts.next(), parts.next(), parts.next()) else {
                        return Err(format!("{}: no call, callback and answer: {line}", self.name).into());
                    };
                    others.push(Other { note: explain(&call), call, callback, answer });
                }
                _ => return Err(format!("{}: not of a transcript: {line}", self.name).into()),
            }
        }
        if self.calls != 0 && (self.calls, &self.callbacks) != (calls, &callbacks) {
            return Err(format!("{}: the transcripts of two engines are of other tables", self.name).into());
        }
        (self.calls, self.callbacks) = (calls, callbacks);
        Ok(others)
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
                    Some(others) => found.extend(
                        others
                            .iter()
                            .map(|it| difference(&it.call, format!("{} in {}", it.answer, it.callback), it.note)),
                    ),
                }
            }
        }
        found
    }

    /// A row for each callback, a table for each file.
    pub fn tables(&self) -> String {
        let table = |table: &Table| {
            let row = |callback: &String| {
                let cell = |(_, others): &(String, Option<Vec<Other>>)| match others {
                    None => "**not taken**".to_owned(),
                    Some(others) => match others.iter().filter(|it| it.callback == *callback).count() {
                        0 => "equal".to_owned(),
                        count => format!("**{count} differ**"),
                    },
                };
                let first = [callback.clone(), table.calls.to_string()];
                first.into_iter().chain(table.engines.iter().map(cell)).collect()
            };
            let rows: Vec<_> = table.callbacks.iter().map(row).collect();
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
                    other.callback.clone(),
                    engine.clone(),
                    format!("{}{}", other.answer, mark(other.note)),
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

    const SEEN: &str = "calls 9\ncallback start\ncallback tick\n";

    fn judged(seen: &[(&str, &str)], known: &str) -> Result<Transcript> {
        let seen = seen.iter().map(|(engine, text)| ((*engine).to_owned(), (*text).to_owned())).collect();
        let engines = ["wasmtime", "wasmer"].map(str::to_owned);
        judge(&[inputs::Transcript { name: "proxy_wasm".into(), seen }], &engines, &Known::parse(known)?)
    }

    #[test]
    fn equal_is_equal() {
        let both = judged(&[("wasmtime", SEEN), ("wasmer", SEEN)], "").unwrap();
        assert!(both.differences().is_empty());
        assert_eq!(both.equal(), (9 * 2 * 2, 9 * 2 * 2));
        assert!(both.tables().contains("| tick | 9 | equal | equal |"));
        assert_eq!(both.difference_table(), "No answer differs.");
    }

    #[test]
    fn what_differs_is_named_and_what_was_not_seen_too() {
        let other = format!("{SEEN}differs proxy_log: a level (6 \"a | b\"), 0.2.1 | tick | 5, not 0\n");
        let one = judged(&[("wasmtime", &other)], "proxy_wasm | proxy_log: a level* | wasmtime | So.").unwrap();
        let differences = one.differences();
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert_eq!(differences[0].row, "proxy_log: a level (6 \"a | b\"), 0.2.1");
        assert_eq!((differences[0].what.as_str(), differences[0].note), ("5, not 0 in tick", Some(1)));
        assert_eq!((differences[1].engine.as_str(), differences[1].note), ("wasmer", None));
        assert!(one.tables().contains("| tick | 9 | **1 differ** | **not taken** |"));
        assert_eq!(one.equal_on(0), (9 * 2 - 1, 9 * 2));
    }

    #[test]
    fn what_is_no_transcript_or_of_another_table_is_refused() {
        let other = SEEN.replace('9', "8");
        for seen in [[("wasmtime", "proxy_log i32"), ("wasmer", SEEN)], [("wasmtime", SEEN), ("wasmer", &other)]] {
            assert!(judged(&seen, "").is_err());
        }
        assert!(judged(&[("wasmtime", "differs one | two\n")], "").is_err());
    }
}
