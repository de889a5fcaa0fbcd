//! What was compared, and on what.

use super::inputs::Inputs;

/// The machine, and the versions of what ran on it, as a list.
pub fn list(inputs: &Inputs) -> String {
    let engines = ["wasmtime", "wasmer", "wasmi"]
        .map(|name| (name.to_owned(), version(&inputs.lock, name).unwrap_or("not in Cargo.lock").to_owned()));
    let mut lines: Vec<_> =
        inputs.machine.iter().chain(&engines).map(|(name, value)| format!("- {name}: {value}")).collect();
    if let Some(bench) = &inputs.bench {
        lines.push(format!(
            "- throughput: {} rounds of {} s for each variant, {} connections; nginx on one core, wrk on the other; medians",
            bench.rounds, bench.seconds_each, bench.connections
        ));
    }
    lines.join("\n")
}

/// The version of a package in Cargo.lock; of several, the first.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    lines.find(|line| *line == name)?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock() {
        let lock = "[[package]]\nname = \"wasmi_core\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasmi\"\nversion = \"2.0.0\"\n";
        assert_eq!(version(lock, "wasmi"), Some("2.0.0"));
        assert_eq!(version(lock, "wasmtime"), None);
    }
}
