//! What crossing into a guest and back costs: the benches of engines/benches/seam.rs, as divan prints them.

use super::{grouped, head, markdown};

/// The benches that are told: name, what it is, and how often it is done in what is measured (`TIMES` in seam.rs).
const BENCHES: [(&str, &str, f64); 7] = [
    ("host_to_guest", "a call into the guest, with a time limit", 1.0),
    ("guest_to_host", "a call of a host function", 1000.0),
    ("guest_to_host_with_a_copy", "the same, and 5 bytes copied", 1000.0),
    ("guest_to_host_to_guest", "the same, and the guest asked for memory", 1000.0),
    ("instantiate", "an instance made and dropped", 1.0),
    ("instantiate_without_a_pool", "the same without a pool", 1.0),
    ("instantiate_and_touch_memory", "the same from the pool, and two pages written to", 1.0),
];

/// The medians, in nanoseconds.
pub fn table(printed: &str, engines: &[String]) -> String {
    let medians = parse(printed);
    if medians.is_empty() {
        return "Not measured.".to_owned();
    }
    let row = |(name, what, times): &(&str, &str, f64)| {
        let cell = |engine: &String| {
            let found = medians.iter().find(|it| it.engine == *engine && it.bench == *name);
            found.map_or("–".to_owned(), |it| format!("{} ns", rounded(it.nanoseconds / times)))
        };
        std::iter::once((*what).to_owned()).chain(engines.iter().map(cell)).collect()
    };
    markdown(&head("", engines), &BENCHES.iter().map(row).collect::<Vec<_>>())
}

/// Small ones to a tenth.
fn rounded(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { grouped(value.round() as u64) }
}

#[derive(Debug, PartialEq)]
struct Median {
    engine: String,
    bench: String,
    nanoseconds: f64,
}

/// Lines such as `│  ├─ bind   1.2 ns │ 3.4 ns │ 2.1 ns │ ...`: fastest, slowest, median. Those of an engine come below it.
fn parse(printed: &str) -> Vec<Median> {
    let mut engine = String::new();
    let mut found = Vec::new();
    for line in printed.lines() {
        let Some((before, rest)) = ["├─ ", "╰─ "].iter().find_map(|branch| line.split_once(branch)) else {
            continue;
        };
        let (name, columns) = rest.split_once(' ').unwrap_or((rest, ""));
        if before.is_empty() {
            engine = name.to_owned();
        } else if let Some(nanoseconds) = columns.split('│').nth(2).and_then(nanoseconds) {
            found.push(Median { engine: engine.clone(), bench: name.to_owned(), nanoseconds });
        }
    }
    found
}

fn nanoseconds(text: &str) -> Option<f64> {
    let (value, unit) = text.trim().split_once(' ')?;
    let factor = match unit {
        "ns" => 1.0,
        "µs" | "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(value.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Timer precision: 20 ns
seam                     fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ wasmi                               │               │               │               │         │
│  ├─ guest_to_host      27.5 µs       │ 40 µs         │ 28 µs         │ 30 µs         │ 100     │ 100
│  │                     36.36 Mitem/s │ 25 Mitem/s    │ 35.7 Mitem/s  │ 33 Mitem/s    │         │
│  ╰─ instantiate        2.4 µs        │ 9 µs          │ 2.5 µs        │ 2.6 µs        │ 100     │ 100
╰─ wasmtime                            │               │               │               │         │
   ╰─ host_to_guest      18 ns         │ 30 ns         │ 19.04 ns      │ 20 ns         │ 100     │ 12800
";

    #[test]
    fn medians_are_read() {
        let all = parse(PRINTED);
        let seen: Vec<_> = all.iter().map(|it| (it.engine.as_str(), it.bench.as_str(), it.nanoseconds)).collect();
        assert_eq!(
            seen,
            [
                ("wasmi", "guest_to_host", 28_000.0),
                ("wasmi", "instantiate", 2500.0),
                ("wasmtime", "host_to_guest", 19.04)
            ]
        );
    }

    #[test]
    fn a_call_is_one_of_a_thousand() {
        let table = table(PRINTED, &["wasmtime".to_owned(), "wasmi".to_owned()]);
        assert!(table.contains("| a call of a host function | – | 28 ns |"), "{table}");
        assert!(table.contains("| an instance made and dropped | – | 2,500 ns |"), "{table}");
        assert_eq!(super::table("", &[]), "Not measured.");
    }
}
