//! Differences between engines, and the explanations of bench/compare/known.txt.

use super::markdown;
use crate::Result;

/// Something that an engine does otherwise than the table or the test says, or has no test for.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it was seen: `suite`, or the name of a transcript.
    pub about: String,
    pub row: String,
    pub engine: String,
    pub what: String,
    /// The number of its explanation.
    pub note: Option<usize>,
}

/// The explanations, numbered from 1 in the order of the file.
pub struct Known(Vec<Entry>);

/// One explanation.
pub struct Entry {
    /// `suite`, `only` or the name of a transcript.
    pub about: String,
    /// The rows that it explains: a name, or the beginning of some with a `*`.
    pub rows: String,
    pub engines: Vec<String>,
    why: String,
}

impl Entry {
    fn has_row(&self, row: &str) -> bool {
        match self.rows.strip_suffix('*') {
            Some(beginning) => row.starts_with(beginning),
            None => row == self.rows,
        }
    }

    fn has_engine(&self, engine: &str) -> bool {
        self.engines.iter().any(|it| it == engine)
    }
}

impl Known {
    /// Reads lines `ABOUT | ROWS | ENGINES | WHY`; those that begin with `#` are comments.
    ///
    /// # Errors
    /// The first line that is something else.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let entry = |line: &str| match line.splitn(4, '|').map(str::trim).collect::<Vec<_>>()[..] {
            [about, rows, engines, why] if ![about, rows, engines, why].contains(&"") => Ok(Entry {
                about: about.to_owned(),
                rows: rows.to_owned(),
                engines: engines.split(',').map(|engine| engine.trim().to_owned()).collect(),
                why: why.to_owned(),
            }),
            _ => Err(format!("known.txt: no ABOUT | ROWS | ENGINES | WHY: {line}").into()),
        };
        lines.map(entry).collect::<Result<_>>().map(Self)
    }

    /// The number of the explanation why an engine is otherwise in a row.
    pub fn explains(&self, about: &str, row: &str, engine: &str) -> Option<usize> {
        self.find(|entry| entry.about == about && entry.has_row(row) && entry.has_engine(engine))
    }

    /// For a test that is there once, not for each engine: the number of the explanation, and the engines that it is for.
    pub fn only(&self, row: &str) -> Option<(usize, &[String])> {
        let number = self.find(|entry| entry.about == "only" && entry.has_row(row))?;
        Some((number, &self.0[number - 1].engines))
    }

    fn find(&self, wanted: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.0.iter().position(wanted).map(|index| index + 1)
    }

    /// The explanations that no difference needs.
    pub fn unused(&self, differences: &[Difference]) -> impl Iterator<Item = &Entry> {
        self.0.iter().enumerate().filter(|(index, _)| !is_used(differences, index + 1)).map(|(_, entry)| entry)
    }

    /// The explanations that are needed.
    pub fn table(&self, differences: &[Difference]) -> String {
        let used = self.0.iter().enumerate().filter(|(index, _)| is_used(differences, index + 1));
        let row = |(index, entry): (usize, &Entry)| {
            let number = index + 1;
            let mut engines: Vec<_> =
                differences.iter().filter(|it| it.note == Some(number)).map(|it| it.engine.as_str()).collect();
            engines.sort_unstable();
            engines.dedup();
            vec![number.to_string(), entry.why.clone(), engines.join(", ")]
        };
        let head = ["note", "why", "not, or otherwise, in"].map(str::to_owned);
        // Prose stands left.
        markdown(&head, &used.map(row).collect::<Vec<_>>()).replace("---:", "---")
    }
}

fn is_used(differences: &[Difference], number: usize) -> bool {
    differences.iter().any(|it| it.note == Some(number))
}

/// The mark of an explanation, or of there being none.
pub fn mark(note: Option<usize>) -> String {
    note.map_or_else(|| " **unexplained**".to_owned(), |number| format!(" <sup>{number}</sup>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\n\nsuite | modules::tail_calls | wasmer | It has | none.\nonly | pool::* | wasmtime, wasmi | A pool.\n";

    #[test]
    fn rows_are_found_by_name_or_beginning() {
        let known = Known::parse(TEXT).unwrap();
        assert_eq!(known.explains("suite", "modules::tail_calls", "wasmer"), Some(1));
        assert_eq!(known.explains("suite", "modules::tail_calls", "wasmi"), None);
        assert_eq!(known.explains("suite", "modules::tail_calls_more", "wasmer"), None);
        assert_eq!(known.explains("wasi", "modules::tail_calls", "wasmer"), None);
        assert_eq!(known.only("pool::any"), Some((2, &["wasmtime".to_owned(), "wasmi".to_owned()][..])));
        assert_eq!(known.only("modules::tail_calls"), None);
    }

    #[test]
    fn lines_of_another_form_are_refused() {
        for wrong in ["suite | a | b", "suite | | b | c", "words"] {
            assert!(Known::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_needed_is_shown_and_what_is_not_is_told() {
        let known = Known::parse(TEXT).unwrap();
        let seen = Difference {
            about: "suite".into(),
            row: "modules::tail_calls".into(),
            engine: "wasmer".into(),
            what: "no".into(),
            note: Some(1),
        };
        assert_eq!(known.table(&[seen]).lines().last().unwrap(), "| 1 | It has | none. | wasmer |");
        assert_eq!(known.unused(&[]).count(), 2);
    }
}
