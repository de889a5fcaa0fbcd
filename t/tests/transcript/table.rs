//! The tables: calls, and the status of each in every callback.
//!
//! A line `NAME TYPE ...` begins a function: its parameters' types, `-> nothing` for one without a result, `@ MODULE`
//! before it for the functions of another module than `env`. Below it, a row for each call:
//!
//! ```text
//!     what it shows | ARGUMENTS | STATUSES
//! ```
//!
//! The statuses: one for all callbacks, or one for each in the order of [`Callback::ALL`]. A row without a description
//! that begins with a version holds the statuses in that version of the ABI, where they differ from 0.2.1.
//!
//! Arguments are numbers, or
//!
//! ```text
//!     "text"      two: the address and the size of a text (`\0` in it is a NUL)
//!     &"text"     its address only
//!     {a=b, c=d}  two: the address and the size of header pairs
//!     <01 ff>     two: the address and the size of these bytes
//!     to          the address of 8 bytes for a result, others for each
//!     last        the address of the last byte of memory: a number does not fit there
//!     wild        an address past the end of memory
//!     self        the id of the context that the callback is for
//! ```
//!
//! With `WASMX_UPDATE=1` the test writes the statuses that it sees into the file, in place of judging them: read the
//! difference before you keep it.

use std::fmt::Write as _;

/// The callbacks, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    Start,
    RootCreate,
    VmStart,
    Configure,
    Tick,
    Create,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    Done,
    Log,
    Delete,
}

impl Callback {
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::RootCreate,
        Self::VmStart,
        Self::Configure,
        Self::Tick,
        Self::Create,
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::Done,
        Self::Log,
        Self::Delete,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::RootCreate => "create of a root",
            Self::VmStart => "vm_start",
            Self::Configure => "configure",
            Self::Tick => "tick",
            Self::Create => "create",
            Self::RequestHeaders => "request headers",
            Self::RequestBody => "request body",
            Self::ResponseHeaders => "response headers",
            Self::ResponseBody => "response body",
            Self::Done => "done",
            Self::Log => "log",
            Self::Delete => "delete",
        }
    }
}

/// A call, and what it answers.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub arguments: String,
    /// By callback, in ABI 0.2.1.
    pub statuses: Vec<u32>,
    /// The same in other versions, where they differ.
    pub others: Vec<(String, Vec<u32>)>,
}

impl Row {
    /// The statuses in a version of the ABI.
    pub fn in_version(&self, version: &str) -> &[u32] {
        self.others.iter().find(|(other, _)| other == version).map_or(&self.statuses, |(_, statuses)| statuses)
    }

    /// Takes note of what a version answers. 0.2.1 comes first.
    pub fn note(&mut self, version: &str, statuses: Vec<u32>) {
        self.others.retain(|(other, _)| other != version);
        if version == LATEST {
            self.statuses = statuses;
        } else if statuses != self.statuses {
            self.others.push((version.to_owned(), statuses));
        }
    }
}

pub const LATEST: &str = "0.2.1";

/// A line of a table.
#[derive(Clone, Debug)]
pub enum Line {
    /// A comment, or nothing.
    Text(String),
    Module(String),
    Function {
        name: String,
        params: Vec<String>,
        answers: bool,
    },
    Call(Row),
}

/// Reads a table.
pub fn parse(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines() {
        if let Some((what, rest)) = line.strip_prefix("    ").and_then(|row| row.split_once('|')) {
            let (arguments, statuses) = rest.rsplit_once('|').unwrap_or_else(|| panic!("no statuses: {line}"));
            let (what, arguments, statuses) =
                (what.trim().to_owned(), arguments.trim().to_owned(), statuses_of(statuses));
            match (arguments.strip_prefix("in "), lines.last_mut()) {
                (Some(version), Some(Line::Call(row))) if what.is_empty() => {
                    row.others.push((version.to_owned(), statuses))
                }
                _ => lines.push(Line::Call(Row { what, arguments, statuses, others: Vec::new() })),
            }
        } else if line.trim().is_empty() || line.starts_with('#') {
            lines.push(Line::Text(line.to_owned()));
        } else if let Some(module) = line.strip_prefix("@ ") {
            lines.push(Line::Module(module.to_owned()));
        } else {
            let (signature, answers) = match line.strip_suffix(" -> nothing") {
                Some(signature) => (signature, false),
                None => (line, true),
            };
            let mut words = signature.split_whitespace().map(str::to_owned);
            lines.push(Line::Function { name: words.next().unwrap_or_default(), params: words.collect(), answers });
        }
    }
    lines
}

fn statuses_of(text: &str) -> Vec<u32> {
    let given: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match given[..] {
        [one] => vec![one; Callback::ALL.len()],
        _ => given,
    }
}

/// The text of a table.
pub fn show(lines: &[Line]) -> String {
    let width = |of: fn(&Row) -> usize| lines.iter().filter_map(|line| row(line).map(of)).max().unwrap_or(0);
    let (what, arguments) = (width(|row| row.what.len()), width(|row| row.arguments.len()));
    let mut text = String::new();
    for line in lines {
        let _ = match line {
            Line::Text(line) => writeln!(text, "{line}"),
            Line::Module(module) => writeln!(text, "@ {module}"),
            Line::Function { name, params, answers } => {
                let nothing = if *answers { "" } else { " -> nothing" };
                writeln!(text, "{}{nothing}", [std::slice::from_ref(name), params].concat().join(" "))
            }
            Line::Call(row) => {
                let mut rows = vec![(row.what.clone(), row.arguments.clone(), &row.statuses)];
                rows.extend(
                    row.others.iter().map(|(version, statuses)| (String::new(), format!("in {version}"), statuses)),
                );
                for (a, b, statuses) in rows {
                    let _ = writeln!(text, "    {a:what$} | {b:arguments$} | {}", show_statuses(statuses));
                }
                Ok(())
            }
        };
    }
    text
}

fn show_statuses(statuses: &[u32]) -> String {
    match statuses {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => first.to_string(),
        _ => statuses.iter().map(|status| format!("{status:<2}")).collect::<Vec<_>>().join(" ").trim_end().to_owned(),
    }
}

pub fn row(line: &Line) -> Option<&Row> {
    if let Line::Call(row) = line { Some(row) } else { None }
}
