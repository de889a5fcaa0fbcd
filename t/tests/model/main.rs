//! Random edits, and a model in plain memory of what they come to.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

mod bodies;
mod headers;
mod holds;

/// Tries `test` with 200 values, or as many as PROPTEST_CASES says; the same in each run, unless PROPTEST_CASES is set.
fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config { failure_persistence: None, ..if more { Config::default() } else { Config::with_cases(200) } };
    let mut runner = match more {
        true => TestRunner::new(config),
        false => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    if let Err(error) = runner.run(strategy, test) {
        panic!("{error}");
    }
}

/// A value as statements of the script take it: all but letters and digits as `%XX`.
fn encoded(value: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    value.bytes().map(one).collect()
}

/// How the script logs a statement that gives something.
fn gives(statement: &str, value: &str) -> String {
    format!("{statement} -> 0 \"{}\"", value.escape_debug())
}
