//! What a report looks like in each format.

use std::time::Duration;

use super::{Format, Report, ZoneUse, html, json, prometheus};
use crate::metrics::{Histogram, Metric, Usage, Value};

fn metric(name: &str, value: Value) -> Metric {
    Metric { module: "f".to_owned(), name: name.to_owned(), value }
}

fn report(metrics: Vec<Metric>) -> Report {
    let time = Histogram { sum: 1_500_000_000, bounds: vec![256, 512], counts: vec![1, 0, 2] };
    let usage = Usage {
        module: "f \"\\\n<".to_owned(),
        engine: "wasmi".to_owned(),
        traps: 7,
        time,
        memory: 65536,
        ..Usage::default()
    };
    Report {
        version: "1",
        nginx: "2",
        time: Duration::from_millis(12_345),
        workers: 4,
        engines: vec!["wasmi"],
        filters: vec![usage],
        metrics,
        zones: vec![ZoneUse { name: "metrics".to_owned(), kind: "metrics", size: 100, used: 7 }],
    }
}

fn histogram() -> Value {
    Value::Histogram(Histogram { sum: 31, bounds: vec![5, 10], counts: vec![2, 1, 1] })
}

fn lines(metrics: Vec<Metric>) -> Vec<String> {
    let text = prometheus::text(&report(metrics));
    text.lines().filter(|line| !line.contains("wasmx_")).map(str::to_owned).collect()
}

#[test]
fn each_kind_has_its_lines() {
    let seen = lines(vec![
        metric("gauge", Value::Gauge(-5i64 as u64)),
        metric("hits", Value::Counter(u64::MAX)),
        metric("size", histogram()),
    ]);
    let expected = [
        "# HELP gauge Defined by a filter.",
        "# TYPE gauge gauge",
        "gauge{filter=\"f\"} -5",
        "# HELP hits Defined by a filter.",
        "# TYPE hits counter",
        "hits{filter=\"f\"} 18446744073709551615",
        "# HELP size Defined by a filter.",
        "# TYPE size histogram",
        "size_bucket{filter=\"f\",le=\"5\"} 2",
        "size_bucket{filter=\"f\",le=\"10\"} 3",
        "size_bucket{filter=\"f\",le=\"+Inf\"} 4",
        "size_sum{filter=\"f\"} 31",
        "size_count{filter=\"f\"} 4",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn names_become_names_of_prometheus() {
    let named = |name: &str| {
        let line = lines(vec![metric(name, Value::Counter(1))]).pop();
        line.unwrap_or_default().replace("filter=\"f\"", "")
    };
    assert_eq!(named("a_B:9"), "a_B:9{} 1");
    assert_eq!(named("a.b-c"), "a_b_c{,name=\"a.b-c\"} 1");
    assert_eq!(named("9"), "_9{,name=\"9\"} 1");
    assert_eq!(named("é\"\\\n"), "____{,name=\"é\\\"\\\\\\n\"} 1");
}

#[test]
fn names_that_clash_are_told_apart() {
    let seen = lines(vec![
        metric("a.b", Value::Counter(1)),
        metric("a_b", Value::Counter(2)),
        metric("a_b", Value::Gauge(3)),
        metric("x", histogram()),
        metric("x_count", Value::Counter(4)),
        metric("x_count", Value::Gauge(5)),
    ]);
    for line in [
        "a_b{filter=\"f\",name=\"a.b\"} 1",
        "a_b{filter=\"f\"} 2",
        "a_b_gauge{filter=\"f\",name=\"a_b\"} 3",
        "x_count{filter=\"f\"} 4",
        "x_count_counter{filter=\"f\",name=\"x_count\"} 4",
        "x_count_gauge{filter=\"f\",name=\"x_count\"} 5",
    ] {
        assert!(seen.iter().any(|seen| seen == line), "{line} in {seen:#?}");
    }
    let mine = prometheus::text(&report(vec![metric("wasmx_workers", Value::Gauge(9))]));
    assert!(mine.contains("wasmx_workers 4\n"));
    assert!(mine.contains("wasmx_workers_gauge{filter=\"f\",name=\"wasmx_workers\"} 9\n"), "{mine}");
}

#[test]
fn the_hosts_own_are_escaped_and_in_seconds() {
    let text = prometheus::text(&report(vec![]));
    let labels = "filter=\"f \\\"\\\\\\n<\",engine=\"wasmi\"";
    for line in [
        format!("wasmx_filter_calls_total{{{labels}}} 3"),
        format!("wasmx_filter_traps_total{{{labels}}} 7"),
        format!("wasmx_filter_memory_bytes{{{labels}}} 65536"),
        format!("wasmx_filter_call_seconds_bucket{{{labels},le=\"0.000000256\"}} 1"),
        format!("wasmx_filter_call_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
        format!("wasmx_filter_call_seconds_sum{{{labels}}} 1.5"),
        "wasmx_shared_memory_used_bytes{zone=\"metrics\",kind=\"metrics\"} 7".to_owned(),
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
}

#[test]
fn json_has_the_same() {
    let metrics = vec![metric("<a>\"\\\u{1}é", Value::Gauge(u64::MAX)), metric("h", histogram())];
    let text = json::text(&report(metrics));
    for part in [
        r#""time":12.345,"workers":4,"engines":["wasmi"],"filters":[{"filter":"f \"\\\u000a\u003c","engine":"wasmi","calls":3"#,
        r#""time":{"count":3,"sum":1500000000,"buckets":[[256,1],[512,1],[null,3]]}}]"#,
        r#"{"filter":"f","name":"\u003ca>\"\\\u0001é","type":"gauge","value":-1}"#,
        r#"{"filter":"f","name":"h","type":"histogram","count":4,"sum":31,"buckets":[[5,2],[10,3],[null,4]]}"#,
        r#""shared_memory":[{"zone":"metrics","kind":"metrics","size":100,"used":7}]}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_page_shows_text_as_text() {
    let text = html::text(&report(vec![metric("<script>&'{{nonce}}", Value::Counter(4711))]), "abc123");
    assert!(text.contains("&lt;script&gt;&amp;&#39;{{nonce}}</th>"), "{text}");
    assert!(text.contains("<td class=\"n\">4711</td>"));
    assert!(text.contains("64.0 KiB") && text.contains("500.0 ms"));
    assert_eq!(text.matches("nonce=\"abc123\"").count(), 2);
    for outside in ["http://", "https://", "src=", " on", " style="] {
        let used = text.replace("http://www.w3.org/2000/svg", "").replace(" on ", " ");
        let tags = used.split('<').filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
        let found: Vec<_> =
            tags.filter_map(|part| part.split('>').next()).filter(|tag| tag.contains(outside)).collect();
        assert!(found.is_empty(), "{outside}: {found:?}");
    }
}

#[test]
fn a_query_chooses_a_format() {
    let asked = |query: &str| Format::Prometheus.or_asked(query.as_bytes());
    assert_eq!(asked(""), Some(Format::Prometheus));
    assert_eq!(asked("a=b&format=json"), Some(Format::Json));
    assert_eq!(asked("format=html&x"), Some(Format::Html));
    assert_eq!(asked("format=xml"), None);
    assert_eq!(Format::named(b""), None);
}
