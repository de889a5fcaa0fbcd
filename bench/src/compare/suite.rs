//! The conformance suite, test by test.

use super::known::{Difference, Known, mark};
use super::{head, markdown, words};
use std::collections::BTreeMap;

/// How a test went on an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It passes, and says that this engine does something else than the others.
    Otherwise(String),
    Failed,
    /// There is none.
    Missing,
}

/// A test, and what became of it.
struct Row {
    /// As `modules::tail_calls`.
    name: String,
    /// Whether it is there once, not for each engine.
    once: bool,
    /// By engine, each with the number of its explanation.
    cells: Vec<(Outcome, Option<usize>)>,
}

impl Row {
    fn is_equal(&self) -> bool {
        self.cells.iter().all(|(outcome, _)| *outcome == Outcome::Passed)
    }

    fn file(&self) -> &str {
        self.name.split("::").next().unwrap_or_default()
    }
}

/// How many tests there are.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that are there for each engine.
    pub common: usize,
    /// Of these, those that pass in the same way on all.
    pub equal: usize,
    /// Those that are there once, for some engines.
    pub once: usize,
}

/// The suite, on all engines.
pub struct Suite {
    engines: Vec<String>,
    rows: Vec<Row>,
}

/// Reads what the runner printed (`test FILE::ENGINE::TEST ... ok`) and what tests said aside
/// (`DIFFERS FILE::ENGINE::TEST: WHAT`).
pub fn judge(printed: &str, aside: &str, engines: &[String], known: &Known) -> Suite {
    let differs: BTreeMap<_, _> =
        aside.lines().filter_map(|line| line.strip_prefix("DIFFERS ")?.split_once(": ")).collect();
    // By the name without the engine: the engine, or none, and the outcome.
    let mut tests: BTreeMap<String, Vec<(Option<String>, Outcome)>> = BTreeMap::new();
    for (name, result) in printed.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... ")) {
        let engine = name.split("::").find(|part| engines.iter().any(|it| it == part));
        let row: Vec<_> = name.split("::").filter(|part| Some(*part) != engine).collect();
        let outcome = match (result.trim(), differs.get(name)) {
            ("ok", None) => Outcome::Passed,
            ("ok", Some(what)) => Outcome::Otherwise((*what).to_owned()),
            ("ignored", _) => Outcome::Missing,
            _ => Outcome::Failed,
        };
        tests.entry(row.join("::")).or_default().push((engine.map(str::to_owned), outcome));
    }
    let rows = tests.into_iter().map(|(name, outcomes)| row(name, &outcomes, engines, known)).collect();
    Suite { engines: engines.to_vec(), rows }
}

fn row(name: String, outcomes: &[(Option<String>, Outcome)], engines: &[String], known: &Known) -> Row {
    let of = |engine: Option<&String>| {
        let found = outcomes.iter().find(|(it, _)| it.as_ref() == engine);
        found.map_or(Outcome::Missing, |(_, outcome)| outcome.clone())
    };
    let once = outcomes.iter().all(|(engine, _)| engine.is_none());
    let cell = |engine: &String| match known.only(&name).filter(|_| once) {
        Some((_, owners)) if owners.contains(engine) => (of(None), known.explains("suite", &name, engine)),
        Some((number, _)) => (Outcome::Missing, Some(number)),
        None => (of(Some(engine)), known.explains("suite", &name, engine)),
    };
    let cells = engines.iter().map(cell).collect();
    Row { name, once, cells }
}

impl Suite {
    /// What became of the tests, in numbers.
    pub fn counts(&self) -> Counts {
        let common = || self.rows.iter().filter(|row| !row.once);
        Counts {
            common: common().count(),
            equal: common().filter(|row| row.is_equal()).count(),
            once: self.rows.len() - common().count(),
        }
    }

    /// What became of them on the engine at `index`, in words.
    pub fn on(&self, index: usize) -> String {
        let count = |wanted: fn(&Outcome) -> bool| self.rows.iter().filter(|row| wanted(&row.cells[index].0)).count();
        let otherwise = count(|outcome| matches!(outcome, Outcome::Otherwise(_)));
        let passed = count(|outcome| *outcome == Outcome::Passed);
        match count(|outcome| *outcome == Outcome::Failed) {
            0 => format!("{passed}, {otherwise} otherwise"),
            failed => format!("{passed}, {otherwise} otherwise, **{failed} failed**"),
        }
    }

