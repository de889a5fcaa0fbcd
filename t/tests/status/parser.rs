//! A strict reader of Prometheus' text format, version 0.0.4: what it does not expect is a failure.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A page: families by their names.
pub type Page = BTreeMap<String, Family>;

#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// As it was written.
    pub text: String,
}

/// Reads a page.
///
/// # Panics
/// When it is not exactly as it should be.
pub fn read(text: &str) -> Page {
    assert!(text.ends_with('\n'), "the last line ends with a newline");
    let mut page = Page::new();
    let mut taken = HashSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("HELP begins a family, not {line:?}"));
        let (name, _) = help.split_once(' ').expect("a text");
        assert!(is_name(name, true), "{name:?} is no name");
        let kind_line = lines.next().unwrap_or_default();
        let kind =
            kind_line.strip_prefix(&format!("# TYPE {name} ")).unwrap_or_else(|| panic!("no TYPE: {kind_line:?}"));
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind_line:?}");
        for sample in names(name, kind) {
            assert!(taken.insert(sample.clone()), "{sample} belongs to two families");
        }
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(sample(line));
        }
        let family = Family { kind: kind.to_owned(), samples };
        check(name, &family);
        assert!(page.insert(name.to_owned(), family).is_none(), "{name} is there twice");
    }
    page
}

fn names(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[_] = if kind == "histogram" { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

fn is_name(name: &str, colons: bool) -> bool {
    let good = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    name.starts_with(good) && name.chars().all(|c| good(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        let mut inner = inner;
        loop {
            let (label, after) = inner.split_once("=\"").unwrap_or_else(|| panic!("no label: {line:?}"));
            assert!(is_name(label, false), "{label:?} in {line:?}");
            let (value, after) = quoted(after, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line:?}");
            match after.strip_prefix(',') {
                Some(next) => inner = next,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("no end of labels: {line:?}"));
                    break;
                }
            }
        }
    }
    let text = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
    let digits = |c: char| c.is_ascii_digit() || c == '-' || c == '.';
    assert!(!text.is_empty() && text.chars().all(digits), "{text:?} in {line:?}");
    let value = text.parse().unwrap_or_else(|_| panic!("{text:?} is no number: {line:?}"));
    Sample { name: name.to_owned(), labels, value, text: text.to_owned() }
}

/// A label's value up to its quote, and what follows.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("{other:?} after a backslash in {line:?}"),
            },
            _ => value.push(c),
        }
    }
    panic!("a value without end: {line:?}");
}

fn check(name: &str, family: &Family) {
    let allowed = names(name, &family.kind);
    let mut seen = HashSet::new();
    for sample in &family.samples {
        assert!(allowed.contains(&sample.name), "{} is not of family {name}", sample.name);
        assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?} is there twice");
        assert!(family.kind == "gauge" || sample.value >= 0.0, "{sample:?}");
    }
    if family.kind == "histogram" {
        check_histograms(name, family);
    }
}

/// For each set of labels: buckets that grow and end with +Inf, then sum and count, the count being that of the last bucket.
fn check_histograms(name: &str, family: &Family) {
    let mut groups: HashMap<Vec<(String, String)>, Vec<&Sample>> = HashMap::new();
    for sample in &family.samples {
        assert_ne!(&sample.name, name, "a histogram has no sample of its own name");
        let labels = sample.labels.iter().filter(|(label, _)| *label != "le");
        groups.entry(labels.map(|(label, value)| (label.clone(), value.clone())).collect()).or_default().push(sample);
    }
    for group in groups.values() {
        let [buckets @ .., sum, count] = &group[..] else { panic!("{name} has too little") };
        assert_eq!((&sum.name, &count.name), (&format!("{name}_sum"), &format!("{name}_count")));
        let mut bound = f64::NEG_INFINITY;
        let mut before = 0.0;
        for bucket in buckets {
            assert_eq!(bucket.name, format!("{name}_bucket"));
            let le = bucket.labels["le"].replace("+Inf", "inf").parse::<f64>().expect("a bound");
            assert!(le > bound && bucket.value >= before, "{bucket:?} after {bound} with {before}");
            (bound, before) = (le, bucket.value);
        }
        assert_eq!((bound, before), (f64::INFINITY, count.value), "{name} ends with +Inf and its count");
    }
}

/// The samples of a family, each with its labels in one text and its value.
pub fn values(page: &Page, family: &str) -> Vec<(String, String)> {
    let samples = &page.get(family).unwrap_or_else(|| panic!("no {family}")).samples;
    let labels =
        |sample: &Sample| sample.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    samples.iter().map(|sample| (labels(sample).join(","), sample.text.clone())).collect()
}

/// The only value of a family.
pub fn value(page: &Page, family: &str) -> f64 {
    match &page.get(family).unwrap_or_else(|| panic!("no {family}")).samples[..] {
        [one] => one.value,
        other => panic!("{family}: {other:?}"),
    }
}

#[test]
fn it_is_strict() {
    let good = "# HELP a b\n# TYPE a gauge\na{x=\"\\\\\\\"\\n,}\",y=\"\"} -1.5\na 2\n";
    assert_eq!(values(&read(good), "a")[0], ("x=\\\"\n,},y=".to_owned(), "-1.5".to_owned()));
    for bad in [
        "a 1\n",
        "# HELP a b\n# TYPE a gauge\na 1",
        "# HELP a b\n# TYPE a gauge\na  1\n",
        "# HELP a b\n# TYPE a gauge\na 1e\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a counter\na -1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
        "# HELP a-b b\n# TYPE a-b gauge\n",
        "# HELP a b\n# TYPE a gauge\n# HELP a b\n# TYPE a gauge\n",
        "# HELP a b\n# TYPE a histogram\n# HELP a_sum b\n# TYPE a_sum gauge\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
    ] {
        assert!(std::panic::catch_unwind(|| read(bad)).is_err(), "{bad}");
    }
}
