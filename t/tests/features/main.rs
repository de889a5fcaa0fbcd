//! features.md names tests: each of them is there.

use std::path::Path;

use wasmx_t::workspace;

#[test]
fn every_test_that_features_names_is_there() {
    let text = std::fs::read_to_string(workspace().join("features.md")).expect("features.md");
    let missing: Vec<_> = named(&text).into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "features.md names tests that are not there:\n{}", missing.join("\n"));
    assert!(!named(&text).is_empty(), "features.md names no tests");
}

#[test]
fn names_are_found_in_the_last_column_only() {
    let table =
        "| a `x::y::z` | `a::b::c`, `d::e::f` and `g` |\n| --- | --- |\nno `table::at::all`\n| only `one::of::many` |";
    assert_eq!(named(table), ["a::b::c", "d::e::f", "one::of::many"]);
    assert!(is_there("features::main::names_are_found_in_the_last_column_only"));
    assert!(is_there("host::foreign::an_answer_comes_later"));
    assert!(!is_there("features::main::no_such_test"));
    assert!(!is_there("features::names_are_found_in_the_last_column_only"));
}

/// The words in backticks with `::` in them, in the last column of each table.
fn named(markdown: &str) -> Vec<String> {
    let rows = markdown.lines().map(str::trim).filter(|line| line.starts_with('|'));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let quoted = last.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|word| word.contains("::")).map(str::to_owned).collect()
}

/// Whether `BINARY::FILE::FUNCTION` is a function in `t/tests/BINARY/FILE.rs`; the binary `host` stands for the tests of
/// the host without nginx.
fn is_there(name: &str) -> bool {
    let parts: Vec<_> = name.split("::").collect();
    let [binary, file, function] = parts[..] else { return false };
    let folder = if binary == "host" { "src/proxy_wasm/tests".into() } else { Path::new("t/tests").join(binary) };
    let path = folder.join(format!("{file}.rs"));
    let source = std::fs::read_to_string(workspace().join(path)).unwrap_or_default();
    source.contains(&format!("fn {function}("))
}