    /// Where an engine is not as the tests say. Without any result, that is one for each engine.
    pub fn differences(&self) -> Vec<Difference> {
        let difference = |row: &str, engine: &String, what: &str, note| Difference {
            about: "suite".to_owned(),
            row: row.to_owned(),
            engine: engine.clone(),
            what: what.to_owned(),
            note,
        };
        if self.rows.is_empty() {
            return self.engines.iter().map(|engine| difference("all", engine, "no test ran", None)).collect();
        }
        let mut found = Vec::new();
        for row in &self.rows {
            for (engine, (outcome, note)) in self.engines.iter().zip(&row.cells) {
                let what = match outcome {
                    Outcome::Passed => continue,
                    Outcome::Otherwise(what) => what,
                    Outcome::Failed => "failed",
                    Outcome::Missing => "no such test",
                };
                found.push(difference(&row.name, engine, what, *note));
            }
        }
        found
    }

    /// How many tests each file has.
    pub fn files(&self) -> String {
        let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for row in &self.rows {
            let (tests, equal) = files.entry(row.file()).or_default();
            *tests += 1;
            *equal += usize::from(row.is_equal());
        }
        let row = |(file, (tests, equal)): (&str, (usize, usize))| {
            vec![format!("`{file}`"), tests.to_string(), equal.to_string(), (tests - equal).to_string()]
        };
        let head = ["file", "tests", "the same on all engines", "not"].map(str::to_owned);
        markdown(&head, &files.into_iter().map(row).collect::<Vec<_>>())
    }

    /// All tests, or only those that are not the same on every engine.
    pub fn table(&self, all: bool) -> String {
        let cell = |(outcome, note): &(Outcome, Option<usize>)| match outcome {
            Outcome::Passed => "pass".to_owned(),
            Outcome::Otherwise(_) => format!("otherwise{}", mark(*note)),
            Outcome::Failed => format!("**FAIL**{}", mark(*note)),
            Outcome::Missing => format!("n/a{}", mark(*note)),
        };
        let row = |row: &Row| {
            let name = row.name.split_once("::").map_or(row.name.as_str(), |(_, test)| test);
            let first = format!("`{}` {}", row.file(), words(name));
            std::iter::once(first).chain(row.cells.iter().map(cell)).collect()
        };
        let rows: Vec<_> = self.rows.iter().filter(|row| all || !row.is_equal()).map(row).collect();
        if rows.is_empty() {
            "None.".to_owned()
        } else {
            markdown(&head("test", &self.engines), &rows).replace("---:", "---")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\nrunning 6 tests
test calls::wasmi::numbers ... ok
test calls::wasmtime::numbers ... ok
test modules::wasmi::tail_calls ... ok
test modules::wasmtime::tail_calls ... ok
test pool::a_full_pool ... ok
test traps::wasmtime::a_trap ... FAILED
test traps::wasmi::a_trap ... ok

test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";
    const KNOWN: &str = "suite | modules::tail_calls | wasmi | No.\nonly | pool::* | wasmtime | A pool.";

    fn suite(known: &str) -> Suite {
        let engines = ["wasmtime", "wasmi"].map(str::to_owned);
        let aside = "   Compiling engines\nDIFFERS modules::wasmi::tail_calls: has none: at all\n";
        judge(PRINTED, aside, &engines, &Known::parse(known).unwrap())
    }

    #[test]
    fn each_test_has_a_row_and_each_engine_a_cell() {
        let suite = suite(KNOWN);
        assert_eq!(suite.counts(), Counts { common: 3, equal: 1, once: 1 });
        assert_eq!([suite.on(0), suite.on(1)], ["3, 0 otherwise, **1 failed**", "2, 1 otherwise"]);
        let table = suite.table(true);
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `calls` numbers | pass | pass |",
                "| `modules` tail calls | pass | otherwise <sup>1</sup> |",
                "| `pool` a full pool | pass | n/a <sup>2</sup> |",
                "| `traps` a trap | **FAIL** **unexplained** | pass |",
            ]
        );
        assert_eq!(suite.table(false).lines().count(), 5);
        assert_eq!(suite.files().lines().last().unwrap(), "| `traps` | 1 | 0 | 1 |");
    }

    #[test]
    fn differences_have_their_explanation_or_none() {
        let notes = |known| suite(known).differences().iter().map(|it| it.note).collect::<Vec<_>>();
        assert_eq!(notes(KNOWN), [Some(1), Some(2), None]);
        // Nobody says whose test the pool's is: it is nobody's.
        assert_eq!(notes(""), [None; 4]);
        assert_eq!(suite(KNOWN).differences()[0].what, "has none: at all");
    }

    #[test]
    fn a_suite_that_did_not_run_is_a_difference() {
        let none = judge("error: could not compile", "", &["wasmi".to_owned()], &Known::parse("").unwrap());
        assert_eq!(none.differences()[0].what, "no test ran");
    }
}
