//! `make compare`: what was tried and measured on every engine, as one report, docs/engines.md.
//!
//! scripts/compare.sh leaves what the tests and benches said in target/compare. Here it is read, compared and told. Where an
//! engine behaves otherwise than the others, `bench/compare/known.txt` has to say why; the report shows what it does not
//! explain, and the program fails.

mod inputs;
mod known;
mod machine;
mod page;
mod seam;
mod suite;
mod tables;
mod transcript;

use crate::{Options, Result};
use inputs::Inputs;
use known::{Difference, Known};
use std::fs;

/// Writes the report and its pictures; whether everything in it is explained.
///
/// # Errors
/// When a file cannot be read, or is not what it should be.
pub fn run(options: &Options) -> Result<bool> {
    let inputs = Inputs::read(options)?;
    let known = Known::parse(&fs::read_to_string(options.top.join("bench/compare/known.txt"))?)?;
    let suite = suite::judge(&inputs.suite, &inputs.differs, &options.engines, &known);
    let transcript = transcript::judge(&inputs.transcripts, &options.engines, &known)?;
    let mut differences = suite.differences();
    differences.extend(transcript.differences());

    let docs = options.top.join("docs");
    fs::create_dir_all(&docs)?;
    for (name, plot) in tables::plots(&inputs, &options.engines) {
        fs::write(docs.join(name), plot.svg())?;
    }
    let template = fs::read_to_string(options.top.join("bench/compare/engines.md"))?;
    let parts = [
        ("glance", tables::glance(&inputs, &options.engines, &suite, &transcript)),
        ("verdict", verdict(&suite, &transcript, &differences)),
        ("notes", known.table(&differences)),
        ("suite-files", suite.files()),
        ("suite-differences", suite.table(false)),
        ("suite", suite.table(true)),
        ("transcript", transcript.tables()),
        ("transcript-differences", transcript.difference_table()),
        ("throughput", tables::throughput(&inputs, &options.engines)),
        ("seam", seam::table(&inputs.seam, &options.engines)),
        ("starts", tables::starts(&inputs)),
        ("compile", tables::compile(&inputs)),
        ("sizes", tables::sizes(&inputs)),
        ("limits", tables::limits(&inputs, &options.engines)),
        ("machine", machine::list(&inputs)),
    ];
    let report = docs.join("engines.md");
    fs::write(&report, page::fill(&template, &parts)?)?;

    println!("{}", report.display());
    for entry in known.unused(&differences) {
        println!("    no longer needed in known.txt: {} | {} | {}", entry.about, entry.rows, entry.engines.join(","));
    }
    let unexplained: Vec<_> = differences.iter().filter(|it| it.note.is_none()).collect();
    for it in &unexplained {
        println!("    UNEXPLAINED: {}: {}: {}: {}", it.engine, it.about, it.row, it.what);
    }
    Ok(unexplained.is_empty())
}

/// What came out, in a few sentences.
fn verdict(suite: &suite::Suite, transcript: &transcript::Transcript, differences: &[Difference]) -> String {
    let unexplained: Vec<_> = differences.iter().filter(|it| it.note.is_none()).collect();
    let suite::Counts { common, equal, once } = suite.counts();
    let (same, answers) = transcript.equal();
    let mut text = format!(
        "{common} conformance tests run on every engine: {equal} pass in the same way on all, the others expect something \
         else of one or two engines. {once} more are about what only some engines have. Of {} answers of host functions, {} are \
         what the table says.",
        grouped(answers as u64),
        grouped(same as u64)
    );
    if unexplained.is_empty() {
        text += " Every difference is explained below.";
    } else {
        text += &format!("\n\n**Unexplained: {}.**\n", unexplained.len());
        for it in unexplained {
            text += &format!("\n- {}: `{}`, {}: {}", it.engine, it.row, it.about, it.what);
        }
    }
    text
}

/// A table of Markdown: the head, and rows of as many cells. Numbers stand right.
fn markdown(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<_> = (0..head.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
    let mut text = line(head) + &line(&rule);
    text.extend(rows.iter().map(|row| line(row)));
    text.truncate(text.trim_end().len());
    text
}

/// The head of a table: something, and then the engines.
fn head(first: &str, rest: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(rest.iter().cloned()).collect()
}

/// With a comma before thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let comma = |(index, digit): (usize, char)| {
        let first = index > 0 && (digits.len() - index).is_multiple_of(3);
        first.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

/// `a_test_of_this` as words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_markdown() {
        let text = markdown(&head("a", &["b".into()]), &[vec!["1".into(), "2".into()]]);
        assert_eq!(text, "| a | b |\n| --- | ---: |\n| 1 | 2 |");
    }

    #[test]
    fn thousands_have_a_comma() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
